"""What to build: a stage whose artefacts are missing or unfinished is run, the rest is left alone.

Nothing here imports torch before something has to be built.
"""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cgankd import console, launch, plan, runs, sources
from cgankd import preset as presets
from cgankd.errors import DATA, UserError
from cgankd.plan import Overrides
from cgankd.preset import Preset
from cgankd.runs import Artefact, Run

STUDENTS = ("select-rho", "distill")  # stages that train whole students side by side
MAX_PROCESSES = 8  # each holds torch, half a GiB
BUILDING = (
    "train-gan",
    "train-teacher",
    "fit-dre",
    "generate",
    "evaluate",
    "select-rho",
    "distill",
)


@dataclass(frozen=True)
class Job:
    """A preset, a run folder, and how this machine is to compute."""

    preset: Preset
    run: Run
    device: str = "auto"
    precision: str = "auto"
    num_processes: int = 0  # 0: one, and for students on a CPU one per core
    deterministic: bool = False
    rebuild: bool = False
    call: Overrides = field(default_factory=Overrides)


def stages(preset: Preset) -> list[str]:
    """The stages that a preset has, in their order."""
    return [stage for stage in BUILDING if stage != "evaluate" or preset.evaluate]


def build(stage: str, job: Job, *, whole_chain: bool = False) -> list[Path]:
    """Makes the artefacts of a stage that are not up to date; their records.

    A finished artefact of other settings is refused with a UserError, or moved aside with --rebuild
    and, as part of the `whole_chain`, always, but for an imported one: nothing here could make it
    again.
    """
    artefacts = plan.artefacts(stage, job.preset, job.run, job.call)
    if launch.is_first():
        for artefact in artefacts:
            if artefact.state() == "other" or (job.rebuild and artefact.state() == "done"):
                _make_room(
                    artefact, allowed=job.rebuild or (whole_chain and "from" not in artefact.inputs)
                )
    launch.align(job.device)
    done = all(artefact.state() == "done" for artefact in artefacts)
    launch.align(job.device)
    if done:
        console.say(f"{stage}: nothing to do")
    else:
        console.say(f"{stage}: {_relative(artefacts[0].record.parent, job)}")
        if launch.is_first():
            runs.write_bytes(job.run.preset, presets.dump(job.preset).encode())
        _execute(stage, job)
    return [artefact.record for artefact in artefacts]


def states(job: Job) -> dict[str, str]:
    """For --dry-run: what each stage would do."""
    found = {}
    for stage in stages(job.preset):
        try:
            artefacts = plan.artefacts(stage, job.preset, job.run, job.call)
            found[stage] = ", ".join(
                f"{_relative(artefact.record, job)}: {artefact.state()}" for artefact in artefacts
            )
        except UserError as error:
            found[stage] = f"waits ({error.hint or error})"
    return found


def costs(job: Job) -> list[dict[str, Any]]:
    """For --dry-run: what each network will cost, as a table on stderr too."""
    from cgankd.plan import estimate

    label = sources.known_label(job.preset.data) or (
        runs.read_json(job.run.data)["label"] if job.run.data.exists() else None
    )
    if label is None:
        console.say("costs: known when the data have been read once")
        return []
    outputs = len(label["classes"]) if label["kind"] == "class" else 1
    try:
        found = estimate.costs(job.preset, job.run, job.call, outputs)
    except UserError as error:  # the data are needed to count their images, and cannot be read
        console.say(f"costs: not known ({error})")
        return []
    header = [
        "stage",
        "network",
        "number",
        "parameters",
        "steps",
        "batch",
        "memory (MB)",
        "disk (MB)",
    ]
    console.table("To train, each alone on its device", header, estimate.lines(found))
    pool = estimate.pool_bytes(job.preset, outputs)
    console.say(f"fake pool: {estimate.megabytes(pool)} MB on disk")
    return [asdict(cost) for cost in found]


def _relative(path: Path, job: Job) -> str:
    return str(path.relative_to(job.run.root))


def _make_room(artefact: Artefact, allowed: bool) -> None:
    old = str(runs.read_json(artefact.record).get("digest"))[:8]
    if not allowed:
        raise UserError(
            f"{artefact.record} was made from other settings ({old}, now {artefact.digest[:8]}): "
            f"{artefact.difference()}",
            DATA,
            "add --rebuild to move it aside and build anew, or choose another --out",
        )
    console.say(
        f"{artefact.record}: other settings ({artefact.difference()}); moved to "
        f"{artefact.set_aside().name}"
    )


def _execute(stage: str, job: Job) -> None:
    values = asdict(job.call)
    work = {
        "stage": stage,
        "preset": job.preset.model_dump(),
        "root": str(job.run.root),
        "device": job.device,
        "precision": job.precision,
        "deterministic": job.deterministic,
        "call": values,
    }
    launch.launch(perform, work, job.num_processes or _num_processes(stage, job))


def _num_processes(stage: str, job: Job) -> int:
    """One, and for students on a CPU one per core: small networks gain nothing from a second
    thread.
    """
    if "LOCAL_RANK" in os.environ:
        return 1
    if (
        stage not in STUDENTS
        or job.device == "cuda"
        or (job.device == "auto" and Path("/dev/nvidiactl").exists())
    ):
        return 1
    missing = sum(
        artefact.state() != "done"
        for artefact in plan.student_artefacts(stage, job.preset, job.run, job.call)
    )
    return max(1, min(os.cpu_count() or 1, MAX_PROCESSES, missing // 4))


def perform(work: dict[str, Any]) -> None:
    """Runs a stage in this process, which is the only one or one of several."""
    import torch

    from cgankd.stages import (
        distill,
        evaluate,
        fit_dre,
        generate,
        select_rho,
        train_gan,
        train_teacher,
    )
    from cgankd.training.machine import Machine

    preset, run, call = (
        Preset.model_validate(work["preset"]),
        Run(Path(work["root"])),
        Overrides(**work["call"]),
    )
    precision = "fp32" if work["precision"] == "auto" else work["precision"]
    machine = Machine(work["device"], precision, work["deterministic"])
    if work["stage"] in STUDENTS and machine.device.type == "cpu":
        torch.set_num_threads(
            1
        )  # so that students do not depend on how many processes share the work
    match work["stage"]:
        case "train-gan":
            train_gan.run(preset, run, machine, call)
        case "train-teacher":
            train_teacher.run(preset, run, machine, call)
        case "fit-dre":
            fit_dre.run(preset, run, machine, call)
        case "generate":
            generate.run(preset, run, machine)
        case "evaluate":
            evaluate.run(preset, run, machine)
        case "select-rho":
            select_rho.run(preset, run, machine)
        case "distill":
            distill.run(preset, run, machine, call)
