"""train-teacher: the networks that filter and relabel the fakes, and teach."""

from typing import Any

import torch
from torch import Tensor, nn

from cgankd import console, plan, sources
from cgankd.data.batches import Batches, Images, images_of, outputs_of
from cgankd.errors import DIVERGED, UserError
from cgankd.methods.nokd import Nokd
from cgankd.models import architectures, make_network, published
from cgankd.models.saved import num_parameters, save_network
from cgankd.plan import Overrides
from cgankd.preset import Preset
from cgankd.randomness import seed_everything
from cgankd.runs import Artefact, Run
from cgankd.sources import Source
from cgankd.task import Task, make_task
from cgankd.training import checkpoint
from cgankd.training.loop import fit_objective
from cgankd.training.machine import Machine


def run(preset: Preset, run: Run, machine: Machine, call: Overrides) -> None:
    """Trains or imports the teachers of the preset that do not stand yet."""
    source = sources.load(preset.data, preset.seed)
    for network in preset.teacher.networks:
        artefact = plan.teacher(network, preset, run, call)
        done = artefact.state() == "done"
        machine.barrier()
        if not done:
            _make(network, artefact, preset, source, machine, call)


def _make(
    name: str, artefact: Artefact, preset: Preset, source: Source, machine: Machine, call: Overrides
) -> None:
    task, file = make_task(source.label), plan.file_of(name, artefact, call)
    real, validation = (
        images_of(source, split, task).to(machine.device) for split in ("train", "validation")
    )
    form = name, real.side, task.outputs, real.normalisation()
    architecture = (
        architectures.published_cnn(*form)
        if file
        else architectures.cnn(*form, preset.teacher.head)
    )
    network, origin = published.load(file, architecture) if file else (None, None)
    if machine.is_main:
        artefact.begin()
    machine.barrier()
    network = (
        network.to(machine.device)
        if network
        else _train(name, artefact, architecture, preset, task, real, machine)
    )
    if machine.is_main:
        score = check(task, name, outputs_of(network, validation), real.labels, validation.labels)
        files = save_network(artefact.folder, "network", network, architecture)
        artefact.finish(
            files,
            made_on=machine.facts,
            origin=origin and {name: origin},
            network=name,
            parameters=num_parameters(network),
            validation=score,
            seen={} if origin else source.seen("train"),
        )
        checkpoint.remove(artefact.folder / "checkpoints")
        console.say(f"teacher {name}: validation {task.metric} {score:.3g} {task.unit}")
    machine.barrier()


def _train(
    name: str,
    artefact: Artefact,
    architecture: dict[str, Any],
    preset: Preset,
    task: Task,
    real: Images,
    machine: Machine,
) -> nn.Module:
    settings = preset.teacher
    seed_everything(preset.seed, "teacher", name, "weights")
    network = make_network(architecture)
    batches = Batches(
        real, settings.batch, seed=preset.seed, stream=f"teacher {name}", share=machine.share
    )
    fit_objective(
        Nokd(task, network),
        batches,
        settings,
        folder=artefact.folder,
        name=f"teacher {name}",
        seed=preset.seed,
        digest=artefact.digest,
        machine=machine,
    )
    return network


def check(task: Task, name: str, outputs: Tensor, train_labels: Tensor, labels: Tensor) -> float:
    """The teacher's validation score; UserError(DIVERGED) where a constant answer is as good."""
    score, constant = task.score(outputs, labels), task.constant_score(train_labels, labels)
    if not score < constant or not torch.isfinite(outputs).all():
        raise UserError(
            f"teacher {name}: validation {task.metric} {score:.3g} {task.unit} is no better than "
            "the "
            f"{constant:.3g} {task.unit} of a constant answer; relabelling by it would do harm",
            DIVERGED,
            "change [teacher]: a lower learning_rate, more steps, another network",
        )
    return score
