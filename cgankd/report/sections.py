"""All that the page says of one run but its method table, section by section."""

from pathlib import Path

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.fakes import FakeSelection, Pool
from cgankd.label import make_label
from cgankd.plan import RAW
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
        "by_cost": _costs,
        "curves": _curves,
        "steps": _steps,
        "ablation": _ablation,
        "published": _published,
        "evaluation": _evaluation,
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


def _costs(summary: Summary) -> list[Block]:
    """Which network to use: how well each does, by its size and, where that was measured, time."""
    points, timed = summary["by_cost"], summary["latency"]
    scales = {"parameters": "parameters"}
    if timed and all(point["one"] for point in points):
        scales |= {"one": "ms for an image", "batch": f"ms for {timed['images']} images"}
    caption = (
        "Error on validation rows by what the network costs: students as means over their seeds, "
        "teachers and assistants as rings. The line joins those that nothing of less cost equals."
    )
    axis = metric(summary, "validation")
    return [
        Heading("Which network to use"),
        Text(_to_ship(summary)),
        Picture(figures.costs(points, scales, axis), caption),
        Text(_timed(summary), "note"),
        Folded("Every network with what it costs", [tables.costs(summary)]),
    ]


def _to_ship(summary: Summary) -> str:
    ship = summary["ship"]
    facts = [f"{ship['parameters']:,} parameters"]
    if ship["bytes"]:
        facts.append(f"{ship['bytes'] / 1000:,.0f} kB")
    if ship["one"] is not None:
        images = summary["latency"]["images"]
        facts.append(f"{ship['multiply_adds'] / 1e6:,.3g} million multiply-adds for an image")
        facts.append(f"{ship['one']:.3g} ms for one and {ship['batch']:.3g} ms for {images}")
    return (
        f"The best student on validation rows is {ship['student']}: {', '.join(facts)}. It is in "
        f"{ship['path']}."
    )


def _timed(summary: Summary) -> str:
    """On what the times are those of, or how to come by them."""
    bench = f"cgankd bench {summary['folder']}"
    if not summary["latency"]:
        return f"How long they take is not known yet: {bench} measures it, and then cgankd report."
    made = summary["latency"]["made_on"]
    threads = f"{made['threads']} thread{'s' if made['threads'] > 1 else ''}"
    busy = "; others computed there, so that they are too long" if _was_busy(made) else ""
    return (
        f"Times: medians in torch {made['torch']} on {made['processor']}, {threads}, with pixels "
        f"and outputs in memory, at a load of {made['load']:.1f} on {made['cores']} cores{busy}. "
        f"{bench} measures them anew, and the best student in onnxruntime and in 8 bits too."
    )


def _was_busy(made: Row) -> bool:
    return made["load"] > made["cores"]


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
        f"Whether to use fakes, which share of them to keep (rho) and how many in a batch, chosen "
        f"on {search['rows']:,} validation rows{leaky}, never on test rows. {_outcome(summary)}"
    )
    if summary["budget"] == "epochs":
        text += (
            " Budget: equal epochs, so that a candidate with more fakes took more optimiser steps."
        )
    return [Heading("Search for rho"), Text(text), tables.search(summary), *_differences(summary)]


def _outcome(summary: Summary) -> str:
    """What was chosen, and why."""
    rows = {_candidate(row): row for row in summary["rho"]["table"]}
    best = rows[summary["rho"]["best_rho"], summary["rho"]["best_share"]]
    found = f"rho {best['rho']:g}, {tables.difference(summary, best)} against none"
    if best["share"] is not None:
        found = f"share {tables.share(best['share'])}, {found}"
    if summary["rho"]["rho"] is None:
        return (
            "No fakes won: with fakes nothing was better than without by more than one standard "
            f"error. The best: {found}; +fake methods are trained with it nevertheless."
        )
    return (
        f"Chosen: {found}. With fakes something was better than without by more than one standard "
        "error; this is the best, or of what is within one standard error of the best the largest "
        "rho."
    )


def _candidate(row: Row) -> tuple[float | None, float | str | None]:
    return row["rho"], row["share"]


def _differences(summary: Summary) -> list[Block]:
    """The figure of the search; a record of an older version has no differences."""
    search = summary["rho"]
    rows = [row for row in search["table"] if row["difference"] is not None]
    if not rows:
        return []
    axis = f"{metric(summary, 'validation')}\nagainst no fakes"
    chosen = {key: search[key] for key in ("rho", "share")}
    caption = (
        "Paired difference to students of the same seeds without fakes on the validation rows, "
        "mean ± standard error over the seeds; below the line fakes help. What was chosen is "
        "filled."
    )
    return [Picture(figures.search(rows, chosen, axis), caption)]


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
    return [
        Heading("Fakes"),
        Text(_pool_facts(summary)),
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
        text += f" Density ratio of fakes: mean {ratio['mean_ratio']:.3g} (1 expected), {share}"
        text += "." if ratio["auc"] is None else f", AUC {ratio['auc']:.2f} (0.5: by chance)."
    if summary["idle"]:
        text += f" Subsampling is idle: the ratio {summary['idle']}."
    return text


def _labels(pool: Pool, selection: FakeSelection, facts: FakePool, relabel: str) -> list[Block]:
    """The labels of the fakes step by step."""
    last, third = "the last panel's", "the third panel's: relabelling is off"
    used = {
        "hard": last,
        "unclipped": f"{last}, unclipped",
        "mean": f"{last}: the mean of the teacher's and those asked for",
        "keep": third,
    }[relabel]
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
    idle = " Here it is idle." if summary["idle"] else ""
    caption = (
        f"Rejection sampling by label.{idle} Little acceptance, a low effective sample share or "
        "many clipped ratios mean a density ratio that is not to be trusted there."
    )
    return [
        Picture(figures.acceptance(summary["pool"]["labels"]), caption),
        Folded("Rejection sampling by label", [tables.rejection(summary)]),
    ]


def _evaluation(summary: Summary) -> list[Block]:
    """Whether the fakes are any good: in words, as a table and figure, and by what protocol."""
    evaluated, idle = summary["evaluation"], summary["idle"]
    findings = evaluated["verdict"] or []
    said = [
        Caution(finding["text"]) if finding["is_fault"] else Text(finding["text"])
        for finding in findings
    ]
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
    protocol: list[Block] = [Text(text, "note") for text in texts]
    return [
        Heading("Are the fakes any good?"),
        *said,
        tables.evaluation(evaluated, idle),
        *_by_label(summary),
        Folded("How these scores are taken", protocol),
    ]


def _by_label(summary: Summary) -> list[Block]:
    """The scores of raw fakes within each window of the label, or each label."""
    evaluated, pool = summary["evaluation"], summary["pool"]
    raw = {row["row"]: row for row in evaluated["rows"]}.get(RAW, {"sliding": None, "intra": None})
    found = raw["sliding"] or raw["intra"]
    windows: list[Row] = (found or {}).get("parts") or []
    if not (pool and any(part["variance"] is not None for part in windows)):
        return []
    label = make_label(pool["label"])
    centers = [part["center"] for part in windows]
    if raw["sliding"]:
        names = [f"{value:.3g}" for value in label.unscaled(np.array(centers))]
        unit = f" ({label.unit})" if label.unit else ""
        what, place = f"middle of the window{unit}", "window of the label"
    else:
        by_label = {row["label"]: row["name"] for row in pool["labels"]}
        names, what, place = [str(by_label[center]) for center in centers], "label", "label"
    caption = (
        f"Raw fakes within each {place}: how much they vary, over how much real images do, and the "
        "share of real images that they come near. Low bars are a GAN that draws one image again "
        "and again."
    )
    inside = Folded(
        f"Raw fakes by {place}, and scores within",
        [tables.parts(windows, names, what), tables.windows(evaluated, summary["idle"])],
    )
    return [Picture(figures.variety(windows, names, what), caption), inside]


def _distances(evaluated: Row) -> list[str]:
    """What the scores are, and how they were taken."""
    features, unit, protocol = evaluated["features"], evaluated["unit"], evaluated["protocol"]
    inside = f"the {features['size']:,} features of the density ratio's {features['network']}"
    texts = [
        "Few images raise a distance, so compare rows at equal counts: with as many fakes as there "
        "are validation images. Other runs have other features and do not compare.",
        f"Label score: how far the labels that {evaluated['judge']} sees are from those asked for, "
        f"in {unit}, mean ± deviation over images; it also filters, so that it is judge in its own "
        "cause.",
    ]
    if evaluated["centers"]:
        texts.insert(
            0,
            f"SFID: the Fréchet distance in {evaluated['centers']} windows of radius "
            f"{evaluated['radius']:g} {unit}; intra-label FID: the same for each label by itself. "
            "Means ± deviations over the windows with two images of each kind.",
        )
    if protocol:
        texts = [*_measures(evaluated, protocol), *texts]
    return [f"FID: the Fréchet distance between fakes and training images in {inside}.", *texts]


def _measures(evaluated: Row, protocol: Row) -> list[str]:
    """What those scores are that older versions did not take."""
    within = "window of the label" if evaluated["centers"] else "label"
    texts = [
        f"Variance: of each pixel within a {within}, fakes over training images, of equally many; "
        f"mean ± deviation over the {within}s. Below 1 the GAN has lost diversity.",
        f"Coverage: the share of training images that have a fake among their "
        f"{protocol['neighbours']} nearest; density: how many have, over what is expected (Naeem "
        "et al. 2020), with as many fakes as there are validation images.",
        "Nearest training image: its median distance in pixels, in grey levels; copies: the share "
        "of fakes nearer than half of what is usual for unseen real images.",
        f"At most {protocol['most']:,} images of a kind are compared together, drawn by the seed "
        f"{protocol['seed']}.",
    ]
    if alone := evaluated["alone"]:
        texts.insert(
            1,
            f"Students of them alone: the validation {alone['metric']} of {alone['network']} "
            f"trained on nothing but these fakes for {alone['steps']:,} steps, seed "
            f"{alone['seed']} (the classification accuracy score, Ravuri and Vinyals 2019); of "
            f"real images {alone['real']:.3g}, of a constant answer {alone['constant']:.3g} "
            f"{alone['unit']}.",
        )
    return texts


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
        caption = f"Samples of the GAN at step {steps}, one label per row.{_kept(records)}"
        blocks.append(Sheets(sheets, caption))
    if panels := logs.losses(records):
        caption = (
            "Losses by step: what was logged faintly, its running mean in full. Of the students, "
            "the first of each method; the terms of its loss are summed, so that levels differ "
            "between methods."
        )
        blocks.append(Picture(figures.losses(panels), caption))
    return [Heading("Training"), *blocks] if blocks else []


def _kept(records: RunRecords) -> str:
    """Which average of the GAN later stages have, where it was chosen."""
    if not (records.gan and records.gan.kept):
        return ""
    kept = records.gan.kept
    looks = ", ".join(f"{look.distance:.3g} at {look.step:,}" for look in kept.looks)
    return (
        f" Kept is the average of step {kept.step:,}, whose fakes are nearest to the training "
        f"images (Fréchet distance of pixels within labels, by step: {looks})."
    )


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
