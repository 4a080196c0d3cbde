"""select-rho: which share of the fakes to keep, by the students' error on validation rows."""

import statistics
from typing import Any

from cgankd import console, plan
from cgankd.preset import Preset
from cgankd.runs import Run, read_json
from cgankd.sources import Source
from cgankd.stages.students import StudentInputs, train_all
from cgankd.statistics import spread, standard_error
from cgankd.training.machine import Machine


def run(preset: Preset, run: Run, machine: Machine) -> None:
    """Trains the students of the search and chooses rho."""
    artefact = plan.rho(preset, run)
    school = StudentInputs(preset, run, machine)
    for record in (run.gan, run.dre, run.teacher(preset.generate.teacher)):
        check_rows(read_json(record), school.source, preset.data.protocol, str(record.parent))
    students = plan.rho_students(preset)
    train_all("rho: students", students, school, machine)
    if machine.is_main:
        members = []
        for student in students:
            record = plan.student_artefact(student, preset, run).record
            members.append(
                {
                    "rho": student.view.rho if student.view else None,
                    "network": student.network,
                    "seed": student.seed,
                    "validation": read_json(record)["validation"],
                    "student": record.parent.name,
                }
            )
        chosen = choose(members)
        facts: dict[str, Any] = {
            "metric": school.task.metric,
            "unit": school.task.unit,
            "rows": len(school.splits["validation"]),
            "leaky": school.source.leaky,  # whether networks upstream have seen these rows
        }
        artefact.finish(made_on=machine.facts, members=members, **chosen, **facts)
        rows = [
            [_name(row["rho"]), *(_number(row[key]) for key in ("mean", "deviation"))]
            for row in chosen["table"]
        ]
        console.table(
            f"validation {school.task.metric} ({school.task.unit})",
            ["rho", "mean", "deviation"],
            rows,
        )
        console.say(f"rho: {_name(chosen['rho'])}")
    machine.barrier()


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
        by_seed.setdefault(member["rho"], {}).setdefault(member["seed"], []).append(
            member["validation"]
        )
    groups = {
        rho: [statistics.fmean(scores) for scores in seeds.values()]
        for rho, seeds in by_seed.items()
    }
    table: list[dict[str, Any]] = [
        {
            "rho": rho,
            "mean": statistics.fmean(scores),
            "deviation": spread(scores)[1],
            "num": len(scores),
        }
        for rho, scores in groups.items()
    ]
    with_fakes = [row for row in table if row["rho"] is not None]
    best = min(with_fakes, key=lambda row: row["mean"])
    error = standard_error(groups[best["rho"]])
    best_rho = max(row["rho"] for row in with_fakes if row["mean"] <= best["mean"] + (error or 0.0))
    without = next((row for row in table if row["rho"] is None), None)
    none_wins = without is not None and without["mean"] < best["mean"]
    return {
        "rho": None if none_wins else best_rho,
        "best_rho": best_rho,
        "standard_error": error,
        "table": table,
    }


def _name(rho: float | None) -> str:
    return "none" if rho is None else f"{rho:g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
