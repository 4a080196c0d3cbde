"""Small networks to use and to export, which no run has trained."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from cgankd.deploy.model import Facts, Parts
from cgankd.deploy.trained import Trained
from cgankd.models import make_network

CLASSES = {"kind": "class", "classes": ["ant", "bee", "cat"]}
DEGREES = {"kind": "continuous", "min": 10.0, "max": 90.0, "unit": "degrees"}


def network(
    label: dict[str, Any] = CLASSES,
    trunk: str = "resnet8_x0_125",
    side: int = 8,
    head: int | None = None,
) -> Trained:
    """A network of random weights, whose layers have seen images and so know their scale."""
    torch.manual_seed(0)
    outputs = len(label.get("classes", "1"))
    architecture = {
        **{"name": "cnn", "trunk": trunk, "side": side, "outputs": outputs},
        **{"mean": [0.4, 0.5, 0.6], "std": [0.3] * 3},
        **({"head": head} if head else {}),
    }
    made = make_network(architecture)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = None  # the mean of what it has seen, which is one batch
    with torch.no_grad():
        made.train()(torch.rand(16, 3, side, side) * 2 - 1)
    facts = Facts(label, side, architecture)
    return Trained(Parts(Path("none.json"), facts, made.eval().requires_grad_(False)))


def pixels(num: int = 5, side: int = 8) -> torch.Tensor:
    draws = torch.Generator().manual_seed(1)
    return torch.randint(256, (num, 3, side, side), dtype=torch.uint8, generator=draws)
