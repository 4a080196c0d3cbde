"""train-gan: the conditional GAN, with its condition; later stages use the generator's moving
average.
"""

from typing import Any

import torch
from torch import nn

from cgankd import plan, sources
from cgankd.data import images
from cgankd.data.batches import Images, images_of
from cgankd.data.rounds import ClassGanBatches
from cgankd.data.vicinity import ByLabel, VicinalGanBatches, make_vicinity
from cgankd.models import GANS, architectures, make_network, published
from cgankd.models.saved import save_network
from cgankd.plan import Overrides
from cgankd.preset import Preset
from cgankd.randomness import generator, seed_everything
from cgankd.runs import Artefact, Run
from cgankd.task import Task, make_task
from cgankd.training import checkpoint
from cgankd.training.collapse import CollapseWatch, variance
from cgankd.training.conditions import fit_condition
from cgankd.training.loop import fit
from cgankd.training.machine import Machine
from cgankd.training.updates import Adversarial


def run(preset: Preset, run: Run, machine: Machine, call: Overrides) -> None:
    """Trains the GAN of the preset, or imports its generator, its condition, or what that is
    trained with.
    """
    artefact, seed = plan.gan(preset, run, call), preset.seed
    source = sources.load(preset.data, seed)
    task, folder, embedding = make_task(source.label), artefact.folder, preset.gan.embedding
    parts = {"generator": architectures.generator(preset, task.outputs)}
    if embedding:
        parts["condition"] = architectures.condition(embedding, task.outputs)
        parts["embedding"] = architectures.published_embedding(embedding, preset.data.size)
    imports = {
        part: published.load(file, architecture)
        for part, architecture in parts.items()
        if (file := plan.file_of(part, artefact, call))
    }
    origin = {part: origin for part, (_, origin) in imports.items()}
    if machine.is_main:
        artefact.begin()
        for part in imports.keys() & {"condition", "embedding"}:
            save_network(folder, part, imports[part][0], parts[part])
    machine.barrier()
    real = images_of(source, "train", task).to(machine.device)
    condition = fit_condition(
        task, real, embedding, folder=folder, seed=seed, digest=artefact.digest, machine=machine
    )
    network = (
        imports["generator"][0]
        if "generator" in imports
        else _train(artefact, parts["generator"], preset, task, real, condition, machine)
    )
    if machine.is_main:
        files = save_network(folder, "generator", network, parts["generator"])
        files += [folder / "condition.safetensors", folder / "condition.json"]
        artefact.finish(
            files,
            made_on=machine.facts,
            origin=origin or None,
            label=source.label,
            seen={} if origin else source.seen("train"),
        )
        checkpoint.remove(folder / "checkpoints")
    machine.barrier()


def _train(
    artefact: Artefact,
    architecture: dict[str, Any],
    preset: Preset,
    task: Task,
    real: Images,
    condition: nn.Module,
    machine: Machine,
) -> nn.Module:
    """The moving average of the generator."""
    settings, seed = preset.gan, preset.seed
    seed_everything(seed, "gan", "weights")
    _, make_discriminator = GANS[settings.network]
    update = Adversarial(
        machine,
        make_network(architecture),
        make_discriminator(**architectures.discriminator(preset, task.outputs)),
        condition,
        loss=settings.loss,
        learning_rate=settings.learning_rate,
        discriminator_learning_rate=settings.discriminator_learning_rate or settings.learning_rate,
        betas=(settings.betas[0], settings.betas[1]),
        diffaugment=settings.diffaugment,
        flip=settings.flip,
        ema_decay=settings.ema_decay,
        ema_start=settings.ema_start,
    )
    if settings.vicinity:
        by_label = ByLabel(real, task)
        rounds: ClassGanBatches | VicinalGanBatches = VicinalGanBatches(
            by_label,
            make_vicinity(settings.vicinity, by_label.values),
            settings.batch,
            settings.discriminator_steps,
            sigma=settings.vicinity.sigma,
            seed=seed,
            share=machine.share,
        )
    else:
        rounds = ClassGanBatches(
            real, settings.batch, settings.discriminator_steps, task, seed=seed, share=machine.share
        )

    labels = task.grid(10)[:10].repeat_interleave(10).to(machine.device)
    z = torch.randn(len(labels), settings.latent, generator=generator(seed, "gan", "samples")).to(
        machine.device
    )

    collapse = CollapseWatch(
        artefact.folder,
        variance(real.pixels, task.groups(real.labels)),
        steps=settings.steps,
        ema_start=settings.ema_start,
    )

    def watch(step: int) -> None:
        with torch.no_grad():
            fakes = images.to_uint8(update.average(z, condition(labels)))
        images.save_grid(artefact.folder / "samples" / f"step-{step:08d}.png", fakes.cpu(), 10)
        collapse(step, variance(fakes, labels), update.average, architecture)

    fit(
        update,
        rounds,
        steps=settings.steps,
        folder=artefact.folder,
        name="gan",
        seed=seed,
        digest=artefact.digest,
        machine=machine,
        watch=watch,
    )
    if machine.is_main:
        collapse.remove()
    return update.average
