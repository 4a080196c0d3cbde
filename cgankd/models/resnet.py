"""Residual networks for small images (He et al. 2016): depth 8, 20, 110 of any width, and 18, 34,
50.

N images of side S -> features (N, num_features), the mean of the last map. With 10 classes at S =
32, depth 8, 20 and 110 have 78,042, 272,474 and 1,730,714 parameters.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Strided(nn.Conv2d):
    """A 1x1 convolution of every `stride`-th pixel, which are taken out first: given the stride and
    images of 64 pixels with few channels, channels last, torch 2.14 writes outside of its memory on
    a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        taken = x[:, :, ::down, ::right].contiguous(memory_format=torch.channels_last)
        return F.conv2d(taken, self.weight, self.bias)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes.

    Not `rectified`, it leaves out the ReLU after the addition.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, rectified: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)
        self.rectify = nn.ReLU() if rectified else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        return self.rectify(self.norm2(self.conv2(h)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """As `Block`, with a 3x3 convolution between two 1x1 ones, which make the map a quarter as wide
    for it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, rectified: bool = True) -> None:
        super().__init__()
        width = outputs // 4
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)
        self.rectify = nn.ReLU() if rectified else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        h = F.relu(self.norm2(self.conv2(h)))
        return self.rectify(self.norm3(self.conv3(h)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """(N, 3, S, S) -> (N, 64 width): three stages of (depth - 2) / 6 blocks, the side halved twice
    (section 4.2).
    """

    def __init__(self, depth: int, width: float = 1.0) -> None:
        super().__init__()
        widths = [max(1, round(channels * width)) for channels in (16, 32, 64)]
        self.stem = _stem(widths[0])
        blocks, inputs = [], widths[0]
        for stage, outputs in enumerate(widths):
            for index in range((depth - 2) // 6):
                blocks.append(Block(inputs, outputs, stride=2 if stage and not index else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.num_features = inputs
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images)).mean((2, 3))


STAGES: dict[
    int, tuple[Any, int, tuple[int, ...]]
] = {  # block, widening of the stages, blocks of each
    18: (Block, 1, (2, 2, 2, 2)),
    34: (Block, 1, (3, 4, 6, 3)),
    50: (Bottleneck, 4, (3, 4, 6, 3)),
}


class ResNet(nn.Module):
    """(N, 3, S, S) -> (N, 512 or 2048): four stages behind a 3x3 stem; the first halves the side
    from S = 64 on.

    With `uda`, blocks but the last of each stage are not rectified: so the published networks of
    BLKD+UDA compute.
    """

    def __init__(self, depth: int, side: int, *, uda: bool = False) -> None:
        super().__init__()
        block, widening, stages = STAGES[depth]
        self.stem = _stem(64)
        blocks, inputs = [], 64
        for stage, num_blocks in enumerate(stages):
            outputs = (64 << stage) * widening
            for index in range(num_blocks):
                halve = index == 0 and (stage > 0 or side >= 64)
                last = index == num_blocks - 1
                blocks.append(block(inputs, outputs, 2 if halve else 1, rectified=last or not uda))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.num_features = inputs

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images)).mean((2, 3))


def _stem(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(Strided(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
