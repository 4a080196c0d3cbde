"""fit-dre: the feature extractor and, in its feature space, the conditional density ratio (cDRE-F-SP)."""

import torch
from torch import Tensor

from cgankd import checkpoint, console, designs, plan, sources
from cgankd.data import Batches, images_of
from cgankd.engine import Machine, Supervised, fit
from cgankd.errors import DIVERGED, UserError
from cgankd.features import fit_features
from cgankd.images import Augmented
from cgankd.models import make_network
from cgankd.networks import load_network, save_network
from cgankd.preset import Preset
from cgankd.randomness import generator, seed_everything
from cgankd.ratio import DensityRatioObjective, effective_share
from cgankd.runs import Run, verify_files
from cgankd.task import make_task

CHECKED = 2000  # fakes on which the fitted ratio is checked
MIN_MEAN, MAX_MEAN, MIN_EFFECTIVE = 0.1, 10.0, 0.05


def run(preset: Preset, run: Run, machine: Machine) -> None:
    """Fits the density ratio of the preset."""
    artefact, settings, seed = plan.dre(preset, run), preset.dre, preset.seed
    verify_files(run.gan, "train-gan")
    if machine.is_main:
        artefact.begin()
    machine.barrier()
    source = sources.load(preset.data, seed)
    task = make_task(source.label)
    real = images_of(source, "train", task).to(machine.device)
    network = load_network(run.gan.parent, "generator", machine.device)
    condition = load_network(run.gan.parent, "condition", machine.device)
    folder, recipe = artefact.folder, artefact.digest
    design = designs.features(preset, task.outputs, real.normalisation())
    features = fit_features(task, real, settings.features, design, folder=folder, seed=seed, recipe=recipe,
                            machine=machine)  # fmt: skip

    def generate(labels: Tensor) -> Tensor:
        z = torch.randn(len(labels), preset.gan.latent, device=labels.device)
        return network(z, condition(labels))

    def as_function(images: Tensor) -> Tensor:
        return features(images)

    seed_everything(seed, "ratio", "weights")
    architecture = designs.ratio(preset, task.outputs)
    ratio = make_network(architecture)
    objective = DensityRatioObjective(ratio, generate, lambda labels: condition(labels), as_function, settings.penalty)
    batches = Batches(real, settings.batch, seed=seed, stream="ratio", share=machine.share)
    update = Supervised(machine, Augmented(objective, settings.augment), settings)
    fit(update, batches, steps=settings.steps, folder=folder / "ratio-training", name="density ratio", seed=seed,
        recipe=recipe, machine=machine)  # fmt: skip

    if machine.is_main:
        draws = generator(seed, "ratio", "check")
        grid = task.grid(CHECKED)
        labels = grid[torch.randint(len(grid), (CHECKED,), generator=draws)].to(machine.device)
        seed_everything(seed, "ratio", "check")
        with torch.no_grad():
            fakes = generate(labels)
            ratios = ratio.eval()(features(fakes), condition(labels)).float().cpu()
        check(ratios, settings.penalty)
        files = save_network(folder, "ratio", ratio, architecture)
        files += [folder / "features.safetensors", folder / "features.json"]
        health = {"mean_ratio": ratios.mean().item(), "effective_share": effective_share(ratios)}
        artefact.finish(files, made_on=machine.facts, seen=source.seen("train"), **health)
        checkpoint.remove(folder / "ratio-training" / "checkpoints")
        console.say(
            "density ratio of fakes: mean {mean_ratio:.3g}, effective share {effective_share:.0%}".format(**health)
        )
    machine.barrier()


def check(ratios: Tensor, penalty: float) -> None:
    """UserError(DIVERGED) where the ratios (N,) of fakes are not those of a density ratio, whose mean is 1."""
    mean, effective = ratios.mean().item(), effective_share(ratios)
    if not MIN_MEAN <= mean <= MAX_MEAN or effective < MIN_EFFECTIVE:
        raise UserError(
            f"the density ratio of fakes has mean {mean:.3g} (1 expected) and an effective sample share of "
            f"{effective:.1%} with dre.penalty (lambda) = {penalty:g}",
            DIVERGED,
            "raise dre.penalty (0.1 suits small data), or dre.steps",
        )
