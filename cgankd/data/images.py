"""Images in their two forms, and the random changes made to them in training.

N images of side S: uint8 (N, 3, S, S) in files and memory, float (N, 3, S, S) in [-1, 1] inside
networks. The random changes work on whole batches on any device and draw from torch's global
generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_FADED = 0.4  # of an image's light, by contrast
MOST_NOISE = 0.4  # deviation, a fifth of the range of a pixel


def to_float(images: Tensor) -> Tensor:
    """uint8 -> float in [-1, 1], channels last in memory, in which convolutions are fast."""
    floats = images.to(torch.float32, memory_format=torch.channels_last)
    return floats.div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Float in [-1, 1] -> uint8, rounded; the original truncates, which darkens by half a grey
    level.
    """
    return images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


@dataclass(frozen=True)
class Augmentation:
    """The random changes of training images, floats (N, 3, S, S), in the order of their names:
    crop, flip, contrast and noise.
    """

    names: Sequence[str] = ()
    padding: int | None = None  # pixels, for crop; None: an eighth of the side

    def __call__(self, images: Tensor) -> Tensor:
        for name in self.names:
            images = crop(images, self.padding) if name == "crop" else CHANGES[name](images)
        return images


class Augmented(nn.Module):
    """An objective that sees its images through random changes."""

    def __init__(self, objective: nn.Module, augmentation: Augmentation) -> None:
        super().__init__()
        self.objective, self.augmentation = objective, augmentation

    def forward(self, images: Tensor, *labels: Tensor) -> dict[str, Tensor]:
        return self.objective(self.augmentation(images), *labels)


def flip(images: Tensor) -> Tensor:
    """Mirrors each image left to right with probability 1/2."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(chosen, images.flip(3), images)


def crop(images: Tensor, padding: int | None = None) -> Tensor:
    """Cuts each image anew out of itself padded with black (-1) by so many pixels, by default an
    eighth of its side: it is shifted by up to as many along each axis.
    """
    reach = round(images.shape[-1] / 8) if padding is None else padding
    return _shift(images, reach, fill=-1.0)


def contrast(images: Tensor) -> Tensor:
    """Fades each image towards black (-1), by up to MOST_FADED of its light."""
    kept = 1 - MOST_FADED * torch.rand(len(images), 1, 1, 1, device=images.device)
    return (images + 1) * kept - 1


def noise(images: Tensor) -> Tensor:
    """Adds normal noise to each image, of a deviation of its own of up to MOST_NOISE; what leaves
    [-1, 1] is not clipped.
    """
    deviation = MOST_NOISE * torch.rand(len(images), 1, 1, 1, device=images.device)
    return images + deviation * torch.randn_like(images)


CHANGES = {"flip": flip, "contrast": contrast, "noise": noise}


def mixed(images: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Pairs of images made one (mixup, Zhang et al. 2018, eq. 1): share x image + (1 - share) x
    other, one share for the batch, drawn from Beta(alpha, alpha); with the row (N,) of each other.
    """
    draws = torch.distributions.Beta(alpha, alpha)
    share = draws.sample().item()  # on the host, where nothing waits for it
    others = torch.randperm(len(images), device=images.device)
    return share * images + (1 - share) * images[others], others, share


def diffaugment(images: Tensor, policy: Sequence[str]) -> Tensor:
    """Differentiable augmentation (Zhao et al. 2020) of floats in [-1, 1]: color, translation,
    cutout.

    Each image has draws of its own; zero, mid-grey, comes in where translation and cutout leave a
    hole.
    """
    for name in policy:
        images = {"color": _color, "translation": _translation, "cutout": _cutout}[name](images)
    return images


def _color(images: Tensor) -> Tensor:
    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(len(images), 1, 1, 1, device=images.device) * (high - low) + low

    images = images + uniform(-0.5, 0.5)
    mean = images.mean(1, keepdim=True)
    images = (images - mean) * uniform(0, 2) + mean
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * uniform(0.5, 1.5) + mean


def _translation(images: Tensor) -> Tensor:
    return _shift(images, int(images.shape[-1] * 0.125 + 0.5), fill=0.0)


def _cutout(images: Tensor) -> Tensor:
    num, _, side, _ = images.shape
    hole = int(side * 0.5 + 0.5)
    centre = torch.randint(0, side + (1 - hole % 2), (2, num, 1), device=images.device)
    distance = torch.arange(side, device=images.device) - (centre - hole // 2)
    inside = (distance >= 0) & (distance < hole)  # (2, N, S)
    return images * ~(inside[0, :, None, :, None] & inside[1, :, None, None, :])


def _shift(images: Tensor, reach: int, fill: float) -> Tensor:
    """Moves each image by independent integers of [-reach, reach] along both axes."""
    num, _channels, side, _ = images.shape
    padded = F.pad(images, (reach, reach, reach, reach), value=fill)
    start = torch.randint(0, 2 * reach + 1, (2, num, 1), device=images.device)
    index = start + torch.arange(side, device=images.device)  # (2, N, S)
    sample = torch.arange(num, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[sample, index[0, :, :, None], index[1, :, None, :]].permute(
        0, 3, 1, 2
    )


def save_grid(path: Path, images: Tensor, columns: int) -> np.ndarray:
    """Writes uint8 images as one PNG, row by row; a picture for people, replaced whole. Returns its
    pixels (H, W, 3).
    """
    import io

    from PIL import Image

    from cgankd.runs import write_bytes

    num, channels, side, _ = images.shape
    rows = -(-num // columns)
    grid = torch.zeros(rows * columns, channels, side, side, dtype=torch.uint8)
    grid[:num] = images
    sheet = (
        grid.view(rows, columns, channels, side, side)
        .permute(0, 3, 1, 4, 2)
        .reshape(rows * side, -1, channels)
    )
    buffer = io.BytesIO()
    picture = Image.fromarray(sheet.numpy())
    zoom = max(1, 32 // side)
    shown = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
    shown.save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())
    return np.asarray(shown)
