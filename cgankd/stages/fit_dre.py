"""fit-dre: the feature extractor and, in its feature space, the conditional density ratio
(cDRE-F-SP).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cgankd import console, plan, sources
from cgankd.data.batches import Batches, Images, images_of
from cgankd.data.vicinity import ByLabel, Pairs, make_vicinity
from cgankd.errors import DIVERGED, UserError
from cgankd.fakes.ratio import DensityRatioObjective, effective_share
from cgankd.models import architectures, make_network, published
from cgankd.models.saved import load_network, save_network
from cgankd.plan import Overrides
from cgankd.preset import Preset
from cgankd.randomness import generator, seed_everything
from cgankd.runs import Artefact, Run, verify_files
from cgankd.task import Task, make_task
from cgankd.training import checkpoint
from cgankd.training.features import fit_features
from cgankd.training.loop import fit_objective
from cgankd.training.machine import Machine

CHECKED = 2000  # fakes on which the fitted ratio is checked
MIN_MEAN, MAX_MEAN, MIN_EFFECTIVE = 0.1, 10.0, 0.05


def run(preset: Preset, run: Run, machine: Machine, call: Overrides) -> None:
    """Fits the density ratio of the preset, or imports it, or its features alone."""
    artefact, seed = plan.dre(preset, run, call), preset.seed
    verify_files(run.gan, "train-gan")
    source = sources.load(preset.data, seed)
    task = make_task(source.label)
    real = images_of(source, "train", task).to(machine.device)
    files = {
        part: file for part in ("features", "ratio") if (file := plan.file_of(part, artefact, call))
    }
    # The published ratio was fitted to what its extractor says of images in [-1, 1], though that
    # was trained with the constants of the data.
    constants = architectures.UNCHANGED if "ratio" in files else real.normalisation()
    parts = {
        "features": architectures.features(preset, task.outputs, constants),
        "ratio": architectures.ratio(preset, task.outputs),
    }
    imports = {part: published.load(file, parts[part]) for part, file in files.items()}
    folder = artefact.folder
    if machine.is_main:
        artefact.begin()
        if "features" in imports:
            save_network(folder, "features", imports["features"][0], parts["features"])
    machine.barrier()
    features = fit_features(
        task,
        real,
        preset.dre.features,
        parts["features"],
        folder=folder,
        seed=seed,
        digest=artefact.digest,
        machine=machine,
    )
    network = load_network(run.gan.parent, "generator", machine.device)
    condition = load_network(run.gan.parent, "condition", machine.device)

    def generate(labels: Tensor) -> Tensor:
        z = torch.randn(len(labels), preset.gan.latent, device=labels.device)
        return network(z, condition(labels))

    if "ratio" in imports:
        ratio = imports["ratio"][0].to(machine.device)
    else:
        ratio = _fit(
            parts["ratio"], generate, condition, features, task, real, artefact, preset, machine
        )
    if machine.is_main:
        fakes, labels = _fakes(generate, task, seed, machine)
        with torch.no_grad():
            ratios = ratio.eval()(features(fakes), condition(labels)).float().cpu()
        check(
            ratios,
            preset.dre.penalty,
            "it was fitted to another generator" if "ratio" in imports else "",
        )
        saved = save_network(folder, "ratio", ratio, parts["ratio"])
        saved += [folder / "features.safetensors", folder / "features.json"]
        health = {"mean_ratio": ratios.mean().item(), "effective_share": effective_share(ratios)}
        artefact.finish(
            saved,
            made_on=machine.facts,
            origin={part: origin for part, (_, origin) in imports.items()},
            seen={} if imports else source.seen("train"),
            **health,
        )
        checkpoint.remove(folder / "ratio-training" / "checkpoints")
        console.say(
            f"density ratio of fakes: mean {health['mean_ratio']:.3g}, "
            f"effective share {health['effective_share']:.0%}"
        )
    machine.barrier()


def _fit(
    architecture: dict[str, Any],
    generate: Callable[[Tensor], Tensor],
    condition: nn.Module,
    features: nn.Module,
    task: Task,
    real: Images,
    artefact: Artefact,
    preset: Preset,
    machine: Machine,
) -> nn.Module:
    settings, seed = preset.dre, preset.seed
    seed_everything(seed, "ratio", "weights")
    ratio = make_network(architecture)
    objective = DensityRatioObjective(
        ratio,
        generate,
        lambda labels: condition(labels),
        lambda images: features(images),
        settings.penalty,
    )
    if preset.data.continuous:
        by_label = ByLabel(real, task)
        vicinity = make_vicinity(settings.vicinity, by_label.values) if settings.vicinity else None
        batches: Batches | Pairs = Pairs(
            by_label, vicinity, settings.batch, seed=seed, share=machine.share
        )
    else:
        batches = Batches(real, settings.batch, seed=seed, stream="ratio", share=machine.share)
    fit_objective(
        objective,
        batches,
        settings,
        folder=artefact.folder / "ratio-training",
        name="density ratio",
        seed=seed,
        digest=artefact.digest,
        machine=machine,
    )
    return ratio


def _fakes(
    generate: Callable[[Tensor], Tensor], task: Task, seed: int, machine: Machine
) -> tuple[Tensor, Tensor]:
    """The fakes that the ratio is checked on, with their labels."""
    draws = generator(seed, "ratio", "check")
    grid = task.grid(CHECKED)
    labels = grid[torch.randint(len(grid), (CHECKED,), generator=draws)].to(machine.device)
    seed_everything(seed, "ratio", "check")
    with torch.no_grad():
        return generate(labels), labels


def check(ratios: Tensor, penalty: float, reason: str = "") -> None:
    """UserError(DIVERGED) where the ratios (N,) of fakes are not those of a density ratio, whose
    mean is 1.
    """
    mean, effective = ratios.mean().item(), effective_share(ratios)
    if not MIN_MEAN <= mean <= MAX_MEAN or effective < MIN_EFFECTIVE:
        raise UserError(
            f"the density ratio of fakes has mean {mean:.3g} (1 expected) and an effective sample "
            "share of "
            f"{effective:.1%}"
            + (f": {reason}" if reason else f" with dre.penalty (lambda) = {penalty:g}"),
            DIVERGED,
            "raise dre.penalty (0.1 suits small data), or dre.steps"
            if not reason
            else "import its generator too",
        )
