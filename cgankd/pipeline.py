"""What to build: a stage whose artefacts are missing or unfinished is run, the rest is left alone.

The run folder is locked here, and checked where jobs are made, so that the command line and Python
give the same guarantees. Nothing here imports torch before something has to be built.
"""

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cgankd import console, launch, plan, report, runs, sources
from cgankd import preset as presets
from cgankd.errors import UserError
from cgankd.job import Job
from cgankd.label import make_label
from cgankd.plan import STAGES, Stage, StudentTable
from cgankd.runs import Artefact
from cgankd.sources import drawn

MAX_PROCESSES = 8  # each holds torch, half a GiB
MIN_STUDENTS = 3  # of a process


def build_stage(name: str, job: Job) -> list[Path]:
    """Makes the artefacts of one stage that are not up to date; their records. UserError where
    something that it reads is missing or stale.
    """
    if not job.run.root.exists():  # what is missing is told before a folder is made for the rest
        plan.check_inputs(name, job)
        STAGES[name].plan(job)
    with _writing(job):
        plan.check_inputs(name, job)
        return _build(STAGES[name], job)


def build_chain(job: Job, *, ablation: bool = False) -> Path:
    """Makes what is missing or out of date in the whole chain, nothing else; the page."""
    chain = plan.chain_of(job.preset)
    if not job.run.root.exists():
        chain[0].plan(job)  # data that cannot be read are told before a folder is made
    with _writing(job):
        _check_drawn(job)
        for stage in chain:
            _build(stage, job, whole_chain=True)
        if ablation:
            _build(STAGES["distill"], job.asking(ablation=True), whole_chain=True)
        if console.is_first():
            _time_networks(job)
            report.build([job.run.root], job.run.report)
    return job.run.report


def _time_networks(job: Job) -> None:
    """Measures how long networks take, for the page, where there is one that was not measured."""
    if not report.untimed(report.read(job.run.root)):
        return
    from cgankd.deploy import latency
    from cgankd.training.machine import Machine

    try:
        latency.keep(job.run.root, Machine(job.device).device)
    except UserError as error:  # no reason to lose the page
        console.warn(f"how long networks take is not known: {error}")


def _check_drawn(job: Job) -> None:
    """Tells images in the place of a GAN's that cannot be used before anything is trained."""
    if job.preset.generate.images is not None:
        known = sources.record(job.preset.data, job.preset.seed, job.run)
        drawn.check(job.preset, make_label(known["label"]))


def states(job: Job) -> dict[str, str]:
    """For --dry-run: what each stage would do."""
    return {stage.name: _state(stage, job) for stage in plan.chain_of(job.preset)}


def _state(stage: Stage, job: Job) -> str:
    try:
        if waits := plan.waits(stage.name, job):
            stale = "; ".join(reason for reason in waits.values() if plan.STALE in reason)
            return f"waits for {', '.join(waits)}" + (f" ({stale})" if stale else "")
        artefacts = stage.plan(job)
    except UserError as error:
        return f"cannot be built: {error}" + (f" ({error.hint})" if error.hint else "")
    each = (f"{_inside(artefact.record, job)}: {artefact.state()}" for artefact in artefacts)
    return ", ".join(each)


def check(name: str | None, job: Job) -> None:
    """For --dry-run: the UserError with which a stage, or the whole chain, would end before
    anything is trained.
    """
    if name is None:
        first = plan.chain_of(job.preset)[0]
        first.plan(job)  # the data are read, and what follows is made by what comes before it
        _check_drawn(job)
        return
    plan.check_inputs(name, job)
    for artefact in STAGES[name].plan(job):
        if artefact.state() in ("other", "damaged") and not job.rebuild:
            raise artefact.blocked()


def costs(job: Job) -> list[dict[str, Any]]:
    """For --dry-run: what each network will cost, as a table on stderr too."""
    from cgankd.plan import estimate

    label = known_label(job)
    if label is None:
        console.say("costs: known when the data have been read once")
        return []
    try:
        rows = estimate.costs(job, label)
    except UserError as error:  # the data are needed to count their images, and cannot be read
        console.say(f"costs: not known ({error})")
        return []
    title = "To train, each alone on its device"
    console.table(title, estimate.HEADER, [estimate.line(row) for row in rows])
    pool = estimate.pool_bytes(job.preset, label)
    console.say(f"fake pool: {estimate.megabytes(pool)} MB on disk")
    return [asdict(row) for row in rows]


def known_label(job: Job) -> dict[str, Any] | None:
    """The label of the data, where it is known without reading them."""
    recorded = runs.read_json(job.run.data)["label"] if job.run.data.exists() else None
    return sources.known_label(job.preset.data) or recorded


def _is_small(job: Job) -> bool:
    """Whether all networks that teach and draw are small."""
    from cgankd.plan import estimate

    label = known_label(job)
    return label is not None and estimate.is_small(job.preset, label)


# One stage


def _build(stage: Stage, job: Job, *, whole_chain: bool = False) -> list[Path]:
    """Makes the artefacts of a stage that are not up to date; their records.

    A finished artefact of other settings is refused with a UserError, or moved aside with --rebuild
    and, as part of the `whole_chain`, always, but for an imported one: nothing here could make it
    again.
    """
    artefacts = stage.plan(job)
    if console.is_first():
        for artefact in artefacts:
            replaceable = whole_chain and "from" not in artefact.inputs
            _make_room(artefact, job.rebuild, replaceable)
    _align(job)
    done = all(artefact.state() == "done" for artefact in artefacts)
    _align(job)
    if done:
        console.say(f"{stage.name}: nothing to do")
    else:
        console.say(f"{stage.name}: {_inside(artefacts[0].folder, job)}")
        if console.is_first():
            runs.write_bytes(job.run.preset, presets.dump(job.preset).encode())
        num = job.num_processes or _num_processes(stage, artefacts, job)
        launch.launch(_perform, num, stage.name, job)
    return [artefact.record for artefact in artefacts]


def _perform(name: str, job: Job) -> None:
    """Runs a stage in this process, which is the only one or one of several."""
    from cgankd.training.machine import Machine
    from cgankd.training.track import Tracker

    stage = STAGES[name]
    if not runs.is_written(job.run.root):  # a process that the holder of the lock has started
        runs.write_within(job.run.root)
    machine = Machine(**job.computing)
    if job.track and console.is_first():
        machine.tracker = Tracker(job.track, name, job.run.root, job.preset)
    try:
        with threads_of(stage, job, machine.device.type):
            importlib.import_module(stage.module).run(job, machine)
        if job.track:
            for artefact in stage.plan(job):
                machine.tracker.measures(artefact.record.stem, runs.read_json(artefact.record))
    finally:
        machine.tracker.close()


@contextmanager
def threads_of(stage: Stage, job: Job, device: str) -> Iterator[None]:
    """Inside, as many threads as the stage computes with on a device of that kind: on a CPU one for
    students, and for a preset of small networks.

    These gain nothing from a second one, and what is made with one does not depend on how many
    cores a machine has, or processes share the work.
    """
    import torch

    threads = torch.get_num_threads()
    if device == "cpu" and (stage.has_students or _is_small(job)):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _num_processes(stage: Stage, artefacts: Sequence[Artefact], job: Job) -> int:
    """One, and for students on a CPU one per core: small networks gain nothing from a second
    thread. Each trains a few of them, or its start would cost more than it saves.
    """
    has_gpu = job.device == "cuda" or (job.device == "auto" and Path("/dev/nvidiactl").exists())
    if "LOCAL_RANK" in os.environ or not stage.has_students or has_gpu:
        return 1
    asked = [student for table in artefacts for student in _students(table)]
    missing = [
        student
        for students in plan.to_train(asked)
        for student in students
        if student.artefact.state() != "done"
    ]
    return max(1, min(os.cpu_count() or 1, MAX_PROCESSES, len(missing) // MIN_STUDENTS))


def _students(artefact: Artefact) -> list[plan.Student]:
    return artefact.students if isinstance(artefact, StudentTable) else []


def _align(job: Job) -> None:
    """Waits for the processes that were started with this one, where another launcher did that."""
    if "LOCAL_RANK" in os.environ:
        from cgankd.training.machine import Machine

        Machine(job.device).barrier()


def _make_room(artefact: Artefact, rebuild: bool, replaceable: bool) -> None:
    """Moves what stands in the place of an artefact aside where that is asked for: what is of other
    settings, with --rebuild also what is damaged or done. UserError where it is not asked for.
    """
    state = artefact.state()
    if (state == "damaged" and not rebuild) or (state == "other" and not (rebuild or replaceable)):
        raise artefact.blocked()
    if state in ("damaged", "other") or (rebuild and state == "done"):
        why = f"other settings ({artefact.difference()})" if state == "other" else state
        moved = artefact.set_aside().name
        console.say(f"{artefact.record}: {why}; moved to {moved}")
    if rebuild:
        before, asked = plan.to_train(_students(artefact))
        for student in (*before, *asked):
            if student.artefact.state() == "damaged" or _is_changed(student.artefact):
                moved = student.artefact.set_aside().name
                console.say(f"{student.artefact.folder}: damaged; moved to {moved}")


def _is_changed(artefact: Artefact) -> bool:
    """Whether it is recorded as finished, but its files are other ones."""
    return artefact.state() == "done" and not artefact.is_whole()


# The run folder


@contextmanager
def _writing(job: Job) -> Iterator[None]:
    """The lock of the run folder, which the first of several processes holds for all."""
    if console.is_first():
        with runs.locked(job.run.root):
            yield
    else:
        yield


def _inside(path: Path, job: Job) -> str:
    return str(path.relative_to(job.run.root))
