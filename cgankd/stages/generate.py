"""generate: the fake pool, from the networks of the run folder alone."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cgankd import console, fakes, plan
from cgankd.fakes.sampling import Sampler, draw_pool, health, labels_of
from cgankd.job import Job
from cgankd.models.saved import load_network
from cgankd.preset import check_labels
from cgankd.runs import fact, verify_files
from cgankd.task import make_task
from cgankd.training.machine import Machine


def run(job: Job, machine: Machine) -> None:
    """Draws the pool of the preset."""
    artefact, settings = plan.pool(job), job.preset.generate
    verify_files(job.run.gan, "train-gan")
    label = fact(job.run.gan, "train-gan", "label", dict)
    check_labels(job.preset, label)
    sampler = _sampler(job, label, machine)
    machine.once(artefact.begin)
    shards, bounds = draw_pool(sampler, settings, artefact.folder, artefact.digest, machine)

    def finish() -> None:
        parts = [fakes.read_shard(path) for path in shards]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in fakes.SMALL}
        rows = health(sampler, columns, settings.per_label, bounds)
        accepted = fakes.first_accepted(
            columns["labels"], columns["proposals"], columns["accepted"], settings.per_label
        )
        artefact.finish(
            shards,
            made_on=machine.facts,
            per_label=settings.per_label,
            num_accepted=len(accepted),
            label=label,
            labels=rows,
            error_unit=sampler.task.error_unit,
        )
        mean = sum(row["acceptance"] for row in rows) / len(rows)
        console.say(f"fake pool: {len(accepted)} images accepted, {mean:.0%} of proposals")

    machine.once(finish)


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
