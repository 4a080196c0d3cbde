"""Blocks that the GAN families are made of: residual ones, their conditional batch norm,
self-attention.

Up-sampling is nearest and pooling a mean, so that CUDA runs can be deterministic. `convolution` is
the layer type: nn.Conv2d, or `spectral(nn.Conv2d)`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgankd.models.spectral import Layer, full_precision


class ConditionalNorm(nn.Module):
    """Batch norm whose gain and bias depend on the condition: x (N, C, S, S), condition -> the same
    shape.

    `affine(C)` makes the map from the condition to C numbers; the gain is 1 + its output.
    """

    def __init__(self, channels: int, affine: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = affine(channels), affine(channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        # So small matrices take longer to cast than to multiply.
        with full_precision():
            gain, bias = (
                affine(condition).to(x.dtype)[..., None, None] for affine in (self.gain, self.bias)
            )
        return self.norm(x) * (1 + gain) + bias


class UpBlock(nn.Module):
    """Doubles the side: norm, ReLU, up, conv, norm, ReLU, conv, beside an up-sampled
    1x1 shortcut.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        affine: Callable[[int], nn.Module],
        convolution: Layer = nn.Conv2d,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = (
            ConditionalNorm(channels, affine) for channels in (inputs, outputs)
        )
        self.conv1 = convolution(inputs, outputs, 3, padding=1)
        self.conv2 = convolution(outputs, outputs, 3, padding=1)
        self.shortcut = convolution(inputs, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = F.interpolate(F.relu(self.norm1(x, condition)), scale_factor=2)
        h = self.conv2(F.relu(self.norm2(self.conv1(h), condition)))
        # A 1x1 convolution commutes with nearest up-sampling; in this order it costs a quarter.
        return h + F.interpolate(self.shortcut(x), scale_factor=2)


class DownBlock(nn.Module):
    """Halves the side where `down`; the first block of a discriminator sees the image without a
    ReLU before.

    The shortcut sees what comes in as it is or, with `rectified`, through the ReLU too.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        down: bool,
        first: bool = False,
        rectified: bool = False,
        convolution: Layer = nn.Conv2d,
    ) -> None:
        super().__init__()
        self.down, self.first, self.rectified = down, first, rectified
        self.conv1 = convolution(inputs, outputs, 3, padding=1)
        self.conv2 = convolution(outputs, outputs, 3, padding=1)
        self.shortcut = (
            convolution(inputs, outputs, 1) if down or inputs != outputs else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        rectified = x if self.first else F.relu(x)
        h = self.conv2(F.relu(self.conv1(rectified)))
        x = rectified if self.rectified else x
        if not self.down:
            return h + self.shortcut(x)
        # Mean pooling commutes with the 1x1 shortcut: one order serves first and later blocks.
        return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))


class SelfAttention(nn.Module):
    """Each place of a map looks at all others (SAGAN, Zhang et al. 2019): x (N, C, S, S), S even.

    What is looked at is pooled 2x2, so that its cost is a quarter. gamma starts at 0, and the layer
    as the identity.
    """

    def __init__(self, channels: int, convolution: Layer, *, bias: bool = False) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = convolution(channels, narrow, 1, bias=bias)
        self.key = convolution(channels, narrow, 1, bias=bias)
        self.value = convolution(channels, half, 1, bias=bias)
        self.output = convolution(half, channels, 1, bias=bias)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)  # (N, C/8, S^2)
        key = F.max_pool2d(self.key(x), 2).flatten(2)  # (N, C/8, S^2/4)
        value = F.max_pool2d(self.value(x), 2).flatten(2)  # (N, C/2, S^2/4)
        # (N, S^2, S^2/4); not divided by a root, as published
        weights = (query.transpose(1, 2) @ key).softmax(2)
        seen = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.output(seen)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm of 8 groups, as published, or fewer so that none has less than 16 channels:
    normalising a few numbers by their own mean and deviation leaves little of what they said.
    """
    return nn.GroupNorm(max(1, min(8, channels // 16)), channels)


def num_doublings(size: int) -> int:
    """How often a 4x4 map is doubled to reach `size`."""
    steps = (size // 4).bit_length() - 1
    assert 4 << steps == size, f"GANs draw images of side 8, 16, 32, ..., not {size}"
    return steps


def initialise(module: nn.Module, rule: Callable[[Tensor], object], *, bias: bool = False) -> None:
    """Applies `rule` to the weight of every convolution, linear layer and embedding, normalised or
    not; with `bias` also zeroes their biases.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            parameters = list(layer.named_parameters())
            with torch.no_grad():
                rule(next(value for name, value in parameters if "weight" in name))
                for name, value in parameters:
                    if bias and name == "bias":
                        value.zero_()
