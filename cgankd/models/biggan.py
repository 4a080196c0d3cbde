"""BigGAN for class labels (Brock et al. 2019).

N images of side S. Up to 32 all maps are as wide, as cGAN-KD has it, or `tapered`; from 64 on the
widths are those of the paper.
"""

from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgankd.models.blocks import DownBlock, SelfAttention, UpBlock, initialise
from cgankd.models.spectral import Layer, SpectralNetwork, spectral

# For each side, in units of `width`: the generator's maps from 4x4 to S, the discriminator's
# blocks, and how many of these halve the side.
WIDTHS: dict[int, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    8: ((4, 4), (4, 4, 4, 4), 1),
    16: ((4, 4, 4), (4, 4, 4, 4), 2),
    32: ((4, 4, 4, 4), (4, 4, 4, 4), 2),
    64: ((16, 16, 8, 4, 2), (1, 2, 4, 8, 16), 4),
    128: ((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),
}
TAPERED = {  # maps that double in width as they halve in side: cheaper where few pixels say much
    **WIDTHS,
    8: ((4, 2), (2, 4), 1),
    16: ((8, 4, 2), (2, 4, 8), 2),
    32: ((16, 8, 4, 2), (2, 4, 8, 16), 3),
}


def _widths(size: int, tapered: bool) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    return (TAPERED if tapered else WIDTHS)[size]


class BigGanGenerator(SpectralNetwork):
    """z (N, latent), classes (N,) -> images (N, 3, S, S) in [-1, 1], `grey` ones three times the
    same.

    Each block embeds the class by itself. With `shared` there is one embedding of that width, and z
    is cut into equal parts: the first makes the 4x4 map, each further one joins the embedding for
    its block. `attention` is the side of the maps that are followed by self-attention.
    """

    def __init__(
        self,
        *,
        size: int,
        latent: int,
        width: int,
        num_classes: int,
        shared: int | None = None,
        attention: int | None = None,
        tapered: bool = False,
        grey: bool = False,
    ) -> None:
        super().__init__()
        conv = spectral(nn.Conv2d)
        widths = [units * width for units in _widths(size, tapered)[0]]
        self.latent, part = latent, latent
        self.shared: nn.Module | None = None
        affine: Layer = partial(nn.Embedding, num_classes)
        if shared is not None:
            part = latent // len(widths)
            assert part * len(widths) == latent, (
                f"z of {latent} cannot be cut into {len(widths)} equal parts"
            )
            self.shared = nn.Embedding(num_classes, shared)
            affine = partial(spectral(nn.Linear), shared + part, bias=False)
        self.first = spectral(nn.Linear)(part, widths[0] * 16)
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, affine, conv) for inputs, outputs in pairwise(widths)
        )
        self.attend = nn.ModuleList(
            SelfAttention(outputs, conv) if 8 << index == attention else nn.Identity()
            for index, outputs in enumerate(widths[1:])
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.last = conv(widths[-1], 1 if grey else 3, 3, padding=1)
        initialise(self, lambda weight: nn.init.normal_(weight, std=0.02))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        first, conditions = self._cut(z, condition)
        x = self.first(first).view(len(z), -1, 4, 4)
        for block, attend, own in zip(self.blocks, self.attend, conditions, strict=True):
            x = attend(block(x, own))
        return self.last(F.relu(self.norm(x))).tanh().expand(-1, 3, -1, -1)

    def _cut(self, z: Tensor, classes: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the 4x4 map is made of, and the condition of each block."""
        if self.shared is None:
            return z, [classes] * len(self.blocks)
        first, *parts = z.chunk(len(self.blocks) + 1, 1)
        embedded = self.shared(classes)
        return first, [torch.cat([embedded, part], 1) for part in parts]


class BigGanDiscriminator(SpectralNetwork):
    """Images (N, 3, S, S) in [-1, 1], classes (N,) -> scores (N,); the class enters by projection.

    `attention` is the side of the maps that self-attention follows, after the first block that
    reaches it.
    """

    def __init__(
        self,
        *,
        size: int,
        width: int,
        num_classes: int,
        attention: int | None = None,
        tapered: bool = False,
    ) -> None:
        super().__init__()
        conv, (_, units, halvings) = spectral(nn.Conv2d), _widths(size, tapered)
        blocks: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise([3, *(unit * width for unit in units)])):
            down = index < halvings
            blocks.append(DownBlock(inputs, outputs, down=down, first=index == 0, convolution=conv))
            if down and size >> (index + 1) == attention:
                blocks.append(SelfAttention(outputs, conv))
        self.blocks = nn.Sequential(*blocks)
        channels = units[-1] * width
        self.score = spectral(nn.Linear)(channels, 1)
        self.project = spectral(nn.Embedding)(num_classes, channels)
        initialise(self, lambda weight: nn.init.normal_(weight, std=0.02))

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.blocks(images)).sum((2, 3))
        return self.score(h).squeeze(1) + (self.project(condition) * h).sum(1)
