"""select-rho: whether to use fakes, which share of them to keep, and how many in a batch, by the
students' error on validation rows.
"""

import statistics
from typing import Any

from cgankd import console, plan
from cgankd.job import Job
from cgankd.plan import Student
from cgankd.runs import fact, finished
from cgankd.sources import Source
from cgankd.stages.students import StudentInputs, train_all
from cgankd.statistics import paired, spread
from cgankd.training.machine import Machine


def run(job: Job, machine: Machine) -> None:
    """Trains the students of the search and chooses rho and the share of fakes, or no fakes."""
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


Candidate = tuple[float | None, float | str | None]  # rho and the share of fakes in a batch
NO_FAKES: Candidate = (None, None)
Scores = dict[int, float]  # of a candidate, by seed


def choose(members: list[dict[str, Any]]) -> dict[str, Any]:
    """The best rho and share of fakes where it is better than no fakes by more than one standard
    error, else no fakes (None); what is as good as the best but for one standard error gives way to
    the larger rho, which keeps more fakes.

    Every comparison is paired: a mean over seeds of differences between students of one seed, and
    the standard error of that mean; one seed has none, and then differences alone decide. The
    score of a candidate and seed is the mean over networks.
    """
    scores = _by_candidate(members)
    none = scores[NO_FAKES]
    table = [_row(candidate, of_seed, none) for candidate, of_seed in scores.items()]
    with_fakes = [row for row in table if row["rho"] is not None]
    best = min(with_fakes, key=lambda row: (row["mean"], -row["rho"]))
    ties = [row for row in with_fakes if _is_tied(scores[_key(row)], scores[_key(best)])]
    chosen = min(ties, key=lambda row: (-row["rho"], row["mean"]))
    is_better = best["difference"] < -(best["standard_error"] or 0.0)
    rho, share = _key(chosen) if is_better else NO_FAKES
    return {
        "rho": rho,
        "share": share,
        "best_rho": chosen["rho"],  # also where no fakes won
        "best_share": chosen["share"],
        "table": table,
    }


def _by_candidate(members: list[dict[str, Any]]) -> dict[Candidate, Scores]:
    """The score of each candidate and seed."""
    networks: dict[Candidate, dict[int, list[float]]] = {}
    for member in members:
        of_seed = networks.setdefault(_key(member), {})
        of_seed.setdefault(member["seed"], []).append(member["validation"])
    return {
        candidate: {seed: statistics.fmean(scores) for seed, scores in of_seed.items()}
        for candidate, of_seed in networks.items()
    }


def _key(row: dict[str, Any]) -> Candidate:
    return row["rho"], row["share"]


def _row(candidate: Candidate, scores: Scores, none: Scores) -> dict[str, Any]:
    """A candidate by itself, and against no fakes."""
    rho, share = candidate
    mean, deviation = spread(list(scores.values()))
    row = {"rho": rho, "share": share, "mean": mean, "deviation": deviation, "num": len(scores)}
    difference, error = (None, None) if rho is None else paired(scores, none)
    return {**row, "difference": difference, "standard_error": error}


def _is_tied(scores: Scores, best: Scores) -> bool:
    """Whether a candidate is within one standard error of the best."""
    difference, error = paired(scores, best)
    return difference <= (error or 0.0)


def _member(student: Student) -> dict[str, Any]:
    """What the record says of one student of the search."""
    record = student.artefact.record
    return {
        "rho": student.selection.rho if student.selection else None,
        "share": student.share,
        "network": student.network,
        "seed": student.seed,
        "validation": fact(record, "distill", "validation", float),
        "student": record.parent.name,
    }


def _say(chosen: dict[str, Any], metric: str) -> None:
    header = ["rho", "share of fakes", "mean", "deviation", "against none"]
    rows = [
        [
            _name(row["rho"]),
            _name(row["share"], "-"),
            *(_number(row[key]) for key in ("mean", "deviation")),
            _difference(row),
        ]
        for row in chosen["table"]
    ]
    console.table(f"validation {metric}, differences +- standard error", header, rows)
    if chosen["rho"] is None:
        best = f"the best with fakes is rho {_name(chosen['best_rho'])}"
        console.say(f"rho: none, since no fakes are as good to within one standard error; {best}")
    else:
        console.say(f"rho: {_name(chosen['rho'])}, share of fakes {_name(chosen['share'])}")


def _name(value: float | str | None, none: str = "none") -> str:
    if value is None:
        return none
    return value if isinstance(value, str) else f"{value:g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _difference(row: dict[str, Any]) -> str:
    if row["difference"] is None:
        return "-"
    error = row["standard_error"]
    return f"{row['difference']:+.3f}" + ("" if error is None else f" +- {error:.3f}")
