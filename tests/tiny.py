"""Tiny networks in training, and batches for them."""

import signal

import pytest
import torch
from torch import nn

from cgankd.data.batches import Batches, Images, ProcessSlice
from cgankd.data.gan_batches import ClassGanBatches
from cgankd.data.images import Augmentation, Augmented
from cgankd.data.vicinity import ByLabel, VicinalGanBatches, make_vicinity
from cgankd.methods.nokd import Nokd
from cgankd.models import GANS, make_network
from cgankd.preset import Training, Width
from cgankd.task import Classification, Regression
from cgankd.training.machine import Machine
from cgankd.training.updates import Adversarial, Supervised

TASK = Classification(["a", "b", "c"])
STEPS = 10  # of a training


def images(num: int = 30, side: int = 8) -> Images:
    draws = torch.Generator().manual_seed(0)
    return Images(
        torch.randint(256, (num, 3, side, side), dtype=torch.uint8, generator=draws),
        torch.arange(num) % 3,
    )


def supervised(machine: Machine, changes: Augmentation | None = None, **training) -> Supervised:
    torch.manual_seed(1)
    network = make_network(
        {
            "name": "cnn",
            "trunk": "resnet8_x0_125",
            "side": 8,
            "outputs": 3,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
        }
    )
    network.head = nn.Sequential(nn.Dropout(0.5), network.head)
    settings = {"steps": STEPS, "weight_decay": 1e-3, "augment": ["crop", "flip"], **training}
    objective = Nokd(TASK, network)
    objective = Augmented(objective, changes) if changes else objective
    return Supervised(machine, objective, Training(**settings))


def adversarial(machine: Machine, name: str = "biggan", shared: int = 0, **changes) -> Adversarial:
    """A tiny GAN for 8x8; a BigGAN with an embedding of width `shared` is for 16x16 and has
    attention.
    """
    torch.manual_seed(2)
    _, make_discriminator = GANS[name]
    sizes = {"size": 16, "attention": 8} if shared else {"size": 8}
    sizes |= {"num_classes": 3} if name == "biggan" else {"embedding": 32}
    condition = (
        {"name": "class-index", "num_classes": 3}
        if name == "biggan"
        else {"name": "label-embedding", "size": 32}
    )
    options = {
        "loss": "hinge",
        "learning_rate": 2e-3,
        "discriminator_learning_rate": 1e-3,
        "betas": (0.0, 0.9),
        "flip": True,
        "ema_decay": 0.9,
        "diffaugment": ["color", "translation", "cutout"],
        "ema_start": 4,
        **changes,
    }
    more = {"latent": 6, "shared": shared} if shared else {"latent": 4}
    generator = make_network({"name": name, "width": 1, **sizes, **more})
    discriminator = make_discriminator(width=1, **sizes)
    return Adversarial(machine, generator, discriminator, make_network(condition), **options)


def batches(size: int = 8) -> Batches:
    return Batches(images(), size, seed=0, stream="test", process=ProcessSlice())


def gan_batches(name: str, side: int = 8) -> ClassGanBatches | VicinalGanBatches:
    if name == "biggan":
        return ClassGanBatches(images(side=side), 4, 2, TASK, seed=0, process=ProcessSlice())
    continuous = Images(images().pixels, torch.linspace(0, 1, 30))
    by_label = ByLabel(continuous, Regression(0, 1, ""))
    vicinity = make_vicinity(Width(), by_label.values)
    return VicinalGanBatches(by_label, vicinity, 4, 2, sigma=None, seed=0, process=ProcessSlice())


def stop_gan_after(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Lets a signal arrive at the end of these steps of a GAN."""
    step_of = Adversarial.__call__

    def stopping(self, batch, step):
        losses = step_of(self, batch, step)
        if step + 1 in steps:
            signal.raise_signal(signal.SIGTERM)
        return losses

    monkeypatch.setattr(Adversarial, "__call__", stopping)
