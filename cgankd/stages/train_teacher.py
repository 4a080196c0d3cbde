"""train-teacher: the networks that filter and relabel the fakes, and teach."""

import torch
from torch import Tensor

from cgankd import checkpoint, console, designs, plan, sources
from cgankd.data import Batches, images_of
from cgankd.engine import Machine, Supervised, fit
from cgankd.errors import DIVERGED, UserError
from cgankd.images import Augmented
from cgankd.methods.nokd import Nokd
from cgankd.metrics import num_parameters, outputs_of
from cgankd.models import make_network
from cgankd.networks import save_network
from cgankd.preset import Preset
from cgankd.randomness import seed_everything
from cgankd.runs import Artefact, Run
from cgankd.sources import Source
from cgankd.task import Task, make_task


def run(preset: Preset, run: Run, machine: Machine) -> None:
    """Trains the teachers of the preset that do not stand yet."""
    source = sources.load(preset.data, preset.seed)
    for network in preset.teacher.networks:
        artefact = plan.teacher(network, preset, run)
        done = artefact.state() == "done"
        machine.barrier()
        if not done:
            _train(network, artefact, preset, source, machine)


def _train(name: str, artefact: Artefact, preset: Preset, source: Source, machine: Machine) -> None:
    settings, task = preset.teacher, make_task(source.label)
    real, validation = (images_of(source, split, task).to(machine.device) for split in ("train", "validation"))
    if machine.is_main:
        artefact.begin()
    machine.barrier()
    seed_everything(preset.seed, "teacher", name, "weights")
    architecture = designs.cnn(name, real.side, task.outputs, real.normalisation())
    network = make_network(architecture)
    batches = Batches(real, settings.batch, seed=preset.seed, stream=f"teacher {name}", share=machine.share)
    update = Supervised(machine, Augmented(Nokd(task, network), settings.augment), settings)
    fit(update, batches, steps=settings.steps, folder=artefact.folder, name=f"teacher {name}", seed=preset.seed,
        recipe=artefact.digest, machine=machine)  # fmt: skip
    if machine.is_main:
        score = check(task, name, outputs_of(network, validation), real.labels, validation.labels)
        files = save_network(artefact.folder, "network", network, architecture)
        artefact.finish(files, made_on=machine.facts, network=name, parameters=num_parameters(network),
                        validation=score, seen=source.seen("train"))  # fmt: skip
        checkpoint.remove(artefact.folder / "checkpoints")
        console.say(f"teacher {name}: validation {task.metric} {score:.3g} {task.unit}")
    machine.barrier()


def check(task: Task, name: str, outputs: Tensor, train_labels: Tensor, labels: Tensor) -> float:
    """The teacher's validation score; UserError(DIVERGED) where a constant answer is as good."""
    score, constant = task.score(outputs, labels), task.constant_score(train_labels, labels)
    if not score < constant or not torch.isfinite(outputs).all():
        raise UserError(
            f"teacher {name}: validation {task.metric} {score:.3g} {task.unit} is no better than the "
            f"{constant:.3g} {task.unit} of a constant answer; relabelling by it would do harm",
            DIVERGED,
            "change [teacher]: a lower learning_rate, more steps, another network",
        )
    return score
