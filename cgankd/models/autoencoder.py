"""The sparse autoencoder whose code is the feature space of the density ratio for a continuous label.

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


class SparseAutoencoder(nn.Module):
    """Images (N, 3, S, S) in [-1, 1] -> features (N, D); `decode` and `predict` train it and are not used after."""

    def __init__(self, *, side: int, width: int, size: int) -> None:
        super().__init__()
        depth = num_doublings(side)
        code = size // 16
        widths = [3, *(width << power for power in range(depth))]
        encoder: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            encoder += [*_halve(inputs, outputs), *(_refine(outputs) if index < depth - 1 else [])]
        self.encode = nn.Sequential(*encoder, nn.Conv2d(widths[-1], code, 3, 1, 1), nn.ReLU(), nn.Flatten())
        decoder: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip([code, *widths[:1:-1]], widths[:0:-1], strict=True)):
            decoder += [*_double(inputs, outputs), *(_refine(outputs) if index < depth - 1 else [])]
        self.decode = nn.Sequential(
            nn.Unflatten(1, (code, 4, 4)), *decoder, nn.Conv2d(widths[1], 3, 3, 1, 1), nn.Tanh()
        )
        hidden = [size, max(8, size // 6), max(8, size // 12), max(8, size // 24), max(8, size // 96)]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(hidden):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.predict = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.encode(images)
