"""generate: the fake pool, from the networks of the run folder alone, or of images that others
have drawn.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgankd import console, fakes, plan
from cgankd.data.batches import BATCH, Images, outputs_of
from cgankd.data.images import to_float
from cgankd.fakes.drawn import accept
from cgankd.fakes.sampling import SHARD_BYTES, Sampler, draw_pool, health, judged, labels_of
from cgankd.job import Job
from cgankd.models.saved import load_network
from cgankd.preset import check_labels
from cgankd.runs import Artefact, fact, verify_files
from cgankd.stages.drawn import label_of, load_drawn
from cgankd.task import make_task
from cgankd.training.machine import Machine


def run(job: Job, machine: Machine) -> None:
    """Draws the pool of the preset, or makes it of images that others have drawn."""
    (_take if job.preset.generate.images else _draw)(job, machine)


def _draw(job: Job, machine: Machine) -> None:
    artefact, settings = plan.pool(job), job.preset.generate
    verify_files(job.run.gan, "train-gan")
    label = fact(job.run.gan, "train-gan", "label", dict)
    check_labels(job.preset, label)
    sampler = _sampler(job, label, machine)
    machine.once(artefact.begin)
    shards, bounds = draw_pool(sampler, settings, artefact.folder, artefact.digest, machine)

    machine.once(lambda: _finish(artefact, shards, bounds, label, job, machine))


def _finish(
    artefact: Artefact,
    shards: list[Path],
    bounds: np.ndarray,
    label: dict[str, Any],
    job: Job,
    machine: Machine,
    **facts: Any,
) -> None:
    """Records a pool whose shards stand; `bounds` are those of its distinct labels."""
    task, per_label = make_task(label), job.preset.generate.per_label
    parts = [fakes.read_shard(path) for path in shards]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in fakes.SMALL}
    distinct = torch.from_numpy(np.unique(columns["labels"]))
    rows = health(task, distinct, columns, per_label, bounds)
    accepted = fakes.first_accepted(
        columns["labels"], columns["proposals"], columns["accepted"], per_label
    )
    artefact.finish(
        shards,
        made_on=machine.facts,
        per_label=per_label,
        num_accepted=len(accepted),
        label=label,
        labels=rows,
        error_unit=task.error_unit,
        **facts,
    )
    mean = sum(row["acceptance"] for row in rows) / len(rows)
    console.say(f"fake pool: {len(accepted)} images accepted, {mean:.0%} of proposals")


def _sampler(job: Job, label: dict[str, Any], machine: Machine) -> Sampler:
    """The networks of the run folder, their files verified."""
    run, preset, task = job.run, job.preset, make_task(label)
    teacher = run.teacher(preset.generate.teacher)
    verify_files(run.dre, "fit-dre")
    verify_files(teacher, "train-teacher")

    def load(record: Path, name: str) -> nn.Module:
        return load_network(record.parent, name, machine.device)

    return Sampler(
        task=task,
        generator=load(run.gan, "generator"),
        condition=load(run.gan, "condition"),
        features=load(run.dre, "features"),
        ratio=load(run.dre, "ratio"),
        teacher=load(teacher, "network"),
        labels=labels_of(task, preset.generate, preset.seed),
        seed=preset.seed,
        device=machine.device,
    )


# Images that others have drawn


def _take(job: Job, machine: Machine) -> None:
    """Every process judges all images, in one order; the first of them writes."""
    artefact, settings, seed = plan.pool(job), job.preset.generate, job.preset.seed
    label = label_of(job)
    task = make_task(label)
    images = load_drawn(job, task, machine)
    outputs = _outputs(images, job, machine)
    ratios = _ratios(images, job, machine) if job.preset.dre_if_any else None
    labels = images.labels.cpu().numpy()
    taken = accept(labels, ratios, settings, seed, discrete=task.label.discrete)
    columns = {
        "images": images.pixels.cpu().numpy(),
        "proposals": taken.proposals,
        "accepted": taken.accepted,
        "ratios": np.ones(len(labels), np.float32) if ratios is None else ratios,
        **judged(task, outputs, images.labels),
    }

    def finish() -> None:
        artefact.begin()
        shards = _write(columns, artefact.folder)
        drawn = {"images": settings.images, "num_images": len(labels)}
        _finish(artefact, shards, taken.bounds, label, job, machine, **drawn)

    machine.once(finish)


def _outputs(images: Images, job: Job, machine: Machine) -> Tensor:
    """What the teacher says of images: (N, K)."""
    record = job.run.teacher(job.preset.generate.teacher)
    verify_files(record, "train-teacher")
    return outputs_of(load_network(record.parent, "network", machine.device), images)


@torch.no_grad()
def _ratios(images: Images, job: Job, machine: Machine) -> np.ndarray:
    """The density ratio of each image under its label: (N,)."""
    record = job.run.dre
    verify_files(record, "fit-dre")
    features, ratio, condition = (
        load_network(record.parent, name, machine.device)
        for name in ("features", "ratio", "condition")
    )
    parts = zip(images.pixels.split(BATCH), images.labels.split(BATCH), strict=True)
    ratios = [
        ratio(features(to_float(pixels)), condition(labels)).float() for pixels, labels in parts
    ]
    return torch.cat(ratios).cpu().numpy()


def _write(columns: dict[str, np.ndarray], folder: Path) -> list[Path]:
    """Shards of a pool, of about SHARD_BYTES of images each."""
    images = columns["images"]
    rows = max(1, SHARD_BYTES // images[0].size)
    shards: list[Path] = []
    for start in range(0, len(images), rows):
        shards.append(folder / f"pool-{len(shards):05d}.h5")
        part = {name: column[start : start + rows] for name, column in columns.items()}
        fakes.write_shard(shards[-1], part)
    return shards
