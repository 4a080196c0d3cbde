"""Several runs whose presets differ in one key: the error of their students against that key.

Seeds are no such key: runs of one value and several seeds are chains, over which means are taken.
"""

import statistics
from dataclasses import dataclass, fields
from typing import Any

from cgankd.preset import Preset
from cgankd.report import figures
from cgankd.report.blocks import Block, Heading, Picture, Table, Text
from cgankd.report.comparison import CHAIN, Row, compare
from cgankd.report.facts import Trained
from cgankd.report.records import RunRecords
from cgankd.report.summary import Summary
from cgankd.report.tables import NONE, metric
from cgankd.statistics import standard_error

APART = {"name", "seed", "paper", "report"}  # tables and keys that make no other students


@dataclass(frozen=True)
class Point:
    """The students of one method and its networks at one value of the key."""

    mean: float
    standard_error: float | None  # over the chains; of a single one over its students
    chains: int


@dataclass(frozen=True)
class Across:
    """The key, its values in their order, and a line for each method: a point for each value, None
    where no run has students of that method.
    """

    key: str
    values: list[Any]
    lines: dict[str, list[Point | None]]
    split: str  # the rows that students are scored on


def across(read_runs: list[RunRecords]) -> Across | None:
    """The error by the key in which runs differ; None where there is no such key, or nobody is
    scored.

    It is that on validation rows, by which a value may be chosen; where the published protocol has
    trained on these, that on test rows.
    """
    key = varied([records.preset for records in read_runs])
    if key is None:
        return None
    scored = [records for records in read_runs if records.members]
    paper = any(records.preset.data.protocol == "paper" for records in scored)
    split = "test" if paper else "validation"
    found: dict[Any, dict[str, list[Row]]] = {}
    for records in scored:
        lines = found.setdefault(records.preset.flat(APART).get(key), {})
        for row in _rows(records, split):
            lines.setdefault(_named(row), []).append(row)
    values = _ordered(list(found))
    if len(values) < 2:
        return None
    names = dict.fromkeys(name for value in values for name in found[value])
    return Across(
        key,
        values,
        {name: [_point(found[value].get(name, [])) for value in values] for name in names},
        split,
    )


def varied(presets: list[Preset]) -> str | None:
    """The one key, as table.key, in which presets differ beside their seeds."""
    flat = [preset.flat(APART) for preset in presets]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    differing = [key for key in keys if len({settings.get(key) for settings in flat}) > 1]
    return differing[0] if len(differing) == 1 else None


def section(found: Across, summary: Summary) -> list[Block]:
    """The figure and its numbers; metric and unit are those of one of the runs."""
    chosen = (
        "so that a value may be chosen by it"
        if found.split == "validation"
        else "since the validation rows were trained on: choose nothing by it"
    )
    text = (
        f"These runs differ in {found.key} alone, seeds aside. The error is that on {found.split} "
        f"rows, {chosen}."
    )
    axis = metric(summary, found.split)
    caption = (
        f"Error by {found.key}: mean ± standard error over chains, or over the students of a "
        "single one."
    )
    picture = Picture(figures.across(_drawn(found), _texts(found), found.key, axis), caption)
    return [Heading(f"By {found.key}", 2), Text(text), _table(found, axis), picture]


def _rows(records: RunRecords, split: str) -> list[Row]:
    if split == "test":
        return compare(records.members)
    names = [one.name for one in fields(Trained)]
    return compare(
        [Trained(**{name: getattr(member, name) for name in names}) for member in records.members]
    )


def _named(row: Row) -> str:
    return " · ".join(row[name] for name in ("method", *CHAIN) if row[name])


def _point(rows: list[Row]) -> Point | None:
    if not rows:
        return None
    means = [row["mean"] for row in rows]
    each = means if len(rows) > 1 else list(rows[0]["scores"].values())
    return Point(statistics.fmean(means), standard_error(each), len(rows))


def _ordered(values: list[Any]) -> list[Any]:
    """Numbers by their size, words as they come."""
    numbers = all(isinstance(value, int | float) for value in values)
    return sorted(values) if numbers else values


def _texts(found: Across) -> list[str]:
    return [
        f"{value:,}" if isinstance(value, int | float) else str(value) for value in found.values
    ]


def _drawn(found: Across) -> dict[str, list[tuple[int, float, float]]]:
    """Of each line the points that there are: place, mean and standard error."""
    return {
        name: [
            (place, point.mean, point.standard_error or 0)  # of a single student there is none
            for place, point in enumerate(points)
            if point
        ]
        for name, points in found.lines.items()
    }


def _table(found: Across, axis: str) -> Table:
    by_value = zip(*found.lines.values(), strict=True)
    chains = [max(point.chains for point in points if point) for points in by_value]
    columns = {found.key: _texts(found), "chains": [str(num) for num in chains]}
    for name, points in found.lines.items():
        columns[f"{name}: {axis}"] = [_cell(point) for point in points]
    return Table(columns)


def _cell(point: Point | None) -> str:
    if point is None:
        return NONE
    error = "" if point.standard_error is None else f" ± {point.standard_error:.3f}"
    return f"{point.mean:.3f}{error}"
