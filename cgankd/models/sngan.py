"""SNGAN-type networks for a continuous label, as CcGAN uses them (Ding et al. 2021).

N images of side S, conditioned on an embedding h (N, E) of the label. The widths double towards
4x4, where the map is 4 x 4 x (S / 4) `width` wide; only the discriminator is spectrally normalised.
"""

import itertools
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from cgankd.models.blocks import DownBlock, UpBlock, initialise, num_doublings
from cgankd.models.spectral import SpectralNetwork, spectral


class SnganGenerator(nn.Module):
    """z (N, latent), h (N, E) -> images (N, 3, S, S) in [-1, 1], `grey` ones three times the
    same.
    """

    def __init__(
        self, *, size: int, latent: int, width: int, embedding: int, grey: bool = False
    ) -> None:
        super().__init__()
        depth = num_doublings(size)
        widths = [width << power for power in range(depth, -1, -1)]
        self.latent = latent
        self.first = nn.Linear(latent, widths[0] * 16)
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, lambda size: nn.Linear(embedding, size, bias=False))
            for inputs, outputs in itertools.pairwise(widths)
        )
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, 1 if grey else 3, 3, padding=1)
        _xavier(self)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        x = self.first(z).view(len(z), -1, 4, 4)
        for block in self.blocks:
            x = block(x, condition)
        return self.last(F.relu(self.norm(x))).tanh().expand(-1, 3, -1, -1)


class SnganDiscriminator(SpectralNetwork):
    """Images (N, 3, S, S) in [-1, 1], h (N, E) -> scores (N,), by projection on the flattened 4x4
    map.
    """

    def __init__(self, *, size: int, width: int, embedding: int) -> None:
        super().__init__()
        depth = num_doublings(size)
        conv = spectral(nn.Conv2d)
        widths = [3, *(width << power for power in range(depth))]
        self.blocks = nn.Sequential(
            *(
                DownBlock(inputs, outputs, down=True, first=inputs == 3, convolution=conv)
                for inputs, outputs in itertools.pairwise(widths)
            ),
            DownBlock(widths[-1], 2 * widths[-1], down=False, convolution=conv),
        )
        features = 2 * widths[-1] * 16
        self.score = spectral(nn.Linear)(features, 1)
        self.project = spectral(nn.Linear)(embedding, features, bias=False)
        _xavier(self)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.blocks(images)).flatten(1)
        return self.score(h).squeeze(1) + (self.project(condition) * h).sum(1)


def _xavier(module: Any) -> None:
    """Xavier-uniform: gain sqrt(2) for 3x3 convolutions inside blocks, 1 for all else but
    conditional norms.
    """
    initialise(module, lambda weight: nn.init.xavier_uniform_(weight))
    for block in module.blocks:
        for conv in (block.conv1, block.conv2):
            initialise(conv, lambda weight: nn.init.xavier_uniform_(weight, gain=2**0.5))
    for block in module.blocks:
        for norm in (getattr(block, "norm1", None), getattr(block, "norm2", None)):
            if norm is not None:
                norm.gain.reset_parameters()
                norm.bias.reset_parameters()
