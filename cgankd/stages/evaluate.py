"""evaluate: how far the fakes of a continuous label are from real images, and from the labels asked
for.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgankd import console, plan, sources
from cgankd.data.batches import Batches, Images, images_of, outputs_of
from cgankd.fakes import FakeSelection, Pool
from cgankd.fakes.windows import Group, compare, evenly, over
from cgankd.job import Job
from cgankd.methods.nokd import Nokd
from cgankd.models import architectures, make_network
from cgankd.models.saved import load_network
from cgankd.preset import Evaluate, Types
from cgankd.randomness import seed_everything
from cgankd.runs import read_json, verify_files
from cgankd.sources import Source
from cgankd.task import make_task
from cgankd.training import checkpoint
from cgankd.training.loop import fit_objective
from cgankd.training.machine import Machine
from cgankd.training.session import Session, train_or_load

REAL = "real (validation)"


def run(job: Job, machine: Machine) -> None:
    """Scores selections of the pool and, to compare with, validation images in the place of
    fakes.
    """
    artefact, preset, run = plan.evaluation(job), job.preset, job.run
    settings = preset.evaluate
    assert settings, "the artefact was asked for with its table"
    judge = run.teacher(preset.generate.teacher)
    source, pool = sources.load(preset.data, preset.seed), Pool(run.pool)
    verify_files(run.dre, "fit-dre")
    verify_files(judge, "train-teacher")
    machine.once(artefact.begin)
    session = Session(artefact.folder, "types", preset.seed, artefact.digest, machine)
    classifier, types = _classifier(source, settings.types, session)

    def finish() -> None:
        extractor = load_network(run.dre.parent, "features", machine.device)
        teacher = load_network(judge.parent, "network", machine.device)
        pairs = _pairs(source, pool, plan.evaluated(preset), teacher, classifier, machine)
        radius = settings.radius / (pool.label.high - pool.label.low)
        asked = np.unique(pool.columns["labels"]).tolist()
        centers = evenly(settings.centers, radius)
        rows = _rows(pairs, centers, radius, asked, extractor, preset.seed)
        described = read_json(run.dre.parent / "features.json")
        artefact.finish(
            sorted(artefact.folder.glob("types.*")) if classifier else [],
            made_on=machine.facts,
            rows=rows,
            features={"network": described["name"], "size": described["size"]},
            judge=preset.generate.teacher,
            unit=pool.label.unit,
            radius=settings.radius,
            centers=settings.centers,
            leaky=source.leaky,
            types=types,
            missing=_missing(settings, source, rows),
        )
        checkpoint.remove(artefact.folder)
        for row in rows:
            _say(row)

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
    machine: Machine,
) -> dict[str, tuple[Group, Group]]:
    """What each row of the table compares: real images, which are training images, and fakes."""
    train, validation = (source.rows[split] for split in ("train", "validation"))
    real = _real(source, train, teacher, classifier, machine)
    others = _real(source, np.setdiff1d(train, validation), teacher, classifier, machine)
    unseen = _real(source, validation, teacher, classifier, machine)
    fakes = _fakes(pool, selections, classifier, machine)
    return {REAL: (others, unseen), **{name: (real, fake) for name, fake in fakes.items()}}


def _rows(
    pairs: dict[str, tuple[Group, Group]],
    centers: list[float],
    radius: float,
    asked: list[float],
    extractor: nn.Module,
    seed: int,
) -> list[dict[str, Any]]:
    """The rows of the table: scores in windows, and of each label asked for by itself."""

    def features(images: Tensor) -> Tensor:
        return outputs_of(extractor, Images(images, images))

    rows: list[dict[str, Any]] = []
    with console.progress("fakes compared with real images", len(pairs)) as show:
        for name, (real, fake) in pairs.items():
            shared: dict[str, Any] = {"features": features, "like": pairs[REAL][1], "seed": seed}
            rows.append(
                {
                    "row": name,
                    "num": len(fake),
                    "label_score": None if fake.errors is None else over(fake.errors.tolist()),
                    "sliding": compare(real, fake, centers, radius, **shared),
                    "intra": compare(real, fake, asked, 0.0, **shared),
                }
            )
            show(len(rows), "")
    return rows


def _real(
    source: Source,
    rows: np.ndarray,
    teacher: nn.Module,
    classifier: nn.Module | None,
    machine: Machine,
) -> Group:
    task = make_task(source.label)
    images = images_of(replace(source, rows={"these": rows}), "these", task).to(machine.device)
    errors = task.errors(outputs_of(teacher, images), images.labels)
    everything = torch.arange(len(images), device=machine.device)
    return Group(images.pixels, everything, images.labels, errors, _types(images, classifier))


def _fakes(
    pool: Pool, selections: dict[str, FakeSelection], classifier: nn.Module | None, machine: Machine
) -> dict[str, Group]:
    """The fakes of each selection, over one copy of their images. Errors count against the labels
    asked for, and are left out where the labels are the judge's own.
    """
    chosen = {name: pool.rows(selection) for name, selection in selections.items()}
    every = np.unique(np.concatenate(list(chosen.values())))
    images = Images(torch.from_numpy(pool.images(every)), torch.from_numpy(every)).to(
        machine.device
    )
    types = _types(images, classifier)
    groups = {}
    for name, selection in selections.items():
        rows = torch.from_numpy(np.searchsorted(every, chosen[name])).to(machine.device)
        labels = torch.from_numpy(pool.labels(selection, chosen[name])).to(machine.device)
        errors = (
            torch.from_numpy(pool.columns["errors"][chosen[name]])
            if selection.relabel == "keep"
            else None
        )
        groups[name] = Group(
            images.pixels,
            rows,
            labels,
            None if errors is None else errors.to(machine.device),
            None if types is None else types[rows],
        )
    return groups


def _types(images: Images, classifier: nn.Module | None) -> Tensor | None:
    """The types (N,) that the classifier sees."""
    return None if classifier is None else outputs_of(classifier, images).argmax(1)


def _missing(settings: Evaluate, source: Source, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Why scores are not there."""
    missing = {}
    if not any(row["intra"] for row in rows):
        missing["intra"] = "labels are not repeated: no label has two training images and two fakes"
    if settings.types is None:
        missing["diversity"] = "the preset has no table [evaluate.types]"
    elif source.types is None:
        missing["diversity"] = "the data have no types"
    return missing


def _say(row: dict[str, Any]) -> None:
    found = row["sliding"] or {}
    scores = {
        "SFID": found.get("fid"),
        "at equal counts": found.get("matched"),
        "label score": row["label_score"],
        "diversity": found.get("diversity"),
    }
    text = ", ".join(f"{name} {score['mean']:.3g}" for name, score in scores.items() if score)
    console.say(f"{row['row']}: {text or 'no window with two images of each kind'}")
