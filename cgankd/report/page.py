"""The report: one self-contained page of runs, finished or not, and the same as Markdown and JSON.

report.json holds the summaries of the runs; the other two are one list of blocks, shown twice.
"""

from dataclasses import asdict
from pathlib import Path

from cgankd import console, runs
from cgankd.errors import UserError
from cgankd.report import blocks, chains, tables
from cgankd.report.across import across
from cgankd.report.across import section as by_key
from cgankd.report.blocks import Block, Heading, Text
from cgankd.report.comparison import Row
from cgankd.report.logs import loss_logs, sample_sheets
from cgankd.report.records import RunRecords, read
from cgankd.report.sections import section
from cgankd.report.summary import Summary, summarise
from cgankd.report.tables import metric
from cgankd.version import VERSION

FEW = 5  # seeds, below which two standard errors mean little


def build(roots: list[Path], page: Path) -> Path:
    """Writes `page`, and beside it report.md and report.json, unless they stand for these records;
    returns it. Nothing else is written: the run folders are only read.
    """
    read_runs = [read(root) for root in roots]
    names = _names(read_runs)
    summaries = [summarise(records, name) for records, name in zip(read_runs, names, strict=True)]
    digest = _digest(read_runs, summaries)
    several = chains.over_chains(read_runs, summaries)
    if _stands(page, digest):
        console.say("report: nothing to do")
    else:
        _write(page, digest, read_runs, summaries, several)
        console.say(f"report: {page}")
    _say(summaries, several)
    return page


def _say(summaries: list[Summary], several: list[Row]) -> None:
    """The scores as far as 80 columns hold them, and what is not done."""
    if several:
        table = chains.table(several, summaries[0])
        title = f"On the test rows, over {len(summaries)} chains (*: over two standard errors)"
        console.table(title, table.header, tables.starred(table))
    scored = [summary for summary in summaries if summary["methods"]]
    if scored:
        table = tables.terminal(scored)
        title = "On the test rows (*: over two standard errors; †: not recommended)"
        console.table(title, table.header, table.rows)
    for summary in scored:
        budget = tables.budget(summary["budget"], summary["methods"])
        console.say(f"budget of {summary['name']}: {budget}")
        if ship := summary["ship"]:
            console.say(f"to use, the best on validation rows: {ship['path']}{_cost(ship)}")
    for summary in summaries:
        rows = [row for row in summary["stages"] if row["state"] != "done"]
        if rows:
            states = ", ".join(f"{row['stage']} {row['state']}" for row in rows)
            console.say(f"{summary['name']} is not finished: {states}")


def _cost(ship: Row) -> str:
    time = "" if ship["one"] is None else f", {ship['one']:.3g} ms for an image"
    return f" ({ship['parameters']:,} parameters{time})"


def _names(read_runs: list[RunRecords]) -> list[str]:
    """The names of the presets; with the folder where two runs share one."""
    names = [records.preset.name for records in read_runs]
    return [
        f"{name} ({records.run.root})" if names.count(name) > 1 else name
        for name, records in zip(names, read_runs, strict=True)
    ]


def _digest(read_runs: list[RunRecords], summaries: list[Summary]) -> str:
    """Of all that the page is made from."""
    files = [_shown_files(records) for records in read_runs]
    made_by = {"cgankd": VERSION, "format": runs.FORMAT}
    return runs.digest({**made_by, "runs": summaries, "files": files})


def _shown_files(records: RunRecords) -> dict[str, str]:
    """The digest of every file that the page shows beside the summary, by its place in the run
    folder; of the pool, its record.
    """
    run = records.run
    logs = [log for group in loss_logs(records).values() for log in group.values()]
    files = [run.preset, run.pool, *logs, *sample_sheets(records).values()]
    return {
        str(path.relative_to(run.root)): runs.file_digest(path)
        for path in sorted(files)
        if path.is_file()
    }


def _stands(page: Path, digest: str) -> bool:
    """Whether the page has been made from these records."""
    data = page.with_name("report.json")
    try:
        return page.exists() and data.exists() and runs.read_json(data).get("digest") == digest
    except UserError:
        return False


def _write(
    page: Path,
    digest: str,
    read_runs: list[RunRecords],
    summaries: list[Summary],
    several: list[Row],
) -> None:
    title = f"cgankd report: {', '.join(summary['name'] for summary in summaries)}"
    found = across(read_runs) if len(read_runs) > 1 else None
    parts = chains.section(several, summaries[0]) if several else []
    parts += overview(summaries) + (by_key(found, summaries[0]) if found else [])
    for records, summary in zip(read_runs, summaries, strict=True):
        if len(summaries) > 1:
            parts += [Heading(summary["name"], 2)]
            parts += [tables.methods(summary)] if summary["methods"] else []
        parts += section(records, summary)
    compared: Row = {"across": asdict(found)} if found else {}
    compared |= {"chains": several} if several else {}
    data = {"cgankd": VERSION, "digest": digest, "runs": summaries, **compared}
    runs.write_bytes(page, blocks.html(title, parts).encode())
    markdown = blocks.markdown([Heading(title, 1), *parts])
    runs.write_bytes(page.with_name("report.md"), markdown.encode())
    runs.write_json(page.with_name("report.json"), data)


# The scores of all runs


def overview(summaries: list[Summary]) -> list[Block]:
    """The method table of one run or one table over several, and how to read it."""
    scored = [summary for summary in summaries if summary["methods"]]
    without = [
        Text(f"{summary['name']}: no scored students yet, so that the table leaves it out.", "note")
        for summary in summaries
        if not summary["methods"]
    ]
    if not scored:
        return []
    several = len(summaries) > 1
    table = tables.settings(scored) if several else tables.methods(scored[0])
    rows = [row for summary in scored for row in summary["methods"]]
    notes = [
        *dict.fromkeys(f"† {row['note']}" for row in rows if row["note"]),
        *_sources(scored),
        *_measured(scored),
        *_reading(rows, several),
    ]
    return [table, *without, *(Text(note, "note") for note in notes)]


def _sources(summaries: list[Summary]) -> list[str]:
    """Where the published numbers come from, and fakes that are not those of the pool."""
    quoted = [
        f"published ({summary['name']}): quoted in the preset, not measured here. "
        f"{summary['published']['note']}".strip()
        for summary in summaries
        if any(row["published"] for row in summary["methods"])
    ]
    files = [
        f"{summary['name']}: the fakes of {row['method']} are those of {row['file']}, not of the "
        "pool."
        for summary in summaries
        for row in summary["methods"]
        if row["file"]
    ]
    return [*quoted, *dict.fromkeys(files)]


def _measured(summaries: list[Summary]) -> list[str]:
    """What was measured, on how many rows, at what cost: once for all runs of which it holds."""
    names: dict[str, list[str]] = {}
    for summary in summaries:
        said = (
            f"{metric(summary, 'test')} on {summary['rows']:,} test rows, lower is better. Budget: "
            f"{tables.budget(summary['budget'], summary['methods'])}."
        )
        names.setdefault(said, []).append(summary["name"])
    return [f"{', '.join(runs)}: {said}" for said, runs in names.items()]


def _reading(rows: list[Row], several: bool) -> list[str]:
    """How to read scores and differences."""
    pairs = min((row["pairs"] for row in rows if row["pairs"]), default=FEW)
    weak = f" With {pairs} seeds even that is weak evidence." if pairs < FEW else ""
    reading = [
        "One GAN, one teacher, k students (k: the column seeds). Scores are the mean ± sample "
        "deviation over the students' seeds, and another GAN or teacher would add to it.",
        "vs NOKD: the mean ± standard error of the differences to NOKD, the same student from the "
        "same seed on real images and labels alone. Bold and coloured only where it exceeds two "
        f"standard errors.{weak}",
    ]
    if several:
        reading.append(
            "In the table over all settings only what is better than NOKD by as much is bold."
        )
    return reading
