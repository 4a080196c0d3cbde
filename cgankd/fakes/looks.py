"""A look at a GAN in training: fakes of the labels of training images, beside these images, by the
measures of `evaluate`.

It is taken in pixels, since the density ratio learns its features from the finished GAN, and from
training rows alone: whether to use fakes is decided on validation rows, which no choice of a
generator may have seen. N images of side S.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgankd.data.batches import BATCH, Images
from cgankd.data.images import to_float, to_uint8
from cgankd.fakes.windows import CENTERS, NARROW, Group, Judge, compare, evenly
from cgankd.label import Label
from cgankd.randomness import generator
from cgankd.statistics import mean_of

MOST = 1000  # images that are looked at
SIDE = 32  # pixels that larger images are brought to where they are compared


@dataclass(frozen=True)
class Look:
    """What is seen of a generator: means over labels, or over windows of a continuous one; None
    where no label has two images.

    `variance` is that of fakes over that of real images; `distance` the Frechet distance of their
    pixels in [-1, 1], divided by the number of these. Both are of equally many fakes, always from
    the same z.
    """

    variance: float | None
    distance: float | None


class Looks:
    """The images that fakes are held against, and what these are drawn from."""

    def __init__(self, real: Images, label: Label, latent: int, seed: int) -> None:
        draws, device = generator(seed, "gan", "looks"), real.pixels.device
        rows = torch.randperm(len(real), generator=draws)[:MOST].sort().values.to(device)
        self.real = Images(real.pixels[rows], real.labels[rows])
        self.z = torch.randn(len(rows), latent, generator=draws).to(device)
        self.discrete, self.seed = label.discrete, seed

    def fakes(self, network: nn.Module, condition: nn.Module) -> Tensor:
        """As many fakes of the same labels, drawn by a generator: uint8 (N, 3, S, S)."""
        parts = zip(self.z.split(BATCH), self.real.labels.split(BATCH), strict=True)
        return torch.cat([to_uint8(network(z, condition(labels))) for z, labels in parts])

    def at(self, fakes: Tensor) -> Look:
        """What is seen of fakes."""
        ours, theirs = (
            Group(pixels, torch.arange(len(pixels), device=pixels.device), self.real.labels)
            for pixels in (self.real.pixels, fakes)
        )
        centers, radius = self.real.labels.unique().tolist(), 0.0
        if not self.discrete:
            radius = 1 / NARROW
            centers = evenly(CENTERS, radius)
        judge = Judge(shrunk, self.seed)
        found = compare(ours, theirs, centers, radius, judge=judge, like=ours) or {}
        return Look(mean_of(found.get("variance")), mean_of(found.get("fid")))


def shrunk(images: Tensor) -> Tensor:
    """uint8 (N, 3, S, S) -> pixels (N, D) such that squared distances are means over pixels."""
    floats = to_float(images)
    small = F.adaptive_avg_pool2d(floats, min(SIDE, images.shape[-1])).flatten(1)
    return small / math.sqrt(small.shape[1])
