"""BigGAN for class labels (Brock et al. 2019) as cGAN-KD uses it for 32x32: plain class embeddings, no attention.

N images of side S. Four times `width` channels everywhere; the discriminator halves the side twice.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from cgankd.models.blocks import DownBlock, UpBlock, initialise, num_doublings, spectral


class BigGanGenerator(nn.Module):
    """z (N, latent), classes (N,) -> images (N, 3, S, S) in [-1, 1]."""

    def __init__(self, *, size: int, latent: int, width: int, num_classes: int) -> None:
        super().__init__()
        channels = 4 * width
        self.latent = latent
        self.first = spectral(nn.Linear)(latent, channels * 16)
        self.blocks = nn.ModuleList(
            UpBlock(channels, channels, lambda size: nn.Embedding(num_classes, size), spectral(nn.Conv2d))
            for _ in range(num_doublings(size))
        )
        self.norm = nn.BatchNorm2d(channels)
        self.last = spectral(nn.Conv2d)(channels, 3, 3, padding=1)
        initialise(self, lambda weight: nn.init.normal_(weight, std=0.02))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        x = self.first(z).view(len(z), -1, 4, 4)
        for block in self.blocks:
            x = block(x, condition)
        return self.last(F.relu(self.norm(x))).tanh()


class BigGanDiscriminator(nn.Module):
    """Images (N, 3, S, S) in [-1, 1], classes (N,) -> scores (N,); the class enters by projection."""

    def __init__(self, *, size: int, width: int, num_classes: int) -> None:
        super().__init__()
        channels = 4 * width
        conv = spectral(nn.Conv2d)
        self.blocks = nn.Sequential(
            DownBlock(3, channels, down=True, first=True, convolution=conv),
            DownBlock(channels, channels, down=size >= 16, convolution=conv),
            DownBlock(channels, channels, down=False, convolution=conv),
            DownBlock(channels, channels, down=False, convolution=conv),
        )
        self.score = spectral(nn.Linear)(channels, 1)
        self.project = spectral(nn.Embedding)(num_classes, channels)
        initialise(self, lambda weight: nn.init.normal_(weight, std=0.02))

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.blocks(images)).sum((2, 3))
        return self.score(h).squeeze(1) + (self.project(condition) * h).sum(1)
