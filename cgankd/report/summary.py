"""All numbers of the report on one run, as plain values: this is what report.json holds."""

import shlex
import statistics
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from cgankd.fakes import verdict
from cgankd.preset import Paper
from cgankd.report import progress
from cgankd.report.cautions import cautions
from cgankd.report.comparison import (
    Row,
    by_steps,
    compare,
    curves,
    published,
    published_curve,
    published_step,
)
from cgankd.report.facts import Made, Search
from cgankd.report.records import RunRecords
from cgankd.report.ship import by_cost, to_ship

Summary = dict[str, Any]
NOT_RECOMMENDED = "not recommended: no fakes won the search for rho"


def summarise(records: RunRecords, name: str) -> Summary:
    """The summary of one run, in the order of report.json."""
    return {
        "name": name,
        "folder": str(records.run.root),
        "stages": progress.stages(records),
        "trained_students": progress.students(records),
        **_data(records),
        **_scores(records),
        "ship": to_ship(records),
        "by_cost": by_cost(records) if records.members else [],
        "latency": _latency(records),
        "rho": _facts(records.search),
        "rho_used": records.rho_used(),
        "teachers": teachers(records),
        "gan": _facts(records.gan),
        **_fakes(records),
        "cautions": cautions(records),
        **_origin(records),
    }


def _data(records: RunRecords) -> Summary:
    settings, rows = records.preset.data, records.data.rows if records.data else {}
    return {
        "source": settings.source,
        "protocol": settings.protocol,
        "splits": {split: part.num for split, part in rows.items()},
    }


def _scores(records: RunRecords) -> Summary:
    """The scored students, if any: of the methods, by the number of fakes, of the ablation; and by
    the number of steps, on validation rows.
    """
    paper, ablation, curve = records.preset.paper, records.ablation, records.curve
    return {
        **_measure(records),
        "methods": [
            {**row, "note": _note(row, records.search), "published": published(row, paper)}
            for row in compare(records.members)
        ],
        "curves": [
            {**curve, "published": published_curve(curve["method"], curve["student"], paper)}
            for curve in curves(records.members)
        ],
        "ablation": [
            {**row, "published": published_step(row, paper)}
            for row in compare(ablation.members if ablation else [])
        ],
        "steps": {"rows": curve.rows, "table": by_steps(curve.members)} if curve else None,
    }


def _latency(records: RunRecords) -> Summary | None:
    """What the times of networks are those of."""
    made = records.latency
    return {"images": made.images, "made_on": made.made_on} if made else None


def _measure(records: RunRecords) -> Summary:
    """What students are scored by, on how many rows, and what they have in common."""
    scored = next(iter([*records.methods.values(), records.ablation]))
    if scored:
        return {key: getattr(scored, key) for key in ("metric", "unit", "rows", "budget")}
    metric, unit = (
        (records.label.metric, records.label.score_unit) if records.label else ("score", "")
    )
    budget = records.preset.distill.budget
    return {"metric": metric, "unit": unit, "rows": None, "budget": budget}


def _note(row: Row, search: Search | None) -> str:
    """The search is about the fakes of the pool alone."""
    lost = search and search.rho is None and row["fakes"] and not row["file"]
    return NOT_RECOMMENDED if lost else ""


def teachers(records: RunRecords) -> list[Row]:
    """The teachers with their validation scores and what they do."""
    filtering = {records.preset.generate.teacher} if records.pool else set()
    uses = {"filters": filtering, "distils": {member.teacher for member in records.members}}
    return [
        {
            "network": name,
            "parameters": teacher.parameters,
            "validation": teacher.validation,
            "uses": [use for use, names in uses.items() if name in names],
        }
        for name, teacher in records.teachers.items()
    ]


def _fakes(records: RunRecords) -> Summary:
    """The pool, what is selected of it, and how good its fakes are."""
    settings = records.preset.distill
    return {
        "filter": records.preset.generate.teacher,
        "relabel": settings.relabel,
        "filter_bins": settings.filter_bins,
        "pool": _facts(records.pool),
        "ratio": _facts(records.dre),
        "idle": _idle(records),
        "evaluation": _facts(records.evaluation),
    }


def _idle(records: RunRecords) -> str:
    """Why subsampling by the density ratio changes nothing; empty where it does."""
    if not (records.dre and records.pool):
        return ""
    effective = statistics.fmean(label.effective for label in records.pool.labels)
    return verdict.idle(records.dre.auc, effective)


def _origin(records: RunRecords) -> Summary:
    """What was published of the setting, and how the run was made."""
    paper = records.preset.paper
    made = [*records.but_students().values(), *records.students.values()]
    return {
        "published": None if paper == Paper() else paper.model_dump(),
        "students": [asdict(member) for member in records.members],
        "artefacts": artefacts(records),
        "made_on": made_on(made),
        "commands": commands(records),
    }


def artefacts(records: RunRecords) -> list[Row]:
    """Where the records are, and their digests: of what an artefact was made from, and of its
    content.
    """
    return [
        {
            "record": place,
            "command": made.command,
            "digest": made.digest,
            "content": made.content,
            "time": made.made_on.get("time"),
        }
        for place, made in records.by_place().items()
    ]


def made_on(every: Iterable[Made]) -> dict[str, str]:
    """The machines and versions of records, distinct values joined; of the times the first and the
    last.
    """
    values: dict[str, dict[str, None]] = {}
    for made in every:
        for key, value in {"cgankd": made.cgankd, **made.made_on}.items():
            values.setdefault(key, {})[str(value)] = None
    times = sorted(values.pop("time", {}))
    joined = {key: ", ".join(distinct) for key, distinct in values.items()}
    span = " to ".join(dict.fromkeys([*times[:1], *times[-1:]]))
    return {**joined, "time": span} if times else joined


def commands(records: RunRecords) -> list[str]:
    """What makes the same run from its preset, saved as preset.toml."""
    folder = f"runs/{records.preset.name}"
    common = f"--preset preset.toml --out {folder}"
    files = {
        name: max(member.file for member in distilled.members)
        for name, distilled in records.methods.items()
    }
    extra = [
        f"cgankd distill {common} --method {name}{file and f' --fake {shlex.quote(file)}'}"
        for name, file in files.items()
        if file or name not in records.preset.distill.methods
    ]
    extra += [f"cgankd distill {common} --ablation"] if records.ablation else []
    if records.curve:
        steps = sorted({member.steps for member in records.curve.members})
        extra.append(f"cgankd distill {common} --curve steps={','.join(map(str, steps))}")
    return [f"cgankd run {common}", *extra, *([f"cgankd report {folder}"] if extra else [])]


def _facts(made: Made | None) -> Summary | None:
    """The facts of a record, without how it was made, which all have."""
    common = {field.name for field in fields(Made)}
    facts = asdict(made) if made else {}
    return {key: value for key, value in facts.items() if key not in common} or None
