"""The table of stages, in their order: what each reads and makes, and whether a preset has it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cgankd.job import Job
from cgankd.plan.artefacts import dre, gan, pool, pool_networks, teacher, teachers
from cgankd.plan.evaluation import evaluation
from cgankd.plan.selections import is_selected, without_search
from cgankd.plan.specs import wanted
from cgankd.plan.students import distilled, search
from cgankd.preset import Preset
from cgankd.runs import Artefact, RunFolder

Read = tuple[str, Callable[[], Artefact]]  # a command, and the artefact of it that is read


def _always(preset: Preset) -> bool:
    return True


def _nothing(job: Job) -> list[Read]:
    return []  # but the data, as all that is trained


def _gan(job: Job) -> Read:
    return "train-gan", lambda: gan(job)


def _dre(job: Job) -> Read:
    return "fit-dre", lambda: dre(job)


def _pool(job: Job) -> Read:
    return "generate", lambda: pool(job)


def _fakes_for_ratio(job: Job) -> list[Read]:
    """The GAN; drawn images need none, and where they have no labels, the teacher gives them."""
    settings = job.preset.generate
    if settings.images is None:
        return [_gan(job)]
    return [_judge(job)] if settings.label_by_teacher else []


def _for_pool(job: Job) -> list[Read]:
    reads = {"train-gan": _gan, "train-teacher": _judge, "fit-dre": _dre}
    return [reads[command](job) for command in pool_networks(job)]


def _judge(job: Job) -> Read:
    return "train-teacher", lambda: teacher(job.preset.generate.teacher, job)


def _for_students(job: Job) -> list[Read]:
    """What the students of a call learn from; which they are is asked of a rho and a share that
    stand for those that are not known yet.
    """
    specs = wanted(without_search(job))
    networks = dict.fromkeys(spec.teacher for spec in specs if spec.teacher)
    read: list[Read] = [("train-teacher", partial(teacher, network, job)) for network in networks]
    if any(spec.selection and not spec.fakes_file for spec in specs):
        read.append(_pool(job))
        if is_selected(job):
            read.append(("select-rho", lambda: search(job)))
    return read


@dataclass(frozen=True)
class Stage:
    """One subcommand: what it makes is planned here and made in cgankd/stages, by its name."""

    name: str
    reads: Callable[[Job], Sequence[Read]]  # what has to stand before
    records: Callable[[RunFolder, Preset], Sequence[Path]]  # what it makes, whoever asks
    plan: Callable[[Job], Sequence[Artefact]]  # with what it is made from; UserError without inputs
    has_students: bool = False  # whole students are shared out to processes
    belongs: Callable[[Preset], bool] = _always  # to the chain of a preset

    @property
    def module(self) -> str:
        """Where its `run(job, machine)` is."""
        return f"cgankd.stages.{self.name.replace('-', '_')}"


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "train-gan",
            reads=_nothing,
            records=lambda run, preset: [run.gan],
            plan=lambda job: [gan(job)],
            belongs=lambda preset: preset.generate.images is None,
        ),
        Stage(
            "train-teacher",
            reads=_nothing,
            records=lambda run, preset: [run.teacher(name) for name in preset.teacher.networks],
            plan=teachers,
        ),
        Stage(
            "fit-dre",
            reads=_fakes_for_ratio,
            records=lambda run, preset: [run.dre],
            plan=lambda job: [dre(job)],
            belongs=lambda preset: preset.dre_if_any is not None,
        ),
        Stage(
            "generate",
            reads=_for_pool,
            records=lambda run, preset: [run.pool],
            plan=lambda job: [pool(job)],
        ),
        Stage(
            "evaluate",
            reads=lambda job: [_judge(job), _dre(job), _pool(job)],
            records=lambda run, preset: [run.evaluation],
            plan=lambda job: [evaluation(job)],
            has_students=True,
            belongs=lambda preset: preset.dre_if_any is not None,
        ),
        Stage(
            "select-rho",
            reads=lambda job: [_pool(job)],
            records=lambda run, preset: [run.search],
            plan=lambda job: [search(job)],
            has_students=True,
        ),
        Stage(
            "distill",
            reads=_for_students,
            records=lambda run, preset: [run.distill(name) for name in preset.distill.methods],
            plan=distilled,
            has_students=True,
        ),
    )
}


def chain_of(preset: Preset) -> list[Stage]:
    """The stages of a preset, in their order."""
    return [stage for stage in STAGES.values() if stage.belongs(preset)]
