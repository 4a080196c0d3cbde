"""SAGAN-type networks for a continuous label (Zhang et al. 2019, as cGAN-KD has them for ages).

Beside `sngan`: both networks are spectrally normalised, each attends to itself once, at half the
side of the images, and the discriminator's shortcuts see rectified maps. The published batch norms
move a thousandth or less per step, so that of a short run they would know the first weights only:
here they move as everywhere else.
"""

import itertools
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from cgankd.models.blocks import (
    DownBlock,
    SelfAttention,
    UpBlock,
    initialise,
    num_doublings,
)
from cgankd.models.spectral import SpectralNetwork, spectral


class SaganGenerator(SpectralNetwork):
    """z (N, latent), h (N, E) -> images (N, 3, S, S) in [-1, 1], `grey` ones three times the
    same; attention before the last block.
    """

    def __init__(
        self, *, size: int, latent: int, width: int, embedding: int, grey: bool = False
    ) -> None:
        super().__init__()
        conv, depth = spectral(nn.Conv2d), num_doublings(size)
        widths = [width << power for power in range(depth, -1, -1)]
        affine = partial(nn.Linear, embedding, bias=False)
        self.latent = latent
        self.first = spectral(nn.Linear)(latent, widths[0] * 16)
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, affine, conv) for inputs, outputs in itertools.pairwise(widths)
        )
        self.attend = SelfAttention(2 * width, conv, bias=True)
        self.norm = nn.BatchNorm2d(width)
        self.last = conv(width, 1 if grey else 3, 3, padding=1)
        initialise(self, lambda weight: nn.init.xavier_uniform_(weight), bias=True)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        x = self.first(z).view(len(z), -1, 4, 4)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, condition)
        x = last(self.attend(x), condition)
        return self.last(F.relu(self.norm(x))).tanh().expand(-1, 3, -1, -1)


class SaganDiscriminator(SpectralNetwork):
    """Images (N, 3, S, S) in [-1, 1], h (N, E) -> scores (N,), by projection on the flattened 4x4
    map; attention after the first block.
    """

    def __init__(self, *, size: int, width: int, embedding: int) -> None:
        super().__init__()
        conv, depth = spectral(nn.Conv2d), num_doublings(size)
        widths = [width << power for power in range(depth + 1)]
        self.blocks = nn.Sequential(
            DownBlock(3, width, down=True, first=True, convolution=conv),
            SelfAttention(width, conv, bias=True),
            *(
                DownBlock(
                    inputs, outputs, down=outputs < widths[-1], rectified=True, convolution=conv
                )
                for inputs, outputs in itertools.pairwise(widths)
            ),
        )
        self.score = spectral(nn.Linear)(widths[-1] * 16, 1)
        self.project = spectral(nn.Linear)(embedding, widths[-1] * 16, bias=False)
        initialise(self, lambda weight: nn.init.xavier_uniform_(weight), bias=True)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.blocks(images)).flatten(1)
        return self.score(h).squeeze(1) + (self.project(condition) * h).sum(1)
