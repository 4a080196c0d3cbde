"""generate: the fake pool, from the networks of the run folder alone."""

from pathlib import Path

import numpy as np
from torch import nn

from cgankd import console, fakes, plan
from cgankd.fakes.sampling import Sampler, draw_pool, health, labels_of
from cgankd.models.saved import load_network
from cgankd.preset import Preset, check_labels
from cgankd.runs import Run, verify_files
from cgankd.task import make_task
from cgankd.training.machine import Machine


def run(preset: Preset, run: Run, machine: Machine) -> None:
    """Draws the pool of the preset."""
    artefact, settings = plan.pool(preset, run), preset.generate
    label = verify_files(run.gan, "train-gan")["label"]
    check_labels(preset, label)
    verify_files(run.dre, "fit-dre")
    teacher = run.teacher(settings.teacher)
    verify_files(teacher, "train-teacher")
    if machine.is_main:
        artefact.begin()
    machine.barrier()

    def load(record: Path, name: str) -> nn.Module:
        return load_network(record.parent, name, machine.device)

    task = make_task(label)
    sampler = Sampler(
        task=task,
        generator=load(run.gan, "generator"),
        condition=load(run.gan, "condition"),
        features=load(run.dre, "features"),
        ratio=load(run.dre, "ratio"),
        teacher=load(teacher, "network"),
        labels=labels_of(task, settings, preset.seed),
        seed=preset.seed,
        device=machine.device,
    )
    shards, bounds = draw_pool(sampler, settings, artefact.folder, machine)
    if machine.is_main:
        parts = [fakes.read_shard(path) for path in shards]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in fakes.SMALL}
        rows = health(sampler, columns, settings.per_label, bounds)
        kept = len(
            fakes.first_accepted(
                columns["labels"], columns["proposals"], columns["accepted"], settings.per_label
            )
        )
        artefact.finish(
            shards,
            made_on=machine.facts,
            per_label=settings.per_label,
            num_accepted=kept,
            label=label,
            labels=rows,
            error_unit=task.unit if label["kind"] == "continuous" else "nats",
        )
        mean = sum(row["acceptance"] for row in rows) / len(rows)
        console.say(f"fake pool: {kept} images accepted, {mean:.0%} of proposals")
    machine.barrier()
