"""All numbers of the report on one run, as plain values: this is what report.json holds."""

import shlex
from collections.abc import Iterable
from typing import Any

from cgankd.preset import Paper
from cgankd.report.cautions import cautions
from cgankd.report.comparison import (
    Row,
    compare,
    curves,
    published,
    published_curve,
    published_step,
)
from cgankd.report.records import Record, RunRecords

Summary = dict[str, Any]
NOT_RECOMMENDED = "not recommended: no fakes won the search for rho"


def summarise(records: RunRecords, name: str) -> Summary:
    """The summary of one run, in the order of report.json."""
    return {
        "name": name,
        "folder": str(records.run.root),
        **_data(records),
        **_scores(records),
        **_search(records),
        "teachers": teachers(records),
        **_fakes(records),
        "cautions": cautions(records),
        **_origin(records),
    }


def _data(records: RunRecords) -> Summary:
    settings, rows = records.preset.data, (records.data or {}).get("rows", {})
    return {
        "source": settings.source,
        "protocol": settings.protocol,
        "splits": {split: part["num"] for split, part in rows.items()},
    }


def _scores(records: RunRecords) -> Summary:
    """The scored students: of the methods, by the number of fakes, of the ablation."""
    paper, ablation = records.preset.paper, records.ablation
    first = next(iter([*records.methods.values(), ablation]))
    assert first, "read() refuses a run without scored students"
    return {
        **_part(first, "metric", "unit", "rows", "budget"),
        "methods": [
            {**row, "note": _note(row, records.rho), "published": published(row, paper)}
            for row in compare(records.members)
        ],
        "curves": [
            {**curve, "published": published_curve(curve["method"], curve["student"], paper)}
            for curve in curves(records.members)
        ],
        "ablation": [
            {**row, "published": published_step(row, paper)}
            for row in compare(ablation["members"] if ablation else [])
        ],
    }


def _note(row: Row, rho: Record | None) -> str:
    """The search is about the fakes of the pool alone."""
    lost = rho and rho["rho"] is None and row["fakes"] and not row["file"]
    return NOT_RECOMMENDED if lost else ""


def _search(records: RunRecords) -> Summary:
    keys = ("rho", "best_rho", "standard_error", "table", "rows", "leaky")
    return {"rho": records.rho and _part(records.rho, *keys), "rho_used": records.rho_used()}


def teachers(records: RunRecords) -> list[Row]:
    """The teachers with their validation scores and what they do."""
    filtering = {records.preset.generate.teacher} if records.pool else set()
    uses = {"filters": filtering, "distils": {member["teacher"] for member in records.members}}
    return [
        {
            "network": name,
            **_part(record, "parameters", "validation"),
            "uses": [use for use, names in uses.items() if name in names],
        }
        for name, record in records.teachers.items()
    ]


def _fakes(records: RunRecords) -> Summary:
    """The pool, what is selected of it, and how good its fakes are."""
    settings, pool, ratio = records.preset.distill, records.pool, records.dre
    scores = ("rows", "features", "judge", "unit", "radius", "centers", "leaky", "types", "missing")
    return {
        "filter": records.preset.generate.teacher,
        "relabel": settings.relabel,
        "filter_bins": settings.filter_bins,
        "pool": pool and _part(pool, "per_label", "num_accepted", "labels"),
        "ratio": ratio and _part(ratio, "mean_ratio", "effective_share"),
        "evaluation": records.evaluation and _part(records.evaluation, *scores),
    }


def _origin(records: RunRecords) -> Summary:
    """What was published of the setting, and how the run was made."""
    paper = records.preset.paper
    made = [*records.but_students().values(), *records.students.values()]
    return {
        "published": None if paper == Paper() else paper.model_dump(),
        "students": records.members,
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
            **_part(record, "command", "digest", "content"),
            "time": record["made_on"].get("time"),
        }
        for place, record in records.by_place().items()
    ]


def made_on(made: Iterable[Record]) -> dict[str, str]:
    """The machines and versions of records, distinct values joined; of the times the first and the
    last.
    """
    values: dict[str, dict[str, None]] = {}
    for record in made:
        for key, value in {"cgankd": record["cgankd"], **record["made_on"]}.items():
            values.setdefault(key, {})[str(value)] = None
    times = sorted(values.pop("time", {}))
    joined = {key: ", ".join(distinct) for key, distinct in values.items()}
    return {**joined, "time": " to ".join(dict.fromkeys([*times[:1], *times[-1:]]))}


def commands(records: RunRecords) -> list[str]:
    """What makes the same run from its preset, saved as preset.toml."""
    folder = f"runs/{records.preset.name}"
    common = f"--preset preset.toml --out {folder}"
    files = {
        name: max(member.get("file", "") for member in record["members"])
        for name, record in records.methods.items()
    }
    extra = [
        f"cgankd distill {common} --method {name}{file and f' --fake {shlex.quote(file)}'}"
        for name, file in files.items()
        if file or name not in records.preset.distill.methods
    ]
    extra += [f"cgankd distill {common} --ablation"] if records.ablation else []
    return [f"cgankd run {common}", *extra, *([f"cgankd report {folder}"] if extra else [])]


def _part(record: Record, *keys: str) -> Summary:
    return {key: record.get(key) for key in keys}
