"""Runs of one preset that differ in their seeds alone: whole chains, each with a split, a GAN, a
teacher and students of its own, over which means are taken.
"""

from cgankd.report.across import APART
from cgankd.report.blocks import Block, Heading, Table, Text
from cgankd.report.comparison import CHAIN, Row, against, line_of
from cgankd.report.records import RunRecords
from cgankd.report.summary import Summary
from cgankd.report.tables import DIFFERENCE, difference, mark, metric, networks, score
from cgankd.statistics import spread

FAKES_PART = "vs no fakes"


def over_chains(read_runs: list[RunRecords], summaries: list[Summary]) -> list[Row]:
    """One row per method and its networks: the test error as mean and deviation over the chains,
    and of the differences within each chain the mean and its standard error over the chains, to
    NOKD and under "fakes_part" to the same method without fakes. Empty where the runs are not
    several chains of one preset with scored students.
    """
    presets = [records.preset for records in read_runs]
    seeds = {preset.seed for preset in presets}
    alike = all(preset.flat(APART) == presets[0].flat(APART) for preset in presets)
    scored = [summary["methods"] for summary in summaries if summary["methods"]]
    if not alike or len(seeds) < len(presets) or len(scored) < 2:
        return []
    groups: dict[tuple[str, ...], list[tuple[Row, list[Row]]]] = {}
    for rows in scored:
        for row in rows:
            groups.setdefault(line_of(row), []).append((row, rows))
    return [_row(key, group) for key, group in groups.items()]


def section(rows: list[Row], summary: Summary) -> list[Block]:
    """The table and how to read it; metric and unit are those of one of the runs."""
    num, shown = max(row["chains"] for row in rows), table(rows, summary)
    also = f"; {FAKES_PART}: to the same method without them" if FAKES_PART in shown.columns else ""
    text = (
        "These runs differ in their seeds alone: each is a whole chain, with a split, a GAN, a "
        "teacher and students of its own. Scores are mean ± sample deviation over the chains; "
        "differences are paired within a chain, mean ± standard error over the chains, bold where "
        f"they exceed two of these{also}."
    )
    return [Heading(f"Over {num} chains", 2), shown, Text(text, "note")]


def table(rows: list[Row], summary: Summary) -> Table:
    """The rows as text."""
    columns = {
        "method": [row["method"] for row in rows],
        "networks": [networks(row) for row in rows],
        metric(summary, "test"): [score(summary, row) for row in rows],
        DIFFERENCE: [difference(summary, row) for row in rows],
    }
    marks = [{DIFFERENCE: found} if (found := mark(row)) else {} for row in rows]
    if any(row["fakes_part"]["pairs"] for row in rows):
        columns[FAKES_PART] = [difference(summary, row["fakes_part"]) for row in rows]
        for row, marked in zip(rows, marks, strict=True):
            marked |= {FAKES_PART: found} if (found := mark(row["fakes_part"])) else {}
    return Table({**columns, "chains": [str(row["chains"]) for row in rows]}, 2, marks)


def _row(key: tuple[str, ...], group: list[tuple[Row, list[Row]]]) -> Row:
    mean, deviation = spread([row["mean"] for row, _ in group])
    to_nokd = [row["difference"] for row, _ in group if row["difference"] is not None]
    without = [_without_fakes(row, rows) for row, rows in group if row["method"] != "nokd+fake"]
    return {
        **dict(zip(("method", *CHAIN), key, strict=True)),
        "mean": mean,
        "deviation": deviation,
        "chains": len(group),
        **_difference(to_nokd),
        "fakes_part": _difference([value for value in without if value is not None]),
    }


def _difference(values: list[float]) -> Row:
    """The mean of differences that chains have found, as one of two students is told."""
    return against(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0))


def _without_fakes(row: Row, rows: list[Row]) -> float | None:
    """How far a method with fakes is from the same without them in one chain, if it has both."""
    method, fakes = row["method"].removesuffix("+fake"), row["method"].endswith("+fake")
    plain = [other for other in rows if fakes and line_of(other) == (method, *line_of(row)[1:])]
    return against(row["scores"], plain[0]["scores"])["difference"] if plain else None
