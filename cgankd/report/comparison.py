"""Scores of students as plain values: their statistics, and what was published beside them.

Scores are errors in the unit of the task: lower is better. A difference is paired: score of a
student minus that of the student of the same network and seed without distillation and fakes
(NOKD).
"""

import statistics
from collections.abc import Sequence
from typing import Any

from cgankd.preset import Paper
from cgankd.report.facts import Member, Trained
from cgankd.statistics import paired, spread, standard_error

Row = dict[str, Any]  # of the method table, the ablation or a curve

CHAIN = ("teacher", "assistant", "student")
SHARED = (
    "parameters",
    "steps",
    "fakes",
    "rho",
    "share",
    "nfake",
    "file",
)  # by the students of a row


def against(scores: dict[int, float], baseline: dict[int, float]) -> Row:
    """The mean difference over the seeds that both have, and its standard error."""
    pairs = len(scores.keys() & baseline.keys())
    if not pairs:
        return {"difference": None, "standard_error": None, "pairs": 0, "significant": False}
    mean, error = paired(scores, baseline)
    return {
        "difference": mean,
        "standard_error": error,
        "pairs": pairs,
        "significant": error is not None and abs(mean) > 2 * error,
    }


def compare(members: Sequence[Trained]) -> list[Row]:
    """One row per method, teacher, assistant and student, in the order of the members."""
    groups: dict[tuple[str, ...], list[Trained]] = {}
    for member in members:
        groups.setdefault((member.row, *_networks(member)), []).append(member)
    baselines = {key[3]: _scores(group) for key, group in groups.items() if key[0] == "nokd"}
    return [_row(key, group, baselines.get(key[3], {})) for key, group in groups.items()]


def _row(key: tuple[str, ...], group: list[Trained], baseline: dict[int, float]) -> Row:
    scores, first = _scores(group), group[0]
    mean, deviation = spread(list(scores.values()))
    compared = {} if key[0] == "nokd" else baseline
    return {
        **dict(zip(("method", *CHAIN), key, strict=True)),
        "mean": mean,
        "deviation": deviation,
        "seeds": len(scores),
        **{name: getattr(first, name) for name in SHARED},
        **against(scores, compared),
        "scores": {str(seed): score for seed, score in scores.items()},
    }


def by_steps(members: list[Trained]) -> list[Row]:
    """The rows of `compare` for each number of steps, so that differences are at equal steps; of
    each method's networks `best` is the one of lowest score.
    """
    steps = sorted({member.steps for member in members})
    rows = [
        row
        for num in steps
        for row in compare([member for member in members if member.steps == num])
    ]
    lowest: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = line_of(row)
        lowest[key] = min(row["mean"], lowest.get(key, row["mean"]))
    return [{**row, "best": row["mean"] == lowest[line_of(row)]} for row in rows]


def line_of(row: Row) -> tuple[str, ...]:
    """The method of a row and its networks."""
    return tuple(row[name] for name in ("method", *CHAIN))


def curves(members: list[Member]) -> list[Row]:
    """Score against number of fakes, for each method and its networks where there are several
    numbers beside none.
    """
    groups: dict[tuple[str, ...], dict[int, list[Member]]] = {}
    for member in members:
        # Without fakes a method is the first point of the same method with fakes.
        method = method_of(member.row).removesuffix("+fake") + "+fake"
        by_number = groups.setdefault((method, *_networks(member)), {})
        by_number.setdefault(member.fakes, []).append(member)
    return [
        {
            **dict(zip(("method", *CHAIN), key, strict=True)),
            "points": [_point(num, by_number[num]) for num in sorted(by_number)],
        }
        for key, by_number in groups.items()
        if len(by_number) > 2
    ]


def _point(fakes: int, group: list[Member]) -> Row:
    scores = list(_scores(group).values())
    return {
        "fakes": fakes,
        "mean": statistics.fmean(scores),
        "standard_error": standard_error(scores),
    }


def _scores(group: Sequence[Trained]) -> dict[int, float]:
    return {member.seed: member.score for member in group}


def _networks(member: Trained) -> tuple[str, ...]:
    return member.teacher, member.assistant, member.network


def method_of(row: str) -> str:
    """The method of a row, which names the number of fakes, too, where there are several: nokd+fake
    (1000).
    """
    return row.partition(" (")[0]


def within(chain: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    """Whether the networks of `chain` are those of `whole`, or, where a method uses no teacher,
    some of them.
    """
    return all(name in ("", other) for name, other in zip(chain, whole, strict=True))


# What was published


def published(row: Row, paper: Paper) -> list[float]:
    """The distinct published errors of a row of the method table: tables of one publication may
    differ.

    A row that is one of several numbers of fakes is compared with the published number for as many.
    """
    method = method_of(row["method"])
    if method != row["method"]:
        curve = dict(published_curve(method, row["student"], paper))
        return [curve[row["nfake"]]] if row["nfake"] in curve else []
    chain = tuple(row[name] for name in CHAIN)
    lines = [
        line
        for line in paper.results
        if within(chain, (line.teacher, line.assistant or "", line.student))
    ]
    return list(dict.fromkeys(line.errors[method] for line in lines if method in line.errors))


def published_curve(method: str, student: str, paper: Paper) -> list[tuple[int, float]]:
    """The published (number of fakes, error) of a student; of nokd+fake alone."""
    if paper.nfake is None or method != "nokd+fake" or student not in paper.nfake.errors:
        return []
    return list(zip(paper.nfake.counts, paper.nfake.errors[student], strict=True))


def published_step(row: Row, paper: Paper) -> list[float]:
    """The published error of a row of the ablation."""
    steps = paper.ablation
    if steps is None or steps.student != row["student"] or row["method"] not in steps.errors:
        return []
    return [steps.errors[row["method"]]]
