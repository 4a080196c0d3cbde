"""DenseNet121 (Huang et al. 2017) for small images: growth 32, a 3x3 stem.

N images of side S -> features (N, 1024), the mean of the last map. New channels stand in front of
the old ones, as in the published networks; torchvision's stand behind.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROWTH = 32
STAGES = (6, 12, 24, 16)  # layers of each


class DenseLayer(nn.Module):
    """(N, C, H, W) -> (N, 32 + C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * GROWTH, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * GROWTH)
        self.conv2 = nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.relu(self.norm1(x)))
        h = self.conv2(F.relu(self.norm2(h)))
        return torch.cat([h, x], 1)


class DenseNet(nn.Module):
    """(N, 3, S, S) -> (N, 1024): between the stages a transition halves channels and side; the
    first twice from S = 64 on.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        channels = 2 * GROWTH
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
        for stage, num_layers in enumerate(STAGES):
            if stage:
                layers += _transition(channels)
                channels //= 2
            if stage == 1 and side >= 64:
                layers.append(nn.MaxPool2d(2))
            for _ in range(num_layers):
                layers.append(DenseLayer(channels))
                channels += GROWTH
        self.layers = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.num_features = channels

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).mean((2, 3))


def _transition(channels: int) -> list[nn.Module]:
    return [
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels // 2, 1, bias=False),
        nn.AvgPool2d(2),
    ]
