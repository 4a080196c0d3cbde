"""Networks from images to a label: a trunk, its own normalisation, and a head.

N images of side S in [-1, 1]; every network takes that form and normalises by the constants it was
trained with.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgankd.models.blocks import initialise
from cgankd.models.densenet import DenseNet
from cgankd.models.efficientnet import EfficientNet, make_imagenet_efficientnet
from cgankd.models.foreign import ForeignTrunk, is_foreign
from cgankd.models.mobilenet import MobileNet, make_imagenet_mobilenet
from cgankd.models.resnet import CifarResNet, ResNet
from cgankd.models.shufflenet import make_imagenet_shufflenet, make_shufflenet
from cgankd.models.vgg import Vgg

TRUNKS: dict[str, Any] = {
    "resnet8": lambda side, width=1.0: CifarResNet(8, width),
    "resnet20": lambda side, width=1.0: CifarResNet(20, width),
    "resnet110": lambda side, width=1.0: CifarResNet(110, width),
    "resnet18": partial(ResNet, 18),
    "resnet34": partial(ResNet, 34),
    "resnet50": partial(ResNet, 50),
    "resnet18-uda": partial(ResNet, 18, uda=True),
    "resnet50-uda": partial(ResNet, 50, uda=True),
    "vgg11": partial(Vgg, 11),
    "vgg13": partial(Vgg, 13),
    "vgg16": partial(Vgg, 16),
    "vgg19": partial(Vgg, 19),
    "densenet121": DenseNet,
    "mobilenetv2": MobileNet,
    "shufflenetv2": make_shufflenet,
    "efficientnet-b0": lambda side: EfficientNet(),
    "shufflenetv2-imagenet": lambda side: make_imagenet_shufflenet(),
    "mobilenetv2-imagenet": lambda side: make_imagenet_mobilenet(),
    "efficientnet-b0-imagenet": lambda side: make_imagenet_efficientnet(),
}


def make_trunk(name: str, side: int) -> Any:
    """The trunk of a network's name for images of that side: (N, 3, S, S) -> (N, num_features).

    Its form is the published one for Tiny-ImageNet from S = 64 on, and for CIFAR-10 below, or with
    -imagenet that of any S which the published regressors have. resnet20_x0_25 is resnet20, a
    quarter as wide.
    """
    if is_foreign(name):
        return ForeignTrunk(name, side)
    base, _, width = name.partition("_x")
    return TRUNKS[base](side, float(width.replace("_", "."))) if width else TRUNKS[base](side)


class Normalisation(nn.Module):
    """[-1, 1] -> per channel (pixel - mean) / std, with mean and std of pixels in [0, 1]."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return ((images + 1) / 2 - self.mean) / self.std


def make_head(
    inputs: int, outputs: int, hidden: int | None, *, rectified: bool = False
) -> nn.Module:
    """(N, inputs) -> (N, outputs): a linear layer, alone or behind two of width `hidden` with batch
    norm and ReLU.

    Only published regressors end `rectified`: a last ReLU whose input has become negative for all
    images is dead.
    """
    layers = [*_hidden(inputs, hidden), *_hidden(hidden, hidden)] if hidden else []
    layers += [nn.Linear(hidden or inputs, outputs), *([nn.ReLU()] if rectified else [])]
    return nn.Sequential(*layers) if len(layers) > 1 else layers[0]


def _hidden(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]


class Cnn(nn.Module):
    """(N, 3, S, S) -> outputs (N, K): a teacher, an assistant or a student; see `make_head`."""

    def __init__(
        self,
        *,
        trunk: str,
        side: int,
        outputs: int,
        mean: list[float],
        std: list[float],
        head: int | None = None,
        rectified: bool = False,
        resized: int | None = None,
    ) -> None:
        super().__init__()
        self.resized = resized  # the side at which the trunk sees images; None: that they have
        self.normalise = Normalisation(mean, std)
        self.trunk = make_trunk(trunk, resized or side)
        self.head = make_head(self.trunk.num_features, outputs, head, rectified=rectified)
        if deviation := getattr(self.trunk, "head_deviation", None):
            initialise(self.head, lambda weight: nn.init.normal_(weight, std=deviation), bias=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees: (N, D)."""
        if self.resized and self.resized != images.shape[-1]:
            sides = (self.resized, self.resized)
            images = F.interpolate(images, sides, mode="bicubic", antialias=True)
        return self.trunk(self.normalise(images))


class Projection(nn.Module):
    """Features (N, D) -> (N, D): the head in whose space SSKD compares images."""

    def __init__(self, *, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


class CnnFeatures(nn.Module):
    """(N, 3, S, S) -> features (N, D) >= 0: the wide layer in which the density ratio of classes is
    estimated.

    `outputs(features)` are the logits with which it is trained (cGAN-KD, supplement: DenseNet121
    with a linear layer, batch norm and ReLU of D = 3 S S before the classifier).
    """

    def __init__(
        self, *, trunk: str, side: int, size: int, outputs: int, mean: list[float], std: list[float]
    ) -> None:
        super().__init__()
        self.normalise = Normalisation(mean, std)
        self.trunk = make_trunk(trunk, side)
        self.wide = nn.Sequential(
            nn.Linear(self.trunk.num_features, size), nn.BatchNorm1d(size), nn.ReLU()
        )
        self.outputs = nn.Linear(size, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.wide(self.trunk(self.normalise(images)))
