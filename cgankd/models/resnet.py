"""The residual networks for small images: depth 8, 20, 110 (He et al. 2016, section 4.2), of any width.

N images of side S -> features (N, 64 width). At width 1 and 10 classes they have 78,042, 272,474 and
1,730,714 parameters.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        change = stride != 1 or inputs != outputs
        self.shortcut: nn.Module = nn.Identity()
        if change:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """(N, 3, S, S) -> (N, num_features): three stages of (depth - 2) / 6 blocks, the side halved twice."""

    def __init__(self, depth: int, width: float = 1.0) -> None:
        super().__init__()
        widths = [max(1, round(channels * width)) for channels in (16, 32, 64)]
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
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
