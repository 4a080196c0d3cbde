"""train-gan: the conditional GAN, with its condition; later stages use the generator's moving
average.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from cgankd import plan, sources
from cgankd.data import images
from cgankd.data.batches import Images, images_of
from cgankd.data.gan_batches import ClassGanBatches
from cgankd.data.vicinity import ByLabel, VicinalGanBatches, make_vicinity
from cgankd.job import Job
from cgankd.models import GANS, architectures, make_network
from cgankd.models.architectures import Architecture
from cgankd.models.saved import save_network
from cgankd.preset import Gan, Preset
from cgankd.randomness import generator, seed_everything
from cgankd.stages.imports import load_imports, origins, save_imports
from cgankd.task import Task, make_task
from cgankd.training import checkpoint
from cgankd.training.collapse import CollapseWatch, variance
from cgankd.training.conditions import fit_condition
from cgankd.training.loop import fit
from cgankd.training.machine import Machine
from cgankd.training.session import Session
from cgankd.training.standing import stand
from cgankd.training.updates import Adversarial

GRID = 1000  # labels of a continuous label that its fakes' statistics are taken over


def run(job: Job, machine: Machine) -> None:
    """Trains the GAN of the preset, or imports its generator, its condition, or what that is
    trained with.
    """
    artefact, preset = plan.gan(job), job.preset
    source = sources.load(preset.data, preset.seed)
    task, folder = make_task(source.label), artefact.folder
    parts = _parts(job, task)
    imports = load_imports(parts, artefact, job)

    def begin() -> None:
        artefact.begin()
        save_imports(imports, parts, artefact, "condition", "embedding")

    machine.once(begin)
    real = images_of(source, "train", task).to(machine.device)
    session = Session(folder, "gan", preset.seed, artefact.digest, machine)
    condition = fit_condition(task, real, preset.gan.embedding, session)
    machine = machine.training(preset.gan.network)
    session = replace(session, machine=machine)
    if "generator" in imports:
        network = imports["generator"].network
    else:
        network = _train(parts["generator"], job, task, real, condition, session)

    def finish() -> None:
        files = save_network(folder, "generator", network, parts["generator"])
        files += [folder / "condition.safetensors", folder / "condition.json"]
        artefact.finish(
            files,
            made_on=machine.facts,
            origin=origins(imports),
            label=source.label,
            seen={} if imports else source.seen("train"),
        )
        checkpoint.remove(folder)

    machine.once(finish)


def _parts(job: Job, task: Task) -> dict[str, Architecture]:
    """What a GAN consists of."""
    embedding, side = job.preset.gan.embedding, job.preset.data.size
    parts = {"generator": architectures.generator(job.preset, task.num_classes)}
    if embedding:
        parts["condition"] = architectures.condition(embedding, task.num_classes)
        parts["embedding"] = architectures.published_embedding(embedding, side)
    return parts


def _train(
    architecture: Architecture,
    job: Job,
    task: Task,
    real: Images,
    condition: nn.Module,
    session: Session,
) -> nn.Module:
    """The moving average of the generator."""
    settings, seed, machine = job.preset.gan, session.seed, session.machine
    seed_everything(seed, "gan", "weights")
    spread = variance(real.pixels, task.groups(real.labels))
    update = make_update(job.preset, task, condition, machine, spread)
    collapse = CollapseWatch(
        session.folder,
        spread,
        steps=settings.steps,
        ema_start=settings.ema_start,
    )
    labels = task.grid(10)[:10].repeat_interleave(10).to(machine.device)
    draws = generator(seed, "gan", "samples")
    z = torch.randn(len(labels), settings.latent, generator=draws).to(machine.device)

    def average() -> Any:
        """The average as later stages have it; a copy, so that training goes on as it would."""
        if not settings.standing:
            return update.average
        network, every = copy.deepcopy(update.average), task.grid(GRID).to(machine.device)
        stand(network, condition, every, settings.standing, generator(seed, "gan", "standing"))
        return network

    def watch(step: int) -> None:
        """Ten images of each of ten labels, the same ones each time: a picture, and a check."""
        network = average()
        with torch.no_grad():
            fakes = images.to_uint8(network(z, condition(labels)))
        path = session.folder / "samples" / f"step-{step:08d}.png"
        sheet = images.save_grid(path, fakes.cpu(), 10)
        machine.tracker.picture("gan/samples", step, path, sheet)
        collapse(step, variance(fakes, labels), network, architecture)

    batches = make_batches(settings, task, real, seed, machine)
    fit(update, batches, steps=settings.steps, session=session, watch=watch)
    if machine.is_main:
        collapse.remove()
    return average()


def make_update(
    preset: Preset, task: Task, condition: nn.Module, machine: Machine, variance: float
) -> Adversarial:
    """The networks of a preset's GAN, made of torch's global draws, and how they are trained on
    images that vary by `variance` within a label.
    """
    settings = preset.gan
    _, make_discriminator = GANS[settings.network]
    return Adversarial(
        machine,
        make_network(architectures.generator(preset, task.num_classes)),
        make_discriminator(**architectures.discriminator(preset, task.num_classes)),
        condition,
        loss=settings.loss,
        learning_rate=settings.learning_rate,
        discriminator_learning_rate=settings.discriminator_learning_rate or settings.learning_rate,
        betas=(settings.betas[0], settings.betas[1]),
        diffaugment=settings.diffaugment,
        flip=settings.flip,
        ema_decay=settings.ema_decay,
        ema_start=settings.ema_start,
        diversity=settings.diversity,
        variance=variance,
        reuse_fakes=settings.reuse_fakes,
    )


def make_batches(settings: Gan, task: Task, real: Images, seed: int, machine: Machine) -> Any:
    """By the class, or with a vicinity by the label."""
    size, steps = settings.batch, settings.discriminator_steps
    shared: dict[str, Any] = {"seed": seed, "process": machine.process}
    if not settings.vicinity:
        return ClassGanBatches(real, size, steps, task, **shared)
    by_label = ByLabel(real, task)
    vicinity = make_vicinity(settings.vicinity, by_label.values)
    return VicinalGanBatches(
        by_label,
        vicinity,
        size,
        steps,
        sigma=settings.vicinity.sigma,
        fresh=settings.vicinity.generator_labels == "fresh",
        **shared,
    )
