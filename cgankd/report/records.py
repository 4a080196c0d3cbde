"""What the records of a run say, as plain values: scores, digests, reasons for caution."""

import json
import shlex
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cgankd import preset, runs
from cgankd.errors import DATA, UserError
from cgankd.preset import Paper, Preset
from cgankd.report.comparison import (
    Record,
    compare,
    curves,
    published,
    published_curve,
    published_step,
)
from cgankd.runs import RunFolder

MEMBER = {
    "row",
    "seed",
    "teacher",
    "assistant",
    "rho",
    "network",
    "parameters",
    "steps",
    "fakes",
    "validation",
    "test",
    "student",
}
NOT_RECOMMENDED = "not recommended: no fakes won the search for rho"


# The records of a run


@dataclass(frozen=True)
class Results:
    """The finished records of one run folder."""

    run: RunFolder
    preset: Preset
    methods: dict[str, Record]  # NOKD first, then as in the preset
    teachers: dict[str, Record]
    students: dict[str, Record]  # by folder name
    ablation: Record | None
    data: Record | None
    gan: Record | None
    dre: Record | None
    pool: Record | None
    rho: Record | None
    evaluation: Record | None

    @property
    def members(self) -> list[Record]:
        return [member for record in self.methods.values() for member in record["members"]]

    def records(self) -> dict[Path, Record]:
        """Every record but those of the students, in the order in which they are made."""
        run = self.run
        upstream = {
            run.gan: self.gan,
            **{run.teacher(name): record for name, record in self.teachers.items()},
            run.dre: self.dre,
            run.pool: self.pool,
            run.evaluation: self.evaluation,
            run.search: self.rho,
        }
        distilled = {run.distill(name): record for name, record in self.methods.items()}
        every = {**upstream, **distilled, run.distill("ablation"): self.ablation}
        return {path: record for path, record in every.items() if record}

    def places(self) -> dict[str, Record]:
        """Every record, by its place in the run folder."""
        students = {self.run.student(name): record for name, record in self.students.items()}
        return {
            str(path.relative_to(self.run.root)): record
            for path, record in {**self.records(), **students}.items()
        }

    def rho_used(self) -> float:
        """The rho of the +fake students, else the one found, else 1: all fakes."""
        used = [member["rho"] for member in self.members if member["rho"] is not None]
        return float(used[0] if used else (self.rho or {}).get("best_rho", 1.0))


def read(root: Path) -> Results:
    """The results in a run folder; UserError when there are none."""
    run = RunFolder(root)
    settings = preset.load(run.preset)
    # A name with a dot was set aside.
    paths = sorted(path for path in (root / "distill").glob("*.json") if "." not in path.stem)
    distilled = {path.stem: record for path in paths if (record := _finished(path))}
    if not distilled:
        raise UserError(f"{root} has no finished students", DATA, "run `cgankd distill` first")
    for name, record in distilled.items():
        _check(run.distill(name), record)
    order = dict.fromkeys(["nokd", *settings.distill.methods, *distilled])
    methods = {name: distilled[name] for name in order if name in distilled and name != "ablation"}
    teachers = {name: _finished(run.teacher(name)) for name in settings.teacher.networks}
    names = {
        member["student"]: None for record in distilled.values() for member in record["members"]
    }
    students = {name: _finished(run.student(name)) for name in names}
    return Results(
        run,
        settings,
        methods,
        {name: record for name, record in teachers.items() if record},
        {name: record for name, record in students.items() if record},
        distilled.get("ablation"),
        runs.read_json(run.data) if run.data.exists() else None,
        *(_finished(path) for path in (run.gan, run.dre, run.pool, run.search, run.evaluation)),
    )


def _finished(path: Path) -> Record | None:
    record = runs.read_json(path) if path.exists() else {}
    return record if record.get("finished") else None


def _check(path: Path, record: Record) -> None:
    members = record.get("members")
    if (
        not members
        or not {"metric", "unit", "rows", "budget"} <= set(record)
        or any(MEMBER - set(m) for m in members)
    ):
        raise UserError(
            f"{path}: not the results of students",
            DATA,
            "move it away and run `cgankd distill` again",
        )


def inputs(results: Results) -> dict[str, str]:
    """The digest of every file that the page shows, by its place in the run folder; of the pool,
    its record.
    """
    run = results.run
    logs = [log for group in loss_logs(results).values() for log in group.values()]
    records = [run.root / place for place in results.places()]
    files = {run.preset, run.data, *records, *logs, *sample_sheets(run)[-1:]}
    return {
        str(path.relative_to(run.root)): runs.file_digest(path)
        for path in sorted(files)
        if path.exists()
    }


def sample_sheets(run: RunFolder) -> list[Path]:
    """The sample sheets of the GAN by step."""
    return sorted((run.gan.parent / "samples").glob("*.png"))


def loss_logs(results: Results) -> dict[str, dict[str, Path]]:
    """The logs of losses: by what is trained; of the students, the first of each method."""
    run = results.run
    trained = [run.gan, *map(run.teacher, results.teachers), run.dre]
    logs = [log for record in trained for log in sorted(record.parent.glob("**/metrics.jsonl"))]
    groups = {str(log.parent.relative_to(run.root)): {"": log} for log in logs}
    firsts = {
        name: run.student(record["members"][0]["student"]).parent
        for name, record in results.methods.items()
    }
    return {
        **groups,
        "students": {name: folder / "metrics.jsonl" for name, folder in firsts.items()},
    }


def losses(results: Results) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Curves of (step, loss) by what is trained and by term; of the students, the sum of the terms
    by method.
    """
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for title, group in loss_logs(results).items():
        for name, log in group.items():
            for row in _lines(log):
                step = int(row.pop("step"))
                for term, value in {name: sum(row.values())}.items() if name else row.items():
                    panels.setdefault(title, {}).setdefault(term, []).append((step, value))
    return panels


def _lines(log: Path) -> Iterator[dict[str, float]]:
    """The rows of a log; the last one may be torn."""
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            yield row


# What the report says


def summary(results: Results, name: str) -> Record:
    """All numbers of the report on one run; this is what report.json holds."""
    first = next(iter([*results.methods.values(), results.ablation]))
    assert first, "read() refuses a run without results"
    settings, rho, pool = results.preset, results.rho, results.pool
    paper = settings.paper
    rows = [
        {**row, "note": _note(row, rho), "published": published(row, paper)}
        for row in compare(results.members)
    ]
    steps = compare(results.ablation["members"]) if results.ablation else []
    return {
        "name": name,
        "folder": str(results.run.root),
        "source": settings.data.source,
        "protocol": settings.data.protocol,
        "splits": {
            split: part["num"] for split, part in (results.data or {}).get("rows", {}).items()
        },
        **_part(first, "metric", "unit", "rows", "budget"),
        "methods": rows,
        "curves": [
            {**curve, "published": published_curve(curve["method"], curve["student"], paper)}
            for curve in curves(results.members)
        ],
        "ablation": [{**row, "published": published_step(row, paper)} for row in steps],
        "rho": rho and _part(rho, "rho", "best_rho", "standard_error", "table", "rows", "leaky"),
        "rho_used": results.rho_used(),
        "teachers": teachers(results),
        "filter": settings.generate.teacher,
        "relabel": settings.distill.relabel,
        "filter_bins": settings.distill.filter_bins,
        "pool": pool and _part(pool, "per_label", "num_accepted", "labels"),
        "ratio": results.dre and _part(results.dre, "mean_ratio", "effective_share"),
        "evaluation": results.evaluation
        and _part(
            results.evaluation,
            "rows",
            "features",
            "judge",
            "unit",
            "radius",
            "centers",
            "leaky",
            "types",
            "missing",
        ),
        "cautions": [*leaks(results), *harmful_teachers(results), *mixed(results)],
        "published": None if paper == Paper() else paper.model_dump(),
        "students": results.members,
        "artefacts": artefacts(results),
        "made_on": made_on([*results.records().values(), *results.students.values()]),
        "commands": commands(results),
    }


def _part(record: Record, *keys: str) -> Record:
    return {key: record.get(key) for key in keys}


def _note(row: Record, rho: Record | None) -> str:
    """The search is about the fakes of the pool alone."""
    return (
        NOT_RECOMMENDED if rho and rho["rho"] is None and row["fakes"] and not row["file"] else ""
    )


def teachers(results: Results) -> list[Record]:
    """The teachers with their validation scores and what they do."""
    filtering = {results.preset.generate.teacher} if results.pool else set()
    uses = {"filters": filtering, "distils": {member["teacher"] for member in results.members}}
    return [
        {
            "network": name,
            **_part(record, "parameters", "validation"),
            "uses": [use for use, names in uses.items() if name in names],
        }
        for name, record in results.teachers.items()
    ]


def leaks(results: Results) -> list[str]:
    """A caution where rho was chosen on rows that networks upstream were trained on."""
    if not (results.rho or {}).get("leaky"):
        return []
    return [
        "The search for rho is leaky, as in the published protocol: GAN, density ratio and "
        "teachers were trained "
        "on the validation rows too, so that the errors with fakes are too low there."
    ]


def harmful_teachers(results: Results) -> list[str]:
    """A caution for each teacher that does not beat, on the validation rows, students trained on
    labels alone.
    """
    if results.preset.data.protocol == "paper":
        return []  # all of them were trained on these rows
    record = results.methods.get("nokd", {"members": []})
    scores: dict[str, list[float]] = {}
    for member in record["members"]:
        scores.setdefault(member["network"], []).append(member["validation"])
    return [
        f"The teacher {name} has a validation {record['metric']} of {teacher['validation']:.3g} "
        f"{record['unit']}, no "
        f"better than the {statistics.fmean(values):.3g} {record['unit']} of {network} trained "
        "without it (NOKD). "
        "Relabelling by such a teacher does harm, and so do its outputs: train it for longer, or "
        "choose another."
        for name, teacher in results.teachers.items()
        for network, values in scores.items()
        if teacher["validation"] >= statistics.fmean(values)
    ]


def mixed(results: Results) -> list[str]:
    """A caution for each record that was made from something else than the folder holds now."""
    held = {
        "data": [results.data],
        "train-gan": [results.gan],
        "train-teacher": results.teachers.values(),
        "fit-dre": [results.dre],
        "generate": [results.pool],
    }
    contents = {
        stage: {record["content"] for record in records if record}
        for stage, records in held.items()
    }
    found = []
    for place, record in results.places().items():
        used = {stage: record["inputs"].get(stage) for stage, known in contents.items() if known}
        stale = [
            stage
            for stage, made in used.items()
            if isinstance(made, str) and made not in contents[stage]
        ]
        found += (
            [f"{place} was made from another result of {' and '.join(stale)} than stands here."]
            if stale
            else []
        )
    recipes = [
        results.students[m["student"]]["inputs"]
        for m in results.members
        if m["student"] in results.students
    ]
    if len({runs.digest(_part(recipe, "training", "epochs")) for recipe in recipes}) > 1:
        found.append(
            "The students were not all trained with the same settings: differences to NOKD are "
            "not fair."
        )
    return found


def artefacts(results: Results) -> list[Record]:
    """Where the records are, and their digests: of what an artefact was made from, and of its
    content.
    """
    return [
        {
            "record": place,
            **_part(record, "command", "digest", "content"),
            "time": record["made_on"].get("time"),
        }
        for place, record in results.places().items()
    ]


def made_on(records: Iterable[Record]) -> dict[str, str]:
    """The machines and versions of the records, distinct values joined; of the times the first and
    the last.
    """
    values: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in {"cgankd": record["cgankd"], **record["made_on"]}.items():
            values.setdefault(key, {})[str(value)] = None
    times = sorted(values.pop("time", {}))
    joined = {key: ", ".join(found) for key, found in values.items()}
    return {**joined, "time": " to ".join(dict.fromkeys([*times[:1], *times[-1:]]))}


def commands(results: Results) -> list[str]:
    """What makes the same run from its preset, saved as preset.toml."""
    folder = f"runs/{results.preset.name}"
    common = f"--preset preset.toml --out {folder}"
    files = {
        name: max(member.get("file", "") for member in record["members"])
        for name, record in results.methods.items()
    }
    others = {
        name: file
        for name, file in files.items()
        if file or name not in results.preset.distill.methods
    }
    extra = [
        f"cgankd distill {common} --method {name}{file and f' --fake {shlex.quote(file)}'}"
        for name, file in others.items()
    ]
    extra += [f"cgankd distill {common} --ablation"] if results.ablation else []
    return [f"cgankd run {common}", *extra, *([f"cgankd report {folder}"] if extra else [])]
