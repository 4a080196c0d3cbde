"""select-rho: which share of the fakes to keep, by the students' error on validation rows."""

import statistics
from typing import Any

from cgankd import console, plan
from cgankd.job import Job
from cgankd.plan import Student
from cgankd.runs import fact, finished
from cgankd.sources import Source
from cgankd.stages.students import StudentInputs, train_all
from cgankd.statistics import spread, standard_error
from cgankd.training.machine import Machine


def run(job: Job, machine: Machine) -> None:
    """Trains the students of the search and chooses rho."""
    table = plan.search(job)
    inputs = StudentInputs(job, machine)
    for command, record in plan.pool_networks(job).items():
        upstream = finished(record, command)
        check_rows(upstream, inputs.source, job.preset.data.protocol, str(record.parent))
    train_all("rho: students", table.students, inputs, machine)

    def finish() -> None:
        members = [_member(student) for student in table.students]
        chosen, task = choose(members), inputs.task
        table.finish(
            made_on=machine.facts,
            members=members,
            **chosen,
            metric=task.metric,
            unit=task.unit,
            rows=len(inputs.splits["validation"]),
            leaky=inputs.source.leaky,  # whether networks upstream have seen these rows
        )
        _say(chosen, f"{task.metric} ({task.unit})")

    machine.once(finish)


def check_rows(made: dict[str, Any], source: Source, protocol: str, name: str) -> None:
    """UserError where what is recorded of `name` does not show that the validation rows may choose
    rho.

    Nobody knows the rows of imported networks; the published protocol lets networks see them all.
    """
    if not (made.get("origin") and protocol == "paper"):
        source.check_unseen(made.get("seen", {}), name)


def choose(members: list[dict[str, Any]]) -> dict[str, Any]:
    """The largest rho within one standard error of the best, and None where no fakes are better
    than any rho.

    The score of a candidate is the mean over seeds and networks; its standard error is that over
    seeds.
    """
    by_seed: dict[float | None, dict[int, list[float]]] = {}
    for member in members:
        seeds = by_seed.setdefault(member["rho"], {})
        seeds.setdefault(member["seed"], []).append(member["validation"])
    groups = {
        rho: [statistics.fmean(scores) for scores in seeds.values()]
        for rho, seeds in by_seed.items()
    }
    table = [_row(rho, scores) for rho, scores in groups.items()]
    with_fakes = [row for row in table if row["rho"] is not None]
    best = min(with_fakes, key=lambda row: row["mean"])
    error = standard_error(groups[best["rho"]])
    # Within one error all are as good; the largest keeps most fakes.
    bound = best["mean"] + (error or 0.0)
    best_rho = max(row["rho"] for row in with_fakes if row["mean"] <= bound)
    without = next((row for row in table if row["rho"] is None), None)
    none_wins = without is not None and without["mean"] < best["mean"]
    return {
        "rho": None if none_wins else best_rho,
        "best_rho": best_rho,
        "standard_error": error,
        "table": table,
    }


def _row(rho: float | None, scores: list[float]) -> dict[str, Any]:
    mean, deviation = spread(scores)
    return {"rho": rho, "mean": mean, "deviation": deviation, "num": len(scores)}


def _member(student: Student) -> dict[str, Any]:
    """What the record says of one student of the search."""
    record = student.artefact.record
    return {
        "rho": student.selection.rho if student.selection else None,
        "network": student.network,
        "seed": student.seed,
        "validation": fact(record, "distill", "validation", float),
        "student": record.parent.name,
    }


def _say(chosen: dict[str, Any], metric: str) -> None:
    rows = [
        [_name(row["rho"]), *(_number(row[key]) for key in ("mean", "deviation"))]
        for row in chosen["table"]
    ]
    console.table(f"validation {metric}", ["rho", "mean", "deviation"], rows)
    console.say(f"rho: {_name(chosen['rho'])}")


def _name(rho: float | None) -> str:
    return "none" if rho is None else f"{rho:g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
