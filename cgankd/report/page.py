"""The report: one self-contained page of finished runs, and the same as Markdown and as JSON.

report.json holds the numbers as results.py finds them; the other two are one list of blocks, shown
twice.
"""

from pathlib import Path

from cgankd import __version__, console, runs
from cgankd.errors import UserError
from cgankd.fakes import FakeSelection, Pool
from cgankd.report import blocks as document
from cgankd.report import figures, records, tables
from cgankd.report.blocks import Block, Caution, Code, Folded, Heading, Picture, Sheets, Text
from cgankd.report.comparison import Record
from cgankd.report.records import Results
from cgankd.report.tables import metric

FEW = 5  # seeds, below which two standard errors mean little
EVALUATED = {"intra": "Intra-label FID", "diversity": "Diversity"}


def build(roots: list[Path], page: Path) -> Path:
    """Writes `page`, and beside it report.md and report.json, unless they stand for these results;
    returns it.
    """
    found = [records.read(root) for root in roots]
    contents = [records.inputs(one) for one in found]
    digest = runs.digest({"cgankd": __version__, "format": runs.FORMAT, "runs": contents})
    summaries = [records.summary(one, name) for one, name in zip(found, _names(found), strict=True)]
    if _stands(page, digest):
        console.say("report: nothing to do")
    else:
        _write(page, digest, found, summaries)
        console.say(f"report: {page}")
    console.table(
        "On the test rows (*: over two standard errors; †: not recommended)",
        *tables.terminal(summaries),
    )
    for one in summaries:
        console.say(f"budget of {one['name']}: {tables.budget(one['budget'], one['methods'])}")
    return page


def _names(found: list[Results]) -> list[str]:
    """The names of the presets; with the folder where two runs share one."""
    names = [one.preset.name for one in found]
    return [
        f"{name} ({one.run.root})" if names.count(name) > 1 else name
        for name, one in zip(names, found, strict=True)
    ]


def _stands(page: Path, digest: str) -> bool:
    data = page.with_name("report.json")
    try:
        return page.exists() and data.exists() and runs.read_json(data).get("digest") == digest
    except UserError:
        return False


def _write(page: Path, digest: str, found: list[Results], summaries: list[Record]) -> None:
    title = f"cgankd report: {', '.join(one['name'] for one in summaries)}"
    blocks = overview(summaries)
    for result, one in zip(found, summaries, strict=True):
        if len(found) > 1:
            blocks += [Heading(one["name"], 2)]
            blocks += [tables.methods(one)] if one["methods"] else []
        blocks += section(result, one)
    markdown = document.markdown([Heading(title, 1), *blocks])
    runs.write_bytes(page, document.html(title, blocks).encode())
    runs.write_bytes(page.with_name("report.md"), markdown.encode())
    runs.write_json(
        page.with_name("report.json"), {"cgankd": __version__, "digest": digest, "runs": summaries}
    )


# The blocks


def overview(summaries: list[Record]) -> list[Block]:
    """The method table of one run or one table over several, and how to read it."""
    rows = [row for one in summaries for row in one["methods"]]
    if not rows:
        return []
    pairs = min((row["pairs"] for row in rows if row["pairs"]), default=FEW)
    weak = f" With {pairs} seeds even that is weak evidence." if pairs < FEW else ""
    notes = dict.fromkeys(f"† {row['note']}" for row in rows if row["note"])
    quoted = [
        f"published ({one['name']}): quoted in the preset, not measured here. "
        f"{one['published']['note']}".strip()
        for one in summaries
        if any(row["published"] for row in one["methods"])
    ]
    files = dict.fromkeys(
        f"{one['name']}: the fakes of {row['method']} are those of {row['file']}, not of the pool."
        for one in summaries
        for row in one["methods"]
        if row["file"]
    )
    measured = [
        f"{one['name']}: {metric(one, 'test')} on {one['rows']:,} test rows, lower is better. "
        f"Budget: {tables.budget(one['budget'], one['methods'])}."
        for one in summaries
    ]
    reading = [
        "One GAN, one teacher, k students (k: the column seeds). Scores are the mean ± sample "
        "deviation over the "
        "students' seeds, and another GAN or teacher would add to it.",
        "vs NOKD: the mean ± standard error of the differences to NOKD, the same student from the "
        "same seed on real "
        f"images and labels alone. Bold and coloured only where it exceeds two standard "
        f"errors.{weak}",
    ]
    if len(summaries) > 1:
        reading.append(
            "In the table over all settings only what is better than NOKD by as much is bold."
        )
    table = tables.settings(summaries) if len(summaries) > 1 else tables.methods(summaries[0])
    return [table, *(Text(text, "note") for text in [*notes, *quoted, *files, *measured, *reading])]


def section(found: Results, one: Record) -> list[Block]:
    """All about one run but the method table."""
    parts = {
        "methods": _students,
        "curves": _curves,
        "ablation": _ablation,
        "published": _published,
        "rho": _search,
        "teachers": _teachers,
    }
    blocks = [block for key, part in parts.items() if one[key] for block in part(one)]
    fakes = _fakes(found, one) if found.pool else []
    return [*_data(one), *blocks, *fakes, *_training(found), *_origin(found, one)]


def _data(one: Record) -> list[Block]:
    splits = ", ".join(f"{num:,} {split}" for split, num in one["splits"].items())
    facts = (
        f"Data: {one['source']}, protocol {one['protocol']}, rows: {splits}. Folder: "
        f"{one['folder']}"
    )
    return [Text(facts), *map(Caution, one["cautions"])]


def _students(one: Record) -> list[Block]:
    caption = (
        "Every student on the test rows: a dot per seed, the bar their mean, the dashed line the "
        "mean of NOKD "
        "for the same network. Further left is better."
    )
    return [Picture(figures.students(one["methods"], metric(one, "test")), caption)]


def _curves(one: Record) -> list[Block]:
    caption = (
        "Error on the test rows by the number of fakes, mean ± standard error over the seeds; 0 "
        "is the same method on "
        "real images alone. Open circles are published numbers."
    )
    if one["budget"] == "epochs":
        caption += " At equal epochs more fakes are more optimiser steps, too."
    return [Picture(figures.curves(one["curves"], metric(one, "test")), caption)]


def _ablation(one: Record) -> list[Block]:
    text = (
        f"What each step adds for {one['ablation'][0]['student']}, with the statistics of the "
        "table above. "
        f"Budget: {tables.budget(one['budget'], one['ablation'])}."
    )
    return [Heading("Ablation"), Text(text), tables.ablation(one)]


def _published(one: Record) -> list[Block]:
    text = (
        "Quoted in the preset, not measured here; from other networks, data or budgets they "
        "compare only roughly."
    )
    quoted = tables.published(one["published"])
    notes = [*([text] if quoted else []), one["published"]["note"]]
    return [Folded("Published numbers", [Text(" ".join(notes)), *quoted])]


def _search(one: Record) -> list[Block]:
    found = one["rho"]
    error = tables.number(one, found["standard_error"])
    alone = found["standard_error"] is None
    best = f"{found['best_rho']:g}, " + (
        "the lowest, of one student each"
        if alone
        else f"the largest within one standard error ({error}) of the lowest"
    )
    outcome = f"Chosen: {best}."
    if found["rho"] is None:
        outcome = f"No fakes won: no rho reaches the error without fakes. Best with fakes: {best}."
    rows = f"{found['rows']:,} validation rows" + (
        " (leaky: see the caution above)" if found["leaky"] else ""
    )
    text = f"The share of fakes to keep, chosen on {rows}, never on test rows. {outcome}"
    if one["budget"] == "epochs":
        text += (
            " Budget: equal epochs, so that a candidate with more fakes took more optimiser steps."
        )
    caption = (
        "Mean ± deviation of the students of each candidate on the validation rows; the "
        "chosen one is filled."
    )
    picture = Picture(
        figures.search(found["table"], found["rho"], metric(one, "validation")), caption
    )
    return [Heading("Search for rho"), Text(text), tables.search(one), picture]


def _teachers(one: Record) -> list[Block]:
    return [Heading("Teachers"), tables.teachers(one)]


def _fakes(found: Results, one: Record) -> list[Block]:
    pool, rho, facts, ratio = Pool(found.run.pool), one["rho_used"], one["pool"], one["ratio"]
    bins, relabel = one["filter_bins"], one["relabel"]
    view = FakeSelection(rho=rho, bins=bins, relabel="hard" if relabel == "keep" else relabel)
    each = f" in each of {bins} ranges of labels" if bins > 1 else ""
    text = (
        f"{facts['num_accepted']:,} fakes, {facts['per_label']:,} per label; {one['filter']} "
        f"filters, rho = {rho:g}"
    )
    text += f"{each}."
    if ratio:
        share = f"effective sample share {ratio['effective_share']:.1%}"
        text += f" Density ratio of fakes: mean {ratio['mean_ratio']:.3g} (1 expected), {share}."
    last, third = "the last panel's", "the third panel's: relabelling is off"
    used = {"hard": last, "unclipped": f"{last}, unclipped", "keep": third}[relabel]
    cut = (
        "The filter keeps what lies left of the cut."
        if bins == 1
        else "Each range of labels has a cut of its own."
    )
    return [
        Heading("Fakes"),
        Text(text),
        *(_evaluation(one["evaluation"]) if one["evaluation"] else []),
        Sheets(
            figures.sheets(pool, view, found.preset.report.columns),
            "Fakes by the label asked for. Subsampling should lose what looks unlike a real "
            "image, the filter what "
            "does not show its label: the dropped ones should look worse than the kept ones.",
        ),
        Picture(
            figures.labels(pool, view),
            "Labels of the fakes after each step. Raw and subsampled are level by construction; a "
            "filter that prefers "
            f"some labels makes the third panel uneven. Students see {used}.",
        ),
        *_filtered(pool, view),
        Picture(
            figures.errors(pool, view),
            f"Error of the teacher on each subsampled fake, against the label asked for. {cut}",
        ),
        Picture(
            figures.acceptance(facts["labels"]),
            "Rejection sampling by label. Little acceptance, a low effective sample share or many "
            "clipped ratios mean "
            "a density ratio that is not to be trusted there.",
        ),
        Folded("Rejection sampling by label", [tables.rejection(one)]),
    ]


def _filtered(pool: Pool, view: FakeSelection) -> list[Block]:
    if not figures.is_continuous(pool):
        return []
    caption = (
        "The label before and after the filter. Where little is left, the teacher errs on what "
        "was asked for; the line "
        "is the labels that the kept fakes are given."
    )
    return [Picture(figures.filtered(pool, view), caption)]


def _evaluation(found: Record) -> list[Block]:
    """How far the fakes are from real images: the table, and the protocol of its numbers."""
    features, types, unit = found["features"], found["types"], found["unit"]
    first = found["rows"][0]["row"]
    text = [
        f"SFID: the Fréchet distance between fakes and training images in the "
        f"{features['size']:,} features of the "
        f"density ratio's {features['network']}, in {found['centers']} windows of radius "
        f"{found['radius']:g} {unit}; "
        "intra-label FID: the same for each label by itself. Means ± deviations over the windows "
        "with two images of "
        "each kind. Few images raise a distance, so compare rows at equal counts: with as many "
        "fakes in a window as "
        "there are validation images. Other runs have other features and do not compare.",
        f"Label score: the mean |label that {found['judge']} sees - label asked for| in {unit} ± "
        "the deviation over "
        "images; it also filters, so that it is judge in its own cause.",
    ]
    if types:
        text.append(
            f"Diversity: the entropy (nats) of the {types['num']} types that {types['network']} "
            "sees in a window, "
            f"{types['maximum']:.3g} at most; on validation images it is wrong in "
            f"{types['validation']:.3g} %."
        )
    text += [
        f"{EVALUATED[score]}: none, since {reason}." for score, reason in found["missing"].items()
    ]
    known = (
        " Teacher, features and classifier were trained on them too (protocol paper)."
        if found["leaky"]
        else ""
    )
    text.append(f"{first}: real images in the place of fakes, the best to hope for.{known}")
    return [tables.evaluation(found), *(Text(part, "note") for part in text)]


def _training(found: Results) -> list[Block]:
    blocks: list[Block] = []
    for sheet in records.sample_sheets(found.run)[-1:]:
        uri = figures.data_uri(sheet.read_bytes(), "image/png")
        step = sheet.stem.removeprefix("step-").lstrip("0")
        blocks.append(
            Picture(uri, f"Samples of the GAN at step {step}, one label per row.", "pixels")
        )
    if panels := records.losses(found):
        caption = (
            "Losses by step: what was logged faintly, its running mean in full. Of the students, "
            "the first of each "
            "method; the terms of its loss are summed, so that levels differ between methods."
        )
        blocks.append(Picture(figures.losses(panels), caption))
    return [Heading("Training"), *blocks] if blocks else []


def _origin(found: Results, one: Record) -> list[Block]:
    return [
        Heading("How it was made"),
        Text("With the preset below saved as preset.toml, this makes the same run:"),
        Code("\n".join(one["commands"])),
        Folded("Preset, as resolved", [Code(found.run.preset.read_text())]),
        Folded("Every student", [tables.students(one)]),
        Folded("Digests of the artefacts", [tables.digests(one)]),
        Folded("Machine and versions", [tables.machine(one)]),
    ]
