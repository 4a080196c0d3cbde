"""The table of stages: what each reads and makes, and whether a preset has it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cgankd.job import Job
from cgankd.plan.artefacts import dre, evaluation, gan, pool, teachers
from cgankd.plan.students import distilled, search
from cgankd.preset import Preset
from cgankd.runs import Artefact


def _always(preset: Preset) -> bool:
    return True


@dataclass(frozen=True)
class Stage:
    """One subcommand: what it makes is planned here and made in cgankd/stages, by its name."""

    name: str
    inputs: tuple[str, ...]  # the stages whose artefacts it may read; all read the data
    plan: Callable[[Job], Sequence[Artefact]]  # UserError naming the command of a missing input
    has_students: bool = False  # whole students are shared out to processes
    belongs: Callable[[Preset], bool] = _always  # to the chain of a preset

    @property
    def module(self) -> str:
        """Where its `run(job, machine)` is."""
        return f"cgankd.stages.{self.name.replace('-', '_')}"


STAGES = {
    stage.name: stage
    for stage in (
        Stage("train-gan", (), lambda job: [gan(job)]),
        Stage("train-teacher", (), teachers),
        Stage("fit-dre", ("train-gan",), lambda job: [dre(job)]),
        Stage("generate", ("train-gan", "train-teacher", "fit-dre"), lambda job: [pool(job)]),
        Stage(
            "evaluate",
            ("train-teacher", "fit-dre", "generate"),
            lambda job: [evaluation(job)],
            belongs=lambda preset: preset.evaluate is not None,
        ),
        Stage("select-rho", ("generate",), lambda job: [search(job)], has_students=True),
        Stage(
            "distill",
            ("train-teacher", "generate", "select-rho"),
            distilled,
            has_students=True,
        ),
    )
}


def chain_of(preset: Preset) -> list[Stage]:
    """The stages of a preset, in their order."""
    return [stage for stage in STAGES.values() if stage.belongs(preset)]
