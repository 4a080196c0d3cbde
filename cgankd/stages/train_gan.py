"""train-gan: the conditional GAN, with its condition; later stages use the generator's moving
average.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cgankd import console, plan, sources
from cgankd.data import images
from cgankd.data.batches import BATCH, Images, images_of
from cgankd.data.gan_batches import ClassGanBatches
from cgankd.data.vicinity import ByLabel, VicinalGanBatches, make_vicinity
from cgankd.fakes.looks import Looks
from cgankd.fakes.measures import variance
from cgankd.job import Job
from cgankd.models import GANS, architectures, make_network
from cgankd.models.architectures import Architecture
from cgankd.models.saved import save_network
from cgankd.preset import Gan, Preset
from cgankd.randomness import generator, seed_everything
from cgankd.stages.imports import load_imports, origins, save_imports
from cgankd.task import Task, make_task
from cgankd.training import checkpoint
from cgankd.training.collapse import CollapseWatch, Signs
from cgankd.training.conditions import fit_condition, read_labels
from cgankd.training.kept import KeepBest
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
    kept: dict[str, Any] = {}
    if "generator" in imports:
        network = imports["generator"].network
    else:
        if preset.gan.grey and not real.coloured():
            parts["generator"]["grey"] = True
        network, kept = _train(parts["generator"], job, task, real, condition, session)

    def finish() -> None:
        files = save_network(folder, "generator", network, parts["generator"])
        files += [folder / "condition.safetensors", folder / "condition.json"]
        artefact.finish(
            files,
            made_on=machine.facts,
            origin=origins(imports),
            label=source.label,
            seen={} if imports else source.seen("train"),
            **kept,
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
) -> tuple[nn.Module, dict[str, Any]]:
    """The moving average of the generator, the last or the best one, and which it is."""
    settings, seed, machine = job.preset.gan, session.seed, session.machine
    seed_everything(seed, "gan", "weights")
    spread = variance(real.pixels, task.groups(real.labels))
    embedding = settings.embedding if settings.auxiliary else None
    read = read_labels(embedding, session) if embedding else None
    update = make_update(job.preset, task, architecture, condition, machine, spread, read)
    watch = Watch(settings, architecture, task, real, condition, update, session)
    batches = make_batches(settings, task, real, seed, machine)
    trained = watch.best if settings.keep == "best" else update
    fit(trained, batches, steps=settings.steps, session=session, watch=watch)
    network = watch.average()
    if not machine.is_main:  # which alone has looked, and saves what is kept
        return network, {}
    watch.collapse.remove()
    return network, watch.choose(network) if settings.keep == "best" else {}


class Watch:
    """Looks at the average of a GAN ten times in its training: a picture, a check, and for
    `gan.keep = "best"` a comparison.
    """

    def __init__(
        self,
        settings: Gan,
        architecture: Architecture,
        task: Task,
        real: Images,
        condition: nn.Module,
        update: Adversarial,
        session: Session,
    ) -> None:
        self.settings, self.architecture, self.task = settings, architecture, task
        self.condition, self.update, self.session = condition, update, session
        self.collapse = CollapseWatch(
            session.folder, steps=settings.steps, ema_start=settings.ema_start
        )
        self.best = KeepBest(update)
        self.looks = Looks(real, task.label, settings.latent, session.seed)
        self.device = session.machine.device
        self.labels = task.grid(10)[:10].repeat_interleave(10).to(self.device)
        draws = generator(session.seed, "gan", "samples")
        self.z = torch.randn(len(self.labels), settings.latent, generator=draws).to(self.device)

    @torch.no_grad()
    def __call__(self, step: int) -> None:
        network = self.average()
        self._picture(step, network)
        fakes = self.looks.fakes(network, self.condition)
        look = self.looks.at(fakes)
        contrast = _contrast(self.update.discriminator, self.condition, self.looks.real, fakes)
        self.collapse(step, Signs(look.variance, contrast), network, self.architecture)
        if self.settings.keep == "best":
            self.best.look(step, look.distance, network)

    def average(self) -> Any:
        """The average as later stages have it; a copy, so that training goes on as it would."""
        if not self.settings.standing:
            return self.update.average
        network, every = copy.deepcopy(self.update.average), self.task.grid(GRID).to(self.device)
        draws = generator(self.session.seed, "gan", "standing")
        stand(network, self.condition, every, self.settings.standing, draws)
        return network

    @torch.no_grad()
    def choose(self, last: nn.Module) -> dict[str, Any]:
        """Makes of the last average the best one; facts that say which that is."""
        best, steps = self.best, self.settings.steps
        if steps not in best.looks:
            distance = self.looks.at(self.looks.fakes(last, self.condition)).distance
            best.look(steps, distance, last)
        if best.step is None:
            console.warn(
                "gan.keep: no label has two training images to compare with; kept is the last"
            )
            return {}
        best.restore(last)
        found = {step: best.looks[step] for step in (best.step, steps)}
        told = ", ".join(f"{distance:.4g} at step {step:,}" for step, distance in found.items())
        console.say(
            f"gan: kept is the average of step {best.step:,} of {steps:,}, whose fakes are nearest "
            f"to the training images (distance {told})"
        )
        looks = [{"step": step, "distance": distance} for step, distance in best.looks.items()]
        return {"kept": {"step": best.step, "looks": looks}}

    def _picture(self, step: int, network: nn.Module) -> None:
        """Ten images of each of ten labels, the same ones each time."""
        fakes = images.to_uint8(network(self.z, self.condition(self.labels)))
        path = self.session.folder / "samples" / f"step-{step:08d}.png"
        sheet = images.save_grid(path, fakes.cpu(), 10)
        self.session.machine.tracker.picture("gan/samples", step, path, sheet)


def _contrast(discriminator: nn.Module, condition: nn.Module, real: Images, fakes: Tensor) -> float:
    """The largest difference of the scores of a real image and of the fake of its label."""

    def scores(pixels: Tensor) -> Tensor:
        pairs = zip(pixels.split(BATCH), real.labels.split(BATCH), strict=True)
        return torch.cat(
            [discriminator(images.to_float(some), condition(labels)) for some, labels in pairs]
        )

    discriminator.eval()  # in which its spectral norms do not move
    contrast = (scores(real.pixels) - scores(fakes)).abs().max().item()
    discriminator.train()
    return contrast


def make_update(
    preset: Preset,
    task: Task,
    architecture: Architecture,
    condition: nn.Module,
    machine: Machine,
    variance: float,
    read: Callable[[Tensor], Tensor] | None = None,
) -> Adversarial:
    """The networks of a preset's GAN, the generator of that architecture, made of torch's global
    draws, and how they are trained on images that vary by `variance` within a label, with labels
    that `read` finds in images.
    """
    settings = preset.gan
    _, make_discriminator = GANS[settings.network]
    return Adversarial(
        machine,
        make_network(architecture),
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
        auxiliary=settings.auxiliary,
        auxiliary_every=settings.auxiliary_every,
        read=read,
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
