"""fit-dre: the feature extractor and, in its feature space, the conditional density ratio
(cDRE-F-SP).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgankd import console, plan, sources
from cgankd.data.batches import BATCH, Batches, Images, images_of
from cgankd.data.images import to_float
from cgankd.data.vicinity import ByLabel, Pairs, make_vicinity
from cgankd.errors import DATA, DIVERGED, UserError
from cgankd.fakes import verdict
from cgankd.fakes.drawn import DrawnFakes
from cgankd.fakes.ratio import DensityRatioObjective, auc, effective_share
from cgankd.job import Job
from cgankd.models import architectures, make_network
from cgankd.models.architectures import Architecture
from cgankd.models.saved import load_network, save_network
from cgankd.preset import Dre
from cgankd.randomness import generator, seed_everything
from cgankd.runs import verify_files
from cgankd.stages.drawn import load_drawn
from cgankd.stages.imports import load_imports, origins, save_imports
from cgankd.task import Task, make_task
from cgankd.training import checkpoint
from cgankd.training.conditions import fit_condition
from cgankd.training.features import fit_features
from cgankd.training.loop import fit_objective
from cgankd.training.machine import Machine
from cgankd.training.session import Session

CHECKED = 2000  # fakes on which the fitted ratio is checked
MIN_MEAN, MAX_MEAN, MIN_EFFECTIVE = 0.1, 10.0, 0.05

Generate = Callable[[Tensor], Tensor]  # labels (N,) -> fakes (N, 3, S, S) in [-1, 1]


def run(job: Job, machine: Machine) -> None:
    """Fits the density ratio of the preset, or imports it, or its features alone."""
    artefact, preset = plan.dre(job), job.preset
    source = sources.load(preset.data, preset.seed)
    task, folder = make_task(source.label), artefact.folder
    real = images_of(source, "train", task).to(machine.device)
    parts = _parts(job, task, real, is_imported="ratio" in artefact.inputs.get("from", {}))
    imports = load_imports(parts, artefact, job)

    def begin() -> None:
        artefact.begin()
        save_imports(imports, parts, artefact, "features")

    machine.once(begin)
    session = Session(folder, "density ratio", preset.seed, artefact.digest, machine)
    extracting = machine.training(preset.dre.features.network or "")
    features = fit_features(
        task, real, preset.dre.features, parts["features"], replace(session, machine=extracting)
    )
    fakes = _drawn(job, task, real, session) if preset.generate.images else _of_gan(job, machine)
    generate, condition, real = fakes.generate, fakes.condition, fakes.of_known(real)
    if "ratio" in imports:
        ratio = imports["ratio"].network.to(machine.device)
    else:
        # Functions, so that the networks they hold are no part of what is trained and saved.
        objective = DensityRatioObjective(
            _make(parts["ratio"], session.seed),
            generate,
            lambda labels: condition(labels),
            lambda images: features(images),
            preset.dre.penalty,
        )
        ratio = _fit(objective, job, task, real, session)

    def finish() -> None:
        images, labels = _to_check(fakes, task, session)
        unseen = images_of(source, "validation", task)

        def ratios_of(images: Tensor, labels: Tensor) -> Tensor:
            with torch.no_grad():
                return ratio.eval()(features(images), condition(labels)).float().cpu()

        ratios = ratios_of(images, labels)
        check(ratios, preset.dre.penalty, reason=_reason("ratio" in imports))
        mean, effective = ratios.mean().item(), effective_share(ratios)
        tells = auc(_of_some(ratios_of, unseen, session), ratios)
        files = save_network(folder, "ratio", ratio, parts["ratio"])
        artefact.finish(
            [*files, *fakes.files, folder / "features.safetensors", folder / "features.json"],
            made_on=extracting.facts,
            origin=origins(imports),
            seen={} if imports else source.seen("train"),
            mean_ratio=mean,
            effective_share=effective,
            auc=tells,
        )
        checkpoint.remove(folder)
        console.say(
            f"density ratio of fakes: mean {mean:.3g}, effective share {effective:.1%}, AUC "
            f"against unseen real images {tells:.2f}"
        )
        if why := verdict.idle(tells, effective):
            console.warn(f"the density ratio {why}: subsampling is idle; {verdict.idle_hint()}")

    machine.once(finish)


@dataclass(frozen=True)
class Fakes:
    """What the ratio compares real images with."""

    generate: Generate
    condition: nn.Module
    grid: Tensor | None = None  # labels to check the ratio on; None: those of the task
    of_known: Callable[[Images], Images] = lambda images: images  # real ones that have fakes
    files: tuple[Path, ...] = ()  # of the condition, where it is kept with the ratio


def _of_gan(job: Job, machine: Machine) -> Fakes:
    """The GAN of the run."""
    verify_files(job.run.gan, "train-gan")
    folder = job.run.gan.parent
    network = load_network(folder, "generator", machine.device)
    condition = load_network(folder, "condition", machine.device)
    return Fakes(drawing(network, condition), condition)


def drawing(network: Any, condition: nn.Module) -> Generate:
    """What a generator draws, by torch's global draws."""

    def generate(labels: Tensor) -> Tensor:
        z = torch.randn(len(labels), network.latent, device=labels.device)
        return network(z, condition(labels))

    return generate


def _drawn(job: Job, task: Task, real: Images, session: Session) -> Fakes:
    """Images that others have drawn; no GAN has left a condition, so it is fitted here."""
    drawn = DrawnFakes(load_drawn(job, task, session.machine), task)
    condition = fit_condition(task, real, job.preset.embedding, session)
    if not len(drawn.of_known(real)):
        raise UserError("no drawn image is of a label that real images have", DATA)
    files = tuple(session.folder / f"condition.{kind}" for kind in ("safetensors", "json"))
    return Fakes(drawn, condition, drawn.labels.cpu(), drawn.of_known, files)


def _parts(job: Job, task: Task, real: Images, is_imported: bool) -> dict[str, Architecture]:
    # The published ratio was fitted to what its extractor says of images in [-1, 1], though that
    # was trained with the constants of the data.
    constants = architectures.UNCHANGED if is_imported else real.normalisation()
    return {
        "features": architectures.features(job.preset, task.outputs, constants),
        "ratio": architectures.ratio(job.preset, task.num_classes),
    }


def _make(architecture: Architecture, seed: int) -> nn.Module:
    seed_everything(seed, "ratio", "weights")
    return make_network(architecture)


def _fit(
    objective: DensityRatioObjective, job: Job, task: Task, real: Images, session: Session
) -> nn.Module:
    """Trains the ratio of an objective."""
    settings = job.preset.dre
    batches = make_batches(settings, task, real, session.seed, session.machine)
    part = session.part("ratio-training", "density ratio")
    fit_objective(objective, batches, settings, part)
    return objective.network


def make_batches(
    settings: Dre, task: Task, real: Images, seed: int, machine: Machine
) -> Batches | Pairs:
    """By the class, or pairs of target and image by the label."""
    shared: dict[str, Any] = {"seed": seed, "process": machine.process}
    if task.label.discrete:
        return Batches(real, settings.batch, stream="ratio", **shared)
    by_label, width = ByLabel(real, task), settings.vicinity
    vicinity = make_vicinity(width, by_label.values) if width else None
    return Pairs(by_label, vicinity, settings.batch, **shared)


def _to_check(fakes: Fakes, task: Task, session: Session) -> tuple[Tensor, Tensor]:
    """The fakes that the ratio is checked on, with their labels."""
    draws = generator(session.seed, "ratio", "check")
    grid = task.grid(CHECKED) if fakes.grid is None else fakes.grid
    labels = grid[torch.randint(len(grid), (CHECKED,), generator=draws)]
    labels = labels.to(session.machine.device)
    seed_everything(session.seed, "ratio", "check")
    with torch.no_grad():
        return fakes.generate(labels), labels


def _of_some(
    ratios_of: Callable[[Tensor, Tensor], Tensor], images: Images, session: Session
) -> Tensor:
    """The ratios of as many real images as there are fakes that the ratio is checked on, or all."""
    rows = torch.randperm(len(images), generator=generator(session.seed, "ratio", "real"))[:CHECKED]
    some = Images(images.pixels[rows], images.labels[rows]).to(session.machine.device)
    parts = zip(some.pixels.split(BATCH), some.labels.split(BATCH), strict=True)
    return torch.cat([ratios_of(to_float(pixels), labels) for pixels, labels in parts])


def _reason(is_imported: bool) -> str:
    return "it was fitted to another generator" if is_imported else ""


def check(ratios: Tensor, penalty: float, reason: str = "") -> None:
    """UserError(DIVERGED) where the ratios (N,) of fakes are not those of a density ratio, whose
    mean is 1.
    """
    mean, effective = ratios.mean().item(), effective_share(ratios)
    if not MIN_MEAN <= mean <= MAX_MEAN or effective < MIN_EFFECTIVE:
        raise UserError(
            f"the density ratio of fakes has mean {mean:.3g} (1 expected) and an effective sample "
            f"share of {effective:.1%}"
            + (f": {reason}" if reason else f" with dre.penalty (lambda) = {penalty:g}"),
            DIVERGED,
            "import its generator too"
            if reason
            else "raise dre.penalty (0.1 suits small data), or dre.steps",
        )
