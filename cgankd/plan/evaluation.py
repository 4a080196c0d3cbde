"""The scores of the fakes: which fakes are evaluated, by which students of fakes alone."""

from dataclasses import asdict
from typing import Any

from cgankd.fakes import FakeSelection
from cgankd.job import Job
from cgankd.plan import inputs
from cgankd.plan.specs import StudentSpec
from cgankd.plan.students import StudentPlanner, StudentTable
from cgankd.preset import Preset
from cgankd.runs import content_of

REAL = "real (validation)"  # the row of unseen real images, in the place of fakes
RAW = "raw fakes"


def evaluation(job: Job) -> StudentTable:
    """The scores of the fakes, with the students that learn from fakes alone."""
    preset, run, planner = job.preset, job.run, StudentPlanner(job)
    rows = planner.plan_rows(_students(preset))
    made_from = {
        "evaluate": inputs.values(preset.evaluate),
        "selections": {row: asdict(chosen) for row, chosen in evaluated(preset).items()},
        "students": [student.artefact.digest for row in rows.values() for student in row],
        **planner.data,
        "fit-dre": content_of(run.dre, "fit-dre"),
        "train-teacher": content_of(run.teacher(preset.generate.teacher), "train-teacher"),
        "generate": content_of(run.pool, "generate"),
    }
    return StudentTable(run.evaluation, "evaluate", made_from, rows=rows)


def evaluated(preset: Preset) -> dict[str, FakeSelection]:
    """The fakes that are evaluated: step by step, with the ends of the grid, since rho is chosen
    later.
    """
    return {
        RAW: FakeSelection(subsample=False, relabel="keep"),
        "+ subsampling": FakeSelection(relabel="keep"),
        **{_filtered(rho): FakeSelection(rho=rho) for rho in _ends(preset)},
    }


def _filtered(rho: float) -> str:
    return f"+ filter, relabel (rho = {rho:g})"


def _ends(preset: Preset) -> list[float]:
    """The largest rho of the grid and the smallest."""
    return list(dict.fromkeys([max(preset.search.grid), min(preset.search.grid)]))


def evaluated_specs(preset: Preset) -> list[StudentSpec]:
    """The students of all rows."""
    return [spec for row in _students(preset).values() for spec in row]


def _students(preset: Preset) -> dict[str, list[StudentSpec]]:
    """Students of fakes alone (the classification accuracy score, Ravuri and Vinyals 2019), of the
    fakes as they are drawn and as students see most of them; and one of real images alone, which
    the search for rho trains too. None sees the rows that score.
    """
    settings, selections = preset.evaluate, evaluated(preset)
    if settings.student == "none":
        return {}
    shared: dict[str, Any] = {
        "network": settings.student or preset.distill.pairs[0][2],
        "method": "nokd",
        "seed": preset.search.seeds[0],
        "steps": settings.steps,
    }
    alone = (RAW, _filtered(_ends(preset)[0]))
    held_out = preset.data.protocol == "paper"
    return {
        REAL: [StudentSpec(**shared, held_out=held_out)],
        **{row: [StudentSpec(**shared, selection=selections[row], alone=True)] for row in alone},
    }
