"""The sparse autoencoder whose code is the feature space of the density ratio for a continuous
label.

N images of side S -> features (N, D) >= 0 from a 4x4 map (Ding et al., cGAN-KD supplement).
"""

import itertools

from torch import Tensor, nn

from cgankd.models.blocks import num_doublings


def _halve(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]


def _refine(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels), nn.ReLU()]


def _double(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]


class SparseEncoder(nn.Module):
    """Images (N, 3, S, S) in [-1, 1] -> features (N, D)."""

    def __init__(self, *, side: int, width: int, size: int) -> None:
        super().__init__()
        depth = num_doublings(side)
        widths = [3, *(width << power for power in range(depth))]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            layers += [*_halve(inputs, outputs), *(_refine(outputs) if index < depth - 1 else [])]
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(widths[-1], size // 16, 3, 1, 1), nn.ReLU(), nn.Flatten()
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class SparseDecoder(nn.Module):
    """Features (N, D) of an encoder of the same sizes -> images (N, 3, S, S) in [-1, 1] and outputs
    (N, 1).

    It trains the encoder, and is not used after.
    """

    def __init__(self, *, side: int, width: int, size: int) -> None:
        super().__init__()
        depth, code = num_doublings(side), size // 16
        widths = [code, *(width << power for power in reversed(range(depth)))]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            layers += [*_double(inputs, outputs), *(_refine(outputs) if index < depth - 1 else [])]
        self.decode = nn.Sequential(
            nn.Unflatten(1, (code, 4, 4)), *layers, nn.Conv2d(width, 3, 3, 1, 1), nn.Tanh()
        )
        hidden = [size, *(max(8, size // share) for share in (6, 12, 24, 96))]
        layers = []
        for inputs, outputs in itertools.pairwise(hidden):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.predict = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.decode(features), self.predict(features)
