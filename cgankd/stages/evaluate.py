"""evaluate: whether the fakes are any good: how far they are from real images and from the labels
asked for, how much they vary, and what students learn from them alone.
"""

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgankd import console, plan, sources
from cgankd.data.batches import Batches, Images, images_of, outputs_of
from cgankd.fakes import FakeSelection, Pool, verdict
from cgankd.fakes.measures import NEIGHBOURS, nearest
from cgankd.fakes.windows import (
    CENTERS,
    MOST,
    NARROW,
    Group,
    Judge,
    compare,
    evenly,
    over,
    overall,
)
from cgankd.job import Job
from cgankd.label import Label
from cgankd.methods.nokd import Nokd
from cgankd.models import architectures, make_network
from cgankd.models.saved import load_network
from cgankd.plan import RAW, REAL, StudentTable
from cgankd.preset import Evaluate, Types
from cgankd.randomness import generator, seed_everything
from cgankd.runs import fact, read_json, verify_files
from cgankd.sources import Source
from cgankd.stages.students import StudentInputs, train_all
from cgankd.statistics import mean_of
from cgankd.task import Task, make_task
from cgankd.training import checkpoint
from cgankd.training.loop import fit_objective
from cgankd.training.machine import Machine
from cgankd.training.session import Session, train_or_load

LARGEST = 20_000  # fakes of a selection whose labels are few: more take memory and change little

Row = dict[str, Any]


def run(job: Job, machine: Machine) -> None:
    """Scores selections of the pool and, to compare with, validation images in the place of
    fakes.
    """
    artefact, preset, run = plan.evaluation(job), job.preset, job.run
    judge = run.teacher(preset.generate.teacher)
    source, pool = sources.load(preset.data, preset.seed), Pool(run.pool)
    verify_files(run.dre, "fit-dre")
    verify_files(judge, "train-teacher")
    machine.once(artefact.begin)
    session = Session(artefact.folder, "types", preset.seed, artefact.digest, machine)
    classifier, types = _classifier(source, preset.evaluate.types, session)
    if artefact.students:
        inputs = StudentInputs(job, machine)
        train_all("students of fakes alone", artefact.students, inputs, machine)

    def finish() -> None:
        extractor = load_network(run.dre.parent, "features", machine.device)
        teacher = load_network(judge.parent, "network", machine.device)
        pairs = _pairs(source, pool, plan.evaluated(preset), teacher, classifier, preset.seed)
        centers, radius = _windows(preset.evaluate, pool.label)
        asked = np.unique(pool.columns["labels"]).tolist()
        rows = _rows(pairs, preset.evaluate, pool.label, asked, extractor, preset.seed)
        alone = _alone(artefact, rows, source)
        ratio = _ratio(job)
        by_name = {row["row"]: row for row in rows}
        findings = verdict.judge(by_name[RAW], by_name[REAL], alone, **ratio)
        described = read_json(run.dre.parent / "features.json")
        artefact.finish(
            sorted(artefact.folder.glob("types.*")) if classifier else [],
            made_on=machine.facts,
            rows=rows,
            verdict=[asdict(finding) for finding in findings],
            alone=alone,
            ratio=ratio,
            features={"network": described["name"], "size": described["size"]},
            judge=preset.generate.teacher,
            unit=pool.label.score_unit,
            radius=radius if centers else None,
            centers=len(centers) or None,
            protocol={"seed": preset.seed, "neighbours": NEIGHBOURS, "most": MOST},
            leaky=source.leaky,
            types=types,
            missing=_missing(preset.evaluate, source, pool.label, rows),
        )
        checkpoint.remove(artefact.folder)
        _say(rows, pool.label.score_unit, findings)

    machine.once(finish)


def _classifier(
    source: Source, settings: Types | None, session: Session
) -> tuple[nn.Module | None, dict[str, Any] | None]:
    """A classifier of the types of images, and what is known of it; none where there is no table or
    no types.
    """
    if settings is None or source.types is None:
        return None, None
    machine, seed = session.machine, session.seed
    known, types = np.unique(source.types, return_inverse=True)
    label = {"kind": "class", "classes": known.tolist()}
    typed = replace(source, labels=types.astype(np.int64), label=label)
    task = make_task(label)
    real, validation = (
        images_of(typed, split, task).to(machine.device) for split in ("train", "validation")
    )
    architecture = architectures.cnn(
        settings.network, real.side, task.outputs, real.normalisation()
    )

    def train() -> nn.Module:
        seed_everything(seed, "types", "weights")
        network = make_network(architecture)
        batches = Batches(real, settings.batch, seed=seed, stream="types", process=machine.process)
        part = session.part("types-training", "types")
        fit_objective(Nokd(task, network), batches, settings, part)
        return network

    network = train_or_load(train, session=session, file="types", architecture=architecture)
    facts = {
        "network": settings.network,
        "num": task.outputs,
        "maximum": math.log(task.outputs),
        "validation": task.score(outputs_of(network, validation), validation.labels),
    }
    return network, facts


def _pairs(
    source: Source,
    pool: Pool,
    selections: dict[str, FakeSelection],
    teacher: nn.Module,
    classifier: nn.Module | None,
    seed: int,
) -> dict[str, tuple[Group, Group]]:
    """What each row of the table compares: real images, which are training images, and fakes."""
    device = next(teacher.parameters()).device
    train, validation = (source.rows[split] for split in ("train", "validation"))

    def real(rows: np.ndarray) -> Group:
        return _real(source, rows, teacher, classifier, device)

    every, apart = real(train), np.setdiff1d(train, validation)
    others = every if np.array_equal(apart, train) else real(apart)
    fakes = _fakes(pool, selections, make_task(source.label), classifier, device, seed)
    pairs = {REAL: (others, real(validation))}
    return pairs | {name: (every, fake) for name, fake in fakes.items()}


def _windows(settings: Evaluate, label: Label) -> tuple[list[float], float]:
    """The centres of the windows of a continuous label, scaled to [0, 1], and their radius in its
    unit; of labels that are few there are none.
    """
    if label.discrete:
        return [], 0.0
    span = label.high - label.low
    radius = settings.radius or span / NARROW
    return evenly(settings.centers or CENTERS, radius / span), radius


def _rows(
    pairs: dict[str, tuple[Group, Group]],
    settings: Evaluate,
    label: Label,
    asked: list[float],
    extractor: nn.Module,
    seed: int,
) -> list[Row]:
    """The rows of the table: scores of all labels, in windows, and of each label asked for by
    itself.
    """

    def features(images: Tensor) -> Tensor:
        return outputs_of(extractor, Images(images, images))

    centers, radius = _windows(settings, label)
    scaled = radius / (label.high - label.low) if centers else 0.0
    others, unseen = pairs[REAL]
    shared: dict[str, Any] = {"judge": Judge(features, seed), "like": unseen}
    usual = nearest(unseen.images(), others.images()).median().item()
    rows: list[Row] = []
    with console.progress("fakes compared with real images", len(pairs)) as show:
        for name, (real, fake) in pairs.items():
            rows.append(
                {
                    "row": name,
                    "num": len(fake),
                    "label_score": _label_score(fake, label),
                    "overall": overall(real, fake, usual=usual, **shared),
                    "sliding": compare(real, fake, centers, scaled, **shared),
                    "intra": compare(real, fake, asked, 0.0, **shared),
                    "alone": None,
                }
            )
            show(len(rows), "")
    _drop_parts(rows, "intra" if label.discrete else "sliding")
    return rows


def _drop_parts(rows: list[Row], shown: str) -> None:
    """Drops the single windows but those that are shown: there may be thousands."""
    for row in rows:
        for kind in ("sliding", "intra"):
            if row[kind] and (row["row"], kind) != (RAW, shown):
                del row[kind]["parts"]


def _label_score(fake: Group, label: Label) -> Row | None:
    """The mean error and its deviation; of what is right or wrong, the share of wrong ones says
    all.
    """
    if fake.errors is None:
        return None
    scores = over(fake.errors.tolist())
    return {**(scores or {}), "deviation": None} if label.distribution else scores


def _alone(artefact: StudentTable, rows: list[Row], source: Source) -> dict[str, Any] | None:
    """The scores of students of fakes alone, put into their rows; what is known of them, with the
    score of one of real images and of a constant answer.
    """
    scores = {
        name: fact(students[0].artefact.record, "distill", "validation", float)
        for name, students in artefact.rows.items()
    }
    if not scores:
        return None
    for row in rows:
        row["alone"] = scores.get(row["row"])
    task, student = make_task(source.label), artefact.students[0]
    train, validation = (images_of(source, split, task) for split in ("train", "validation"))
    return {
        "network": student.network,
        "steps": student.training.steps,
        "seed": student.seed,
        "metric": task.metric,
        "unit": task.unit,
        "real": scores[REAL],
        "constant": task.constant_score(train.labels, validation.labels),
    }


def _ratio(job: Job) -> dict[str, Any]:
    """How much the density ratio can tell: its AUC, and over the labels of the pool the mean
    effective share of its weights.
    """
    shares = [row["effective"] for row in fact(job.run.pool, "generate", "labels", list)]
    known = read_json(job.run.dre).get("auc")  # a ratio of an older version was not asked
    return {"auc": known, "effective": float(np.mean(shares))}


def _real(
    source: Source,
    rows: np.ndarray,
    teacher: nn.Module,
    classifier: nn.Module | None,
    device: torch.device,
) -> Group:
    task = make_task(source.label)
    images = images_of(replace(source, rows={"these": rows}), "these", task).to(device)
    outputs = outputs_of(teacher, images)
    errors = task.misses(task.relabel(outputs), images.labels, task.errors(outputs, images.labels))
    everything = torch.arange(len(images), device=device)
    return Group(images.pixels, everything, images.labels, errors, _types(images, classifier))


def _fakes(
    pool: Pool,
    selections: dict[str, FakeSelection],
    task: Task,
    classifier: nn.Module | None,
    device: torch.device,
    seed: int,
) -> dict[str, Group]:
    """The fakes of each selection, over one copy of their images. Errors count against the labels
    asked for, and are left out where the labels are the judge's own.
    """
    chosen = {name: _some(pool, selection, seed) for name, selection in selections.items()}
    every = np.unique(np.concatenate(list(chosen.values())))
    images = Images(torch.from_numpy(pool.images(every)), torch.from_numpy(every)).to(device)
    types = _types(images, classifier)
    groups = {}
    for name, selection in selections.items():
        rows = torch.from_numpy(np.searchsorted(every, chosen[name])).to(device)
        labels = torch.from_numpy(pool.labels(selection, chosen[name])).to(device)
        groups[name] = Group(
            images.pixels,
            rows,
            labels,
            _errors(pool, chosen[name], task, device) if selection.relabel == "keep" else None,
            None if types is None else types[rows],
        )
    return groups


def _some(pool: Pool, selection: FakeSelection, seed: int) -> np.ndarray:
    """The rows of a selection, of labels that are few not more than LARGEST; windows of a
    continuous label draw from all.
    """
    rows = pool.rows(selection)
    if not pool.label.discrete or len(rows) <= LARGEST:
        return rows
    draws = generator(seed, "evaluate", "some")
    return rows[torch.randperm(len(rows), generator=draws)[:LARGEST].sort().values.numpy()]


def _errors(pool: Pool, rows: np.ndarray, task: Task, device: torch.device) -> Tensor:
    """How far the judge's label of each fake is from the one asked for, in the unit of scores."""
    names = ("relabels", "labels", "errors")
    answers, labels, errors = (torch.from_numpy(pool.columns[name][rows]) for name in names)
    return task.misses(answers, labels, errors).to(device)


def _types(images: Images, classifier: nn.Module | None) -> Tensor | None:
    """The types (N,) that the classifier sees."""
    return None if classifier is None else outputs_of(classifier, images).argmax(1)


def _missing(settings: Evaluate, source: Source, label: Label, rows: list[Row]) -> dict[str, str]:
    """Why scores are not there."""
    missing = {}
    if not any(row["intra"] for row in rows):
        missing["intra"] = "labels are not repeated: no label has two training images and two fakes"
    if label.discrete:
        return missing
    if settings.types is None:
        missing["diversity"] = "the preset has no table [evaluate.types]"
    elif source.types is None:
        missing["diversity"] = "the data have no types"
    return missing


def _say(rows: list[Row], unit: str, findings: list[verdict.Finding]) -> None:
    """The scores as far as a terminal holds them, and what they mean."""
    header = ["fakes", "variance", f"alone ({unit})", "FID", "density", "coverage", "copies"]
    title = "Fakes against training images (the first row is the best to hope for)"
    console.table(title, header, [_cells(row) for row in rows])
    for finding in findings:
        (console.warn if finding.is_fault else console.say)(finding.text)


def _cells(row: Row) -> list[str]:
    found, windows = row["overall"] or {}, row["sliding"] or row["intra"] or {}
    numbers = [
        mean_of(windows.get("variance")),
        row["alone"],
        *(found.get(name) for name in ("matched", "density", "coverage")),
    ]
    shown = ["-" if number is None else f"{number:.3g}" for number in numbers]
    return [row["row"], *shown, f"{found['copies']:.0%}" if found else "-"]
