"""train-gan: the conditional GAN, with its condition; later stages use the generator's moving average."""

import torch

from cgankd import checkpoint, designs, images, plan, sources
from cgankd.collapse import CollapseWatch, variance
from cgankd.conditions import fit_condition
from cgankd.data import ClassRounds, VicinalRounds, images_of
from cgankd.engine import Adversarial, Machine, fit
from cgankd.models import GANS, make_network
from cgankd.networks import save_network
from cgankd.preset import Preset
from cgankd.randomness import generator, seed_everything
from cgankd.runs import Run
from cgankd.task import make_task


def run(preset: Preset, run: Run, machine: Machine) -> None:
    """Trains the GAN of the preset."""
    artefact, settings, seed = plan.gan(preset, run), preset.gan, preset.seed
    if machine.is_main:
        artefact.begin()
    machine.barrier()
    source = sources.load(preset.data, seed)
    task = make_task(source.label)
    real = images_of(source, "train", task).to(machine.device)
    condition = fit_condition(task, real, settings.embedding, folder=artefact.folder, seed=seed,
                              recipe=artefact.digest, machine=machine)  # fmt: skip

    seed_everything(seed, "gan", "weights")
    _, make_discriminator = GANS[settings.network]
    architecture = designs.generator(preset, task.outputs)
    update = Adversarial(
        machine,
        make_network(architecture),
        make_discriminator(**designs.discriminator(preset, task.outputs)),
        condition,
        learning_rate=settings.learning_rate,
        critic_learning_rate=settings.critic_learning_rate or settings.learning_rate,
        betas=(settings.betas[0], settings.betas[1]),
        diffaugment=settings.diffaugment,
        flip=settings.flip,
        ema_decay=settings.ema_decay,
        ema_start=settings.ema_start,
    )
    if settings.vicinity:
        rounds: ClassRounds | VicinalRounds = VicinalRounds(
            real, settings.batch, settings.critic_steps, kind=settings.vicinity.kind, sigma=settings.vicinity.sigma,
            gaps=settings.vicinity.gaps, seed=seed, share=machine.share)  # fmt: skip
    else:
        rounds = ClassRounds(real, settings.batch, settings.critic_steps, task, seed=seed, share=machine.share)

    labels = task.grid(10)[:10].repeat_interleave(10).to(machine.device)
    z = torch.randn(len(labels), settings.latent, generator=generator(seed, "gan", "samples")).to(machine.device)

    collapse = CollapseWatch(artefact.folder, variance(real.pixels, task.groups(real.labels)),
                             steps=settings.steps, ema_start=settings.ema_start)  # fmt: skip

    def watch(step: int) -> None:
        with torch.no_grad():
            fakes = images.to_uint8(update.average(z, condition(labels)))
        images.save_grid(artefact.folder / "samples" / f"step-{step:08d}.png", fakes.cpu(), 10)
        collapse(step, variance(fakes, labels), update.average, architecture)

    fit(update, rounds, steps=settings.steps, folder=artefact.folder, name="gan", seed=seed,
        recipe=artefact.digest, machine=machine, watch=watch)  # fmt: skip
    if machine.is_main:
        folder = artefact.folder
        files = save_network(folder, "generator", update.average, architecture)
        files += [folder / "condition.safetensors", folder / "condition.json"]
        collapse.remove()
        artefact.finish(files, made_on=machine.facts, label=source.label, seen=source.seen("train"))
        checkpoint.remove(folder / "checkpoints")
    machine.barrier()
