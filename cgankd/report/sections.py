"""All that the page says of one run but its method table, section by section."""

from pathlib import Path

from cgankd.errors import DATA, UserError
from cgankd.fakes import FakeSelection, Pool
from cgankd.report import figures, logs, tables
from cgankd.report.blocks import Block, Caution, Code, Folded, Heading, Picture, Sheet, Sheets, Text
from cgankd.report.comparison import Row
from cgankd.report.facts import FakePool
from cgankd.report.records import RunRecords
from cgankd.report.summary import Summary
from cgankd.report.tables import metric

EVALUATED = {"intra": "Intra-label FID", "diversity": "Diversity"}


def section(records: RunRecords, summary: Summary) -> list[Block]:
    """The sections of one run, in their order."""
    parts = {
        "methods": _students,
        "curves": _curves,
        "steps": _steps,
        "ablation": _ablation,
        "published": _published,
        "rho": _search,
        "teachers": _teachers,
    }
    blocks = [block for key, part in parts.items() if summary[key] for block in part(summary)]
    fakes = _fakes(records, records.pool, summary) if records.pool else []
    return [*_data(summary), *blocks, *fakes, *_training(records), *_origin(records, summary)]


def _data(summary: Summary) -> list[Block]:
    splits = ", ".join(f"{num:,} {split}" for split, num in summary["splits"].items())
    rows = f", rows: {splits}" if splits else ""
    data = f"Data: {summary['source']}, protocol {summary['protocol']}{rows}."
    return [
        Text(f"{data} Folder: {summary['folder']}"),
        *map(Caution, summary["cautions"]),
        *_progress(summary),
    ]


def _progress(summary: Summary) -> list[Block]:
    """What is done and what is missing of a run that is not finished."""
    if all(row["state"] == "done" for row in summary["stages"]):
        return []
    done, begun = (summary["trained_students"][state] for state in ("done", "begun"))
    text = f"Students, of all stages: {done:,} trained, {begun:,} begun."
    return [Heading("Not finished"), tables.stages(summary), Text(text, "note")]


# Students


def _students(summary: Summary) -> list[Block]:
    caption = (
        "Every student on the test rows: a dot per seed, the bar their mean, the dashed line the "
        "mean of NOKD for the same network. Further left is better."
    )
    return [Picture(figures.students(summary["methods"], metric(summary, "test")), caption)]


def _curves(summary: Summary) -> list[Block]:
    caption = (
        "Error on the test rows by the number of fakes, mean ± standard error over the seeds; 0 "
        "is the same method on real images alone. Open circles are published numbers."
    )
    if summary["budget"] == "epochs":
        caption += " At equal epochs more fakes are more optimiser steps, too."
    return [Picture(figures.curves(summary["curves"], metric(summary, "test")), caption)]


def _steps(summary: Summary) -> list[Block]:
    """The error by the students' steps."""
    rows, table = summary["steps"]["rows"], summary["steps"]["table"]
    alone = [row for row in table if row["method"] == "nokd" and row["best"]]
    best = "; ".join(f"{row['student']} at {row['steps']:,} steps" for row in alone)
    text = (
        f"The error on {rows:,} validation rows by the students' optimiser steps, each number of "
        "steps a training of its own; differences are to NOKD at the same steps. No test row is "
        "looked at, so that steps may be chosen here. The lowest of each method is marked."
        + (f" NOKD is best for {best}." if best else "")
    )
    caption = "Error by the students' steps: mean ± standard error over the seeds."
    picture = Picture(figures.steps(table, metric(summary, "validation")), caption)
    return [Heading("Students' steps"), Text(text), tables.steps(summary), picture]


def _ablation(summary: Summary) -> list[Block]:
    rows = summary["ablation"]
    text = (
        f"What each step adds for {rows[0]['student']}, with the statistics of the table above. "
        f"Budget: {tables.budget(summary['budget'], rows)}."
    )
    return [Heading("Ablation"), Text(text), tables.ablation(summary)]


def _published(summary: Summary) -> list[Block]:
    text = (
        "Quoted in the preset, not measured here; from other networks, data or budgets they "
        "compare only roughly."
    )
    quoted = tables.published(summary["published"])
    notes = [*([text] if quoted else []), summary["published"]["note"]]
    return [Folded("Published numbers", [Text(" ".join(notes)), *quoted])]


def _search(summary: Summary) -> list[Block]:
    search = summary["rho"]
    leaky = " (leaky: see the caution above)" if search["leaky"] else ""
    text = (
        f"The share of fakes to keep, chosen on {search['rows']:,} validation rows{leaky}, never "
        f"on test rows. {_outcome(summary)}"
    )
    if summary["budget"] == "epochs":
        text += (
            " Budget: equal epochs, so that a candidate with more fakes took more optimiser steps."
        )
    figure = figures.search(search["table"], search["rho"], metric(summary, "validation"))
    caption = (
        "Mean ± deviation of the students of each candidate on the validation rows; the "
        "chosen one is filled."
    )
    picture = Picture(figure, caption)
    return [Heading("Search for rho"), Text(text), tables.search(summary), picture]


def _outcome(summary: Summary) -> str:
    """Which rho was chosen, and why."""
    search = summary["rho"]
    if search["standard_error"] is None:
        why = "the lowest, of one student each"
    else:
        error = tables.number(summary, search["standard_error"])
        why = f"the largest within one standard error ({error}) of the lowest"
    best = f"{search['best_rho']:g}, {why}"
    if search["rho"] is None:
        return f"No fakes won: no rho reaches the error without fakes. Best with fakes: {best}."
    return f"Chosen: {best}."


def _teachers(summary: Summary) -> list[Block]:
    return [Heading("Teachers"), tables.teachers(summary)]


# Fakes


def _fakes(records: RunRecords, facts: FakePool, summary: Summary) -> list[Block]:
    pool, relabel = _opened(records.run.pool, facts), summary["relabel"]
    selection = FakeSelection(
        rho=summary["rho_used"],
        bins=summary["filter_bins"],
        relabel="hard" if relabel == "keep" else relabel,  # shown where it is off, too
    )
    columns = records.preset.report.columns
    evaluation = _evaluation(summary["evaluation"]) if summary["evaluation"] else []
    return [
        Heading("Fakes"),
        Text(_pool_facts(summary)),
        *evaluation,
        Sheets(
            figures.sheets(pool, selection, facts.names, columns),
            "Fakes by the label asked for. Subsampling should lose what looks unlike a real "
            "image, the filter what does not show its label: the dropped ones should look worse "
            "than the kept ones.",
        ),
        *_labels(pool, selection, facts, relabel),
        *_errors(pool, selection, facts.error_unit),
        *_rejection(summary),
    ]


def _opened(path: Path, facts: FakePool) -> Pool:
    """The pool, whose labels must be those of its record: they are shown by name."""
    pool = Pool(path)
    num = len(set(pool.columns["labels"].tolist()))
    if num != len(facts.labels):
        raise UserError(
            f"{path}: names {len(facts.labels)} labels, but the fakes have {num}",
            DATA,
            "run `cgankd generate --rebuild`",
        )
    return pool


def _pool_facts(summary: Summary) -> str:
    facts, ratio, bins = summary["pool"], summary["ratio"], summary["filter_bins"]
    each = f" in each of {bins} ranges of labels" if bins > 1 else ""
    per_label = f"{facts['per_label']:,} per label"
    if facts["images"]:
        per_label = f"at most {per_label}, of {facts['num_images']:,} images in {facts['images']}"
    text = (
        f"{facts['num_accepted']:,} fakes, {per_label}; {summary['filter']} filters, "
        f"rho = {summary['rho_used']:g}{each}."
    )
    if ratio:
        share = f"effective sample share {ratio['effective_share']:.1%}"
        text += f" Density ratio of fakes: mean {ratio['mean_ratio']:.3g} (1 expected), {share}."
    return text


def _labels(pool: Pool, selection: FakeSelection, facts: FakePool, relabel: str) -> list[Block]:
    """The labels of the fakes step by step."""
    last, third = "the last panel's", "the third panel's: relabelling is off"
    used = {"hard": last, "unclipped": f"{last}, unclipped", "keep": third}[relabel]
    steps = (
        "Labels of the fakes after each step. Raw and subsampled are level by construction; a "
        "filter that prefers some labels makes the third panel uneven. Students see "
        f"{used}."
    )
    pictures: list[Block] = [
        Picture(figures.labels(pool, selection, facts.read_label, facts.names), steps)
    ]
    if not facts.read_label.discrete:
        around = (
            "The label before and after the filter. Where little is left, the teacher errs on "
            "what was asked for; the line is the labels that the kept fakes are given."
        )
        pictures.append(Picture(figures.filtered(pool, selection, facts.read_label), around))
    return pictures


def _errors(pool: Pool, selection: FakeSelection, unit: str) -> list[Block]:
    cut = (
        "The filter keeps what lies left of the cut."
        if selection.bins == 1
        else "Each range of labels has a cut of its own."
    )
    caption = f"Error of the teacher on each subsampled fake, against the label asked for. {cut}"
    return [Picture(figures.errors(pool, selection, unit), caption)]


def _rejection(summary: Summary) -> list[Block]:
    caption = (
        "Rejection sampling by label. Little acceptance, a low effective sample share or many "
        "clipped ratios mean a density ratio that is not to be trusted there."
    )
    return [
        Picture(figures.acceptance(summary["pool"]["labels"]), caption),
        Folded("Rejection sampling by label", [tables.rejection(summary)]),
    ]


def _evaluation(evaluated: Row) -> list[Block]:
    """How far the fakes are from real images: the table, and the protocol of its numbers."""
    texts = [*_distances(evaluated), *_diversity(evaluated)]
    texts += [
        f"{EVALUATED[score]}: none, since {reason}."
        for score, reason in evaluated["missing"].items()
    ]
    known = (
        " Teacher, features and classifier were trained on them too (protocol paper)."
        if evaluated["leaky"]
        else ""
    )
    first = evaluated["rows"][0]["row"]
    texts.append(f"{first}: real images in the place of fakes, the best to hope for.{known}")
    return [tables.evaluation(evaluated), *(Text(text, "note") for text in texts)]


def _distances(evaluated: Row) -> list[str]:
    """What SFID, intra-label FID and label score are."""
    features, unit = evaluated["features"], evaluated["unit"]
    return [
        f"SFID: the Fréchet distance between fakes and training images in the "
        f"{features['size']:,} features of the density ratio's {features['network']}, in "
        f"{evaluated['centers']} windows of radius {evaluated['radius']:g} {unit}; intra-label "
        "FID: the same for each label by itself. Means ± deviations over the windows with two "
        "images of each kind. Few images raise a distance, so compare rows at equal counts: with "
        "as many fakes in a window as there are validation images. Other runs have other features "
        "and do not compare.",
        f"Label score: the mean |label that {evaluated['judge']} sees - label asked for| in "
        f"{unit} ± the deviation over images; it also filters, so that it is judge in its own "
        "cause.",
    ]


def _diversity(evaluated: Row) -> list[str]:
    types = evaluated["types"]
    if not types:
        return []
    return [
        f"Diversity: the entropy (nats) of the {types['num']} types that {types['network']} sees "
        f"in a window, {types['maximum']:.3g} at most; on validation images it is wrong in "
        f"{types['validation']:.3g} %."
    ]


# How it was made


def _training(records: RunRecords) -> list[Block]:
    blocks: list[Block] = []
    samples = {
        f"{step:,}": figures.data_uri(path.read_bytes(), "image/png")
        for step, path in logs.sample_sheets(records).items()
    }
    if samples:
        sheets = [Sheet(f"step {step}", [("", uri)]) for step, uri in samples.items()]
        steps = " and ".join(samples)
        caption = f"Samples of the GAN at step {steps}, one label per row."
        blocks.append(Sheets(sheets, caption))
    if panels := logs.losses(records):
        caption = (
            "Losses by step: what was logged faintly, its running mean in full. Of the students, "
            "the first of each method; the terms of its loss are summed, so that levels differ "
            "between methods."
        )
        blocks.append(Picture(figures.losses(panels), caption))
    return [Heading("Training"), *blocks] if blocks else []


def _origin(records: RunRecords, summary: Summary) -> list[Block]:
    details = {
        "Every student": tables.students(summary),
        "Digests of the artefacts": tables.digests(summary),
        "Machine and versions": tables.machine(summary),
    }
    return [
        Heading("How it was made"),
        Text("With the preset below saved as preset.toml, this makes the same run:"),
        Code("\n".join(summary["commands"])),
        Folded("Preset, as resolved", [Code(records.run.preset.read_text("utf-8"))]),
        *(Folded(title, [table]) for title, table in details.items() if table.rows),
    ]
