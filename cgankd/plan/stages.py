"""The table of stages: what each reads and makes, and whether a preset has it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cgankd.job import Job
from cgankd.plan.artefacts import dre, evaluation, gan, pool, teachers
from cgankd.plan.students import distilled, search
from cgankd.preset import Preset
from cgankd.runs import Artefact, RunFolder


def _always(preset: Preset) -> bool:
    return True


@dataclass(frozen=True)
class Stage:
    """One subcommand: what it makes is planned here and made in cgankd/stages, by its name."""

    name: str
    inputs: tuple[str, ...]  # the stages whose artefacts it may read; all read the data
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
            inputs=(),
            records=lambda run, preset: [run.gan],
            plan=lambda job: [gan(job)],
        ),
        Stage(
            "train-teacher",
            inputs=(),
            records=lambda run, preset: [run.teacher(name) for name in preset.teacher.networks],
            plan=teachers,
        ),
        Stage(
            "fit-dre",
            inputs=("train-gan",),
            records=lambda run, preset: [run.dre],
            plan=lambda job: [dre(job)],
        ),
        Stage(
            "generate",
            inputs=("train-gan", "train-teacher", "fit-dre"),
            records=lambda run, preset: [run.pool],
            plan=lambda job: [pool(job)],
        ),
        Stage(
            "evaluate",
            inputs=("train-teacher", "fit-dre", "generate"),
            records=lambda run, preset: [run.evaluation],
            plan=lambda job: [evaluation(job)],
            belongs=lambda preset: preset.evaluate is not None,
        ),
        Stage(
            "select-rho",
            inputs=("generate",),
            records=lambda run, preset: [run.search],
            plan=lambda job: [search(job)],
            has_students=True,
        ),
        Stage(
            "distill",
            inputs=("train-teacher", "generate", "select-rho"),
            records=lambda run, preset: [run.distill(name) for name in preset.distill.methods],
            plan=distilled,
            has_students=True,
        ),
    )
}


def chain_of(preset: Preset) -> list[Stage]:
    """The stages of a preset, in their order."""
    return [stage for stage in STAGES.values() if stage.belongs(preset)]
