"""Batches: every batch is a pure function of (seed, step), and every process takes its own slice of
it.

Images live on the device as one uint8 tensor (N, 3, S, S); labels are int64 classes or float32 in
[0, 1] (N,).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgankd.data.images import to_float
from cgankd.errors import USAGE, UserError
from cgankd.randomness import generator
from cgankd.sources import Source
from cgankd.task import Task


@dataclass(frozen=True)
class Images:
    """uint8 images with their labels."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def __add__(self, other: "Images") -> "Images":
        return Images(
            torch.cat([self.pixels, other.pixels]), torch.cat([self.labels, other.labels])
        )

    @property
    def side(self) -> int:
        """Of the images, in pixels."""
        return self.pixels.shape[-1]

    def to(self, device: torch.device) -> "Images":
        return Images(self.pixels.to(device), self.labels.to(device))

    def normalisation(self) -> dict[str, list[float]]:
        """Per channel mean and standard deviation of the pixels in [0, 1]."""
        counts = torch.stack(
            [
                torch.bincount(channel.flatten().int(), minlength=256).double()
                for channel in self.pixels.unbind(1)
            ]
        ).cpu()
        values = torch.arange(256, dtype=torch.float64) / 255
        mean = counts @ values / counts.sum(1)
        spread = (counts @ values**2 / counts.sum(1) - mean**2).clamp(min=0).sqrt()
        return {"mean": mean.tolist(), "std": spread.clamp(min=1e-3).tolist()}


def images_of(source: Source, split: str, task: Task) -> Images:
    """The images of one split with their labels as networks take them."""
    rows = source.rows[split]
    labels = torch.from_numpy(source.labels[rows]).to(task.dtype)
    return Images(torch.from_numpy(source.images[rows]), task.scale(labels))


@dataclass(frozen=True)
class ProcessSlice:
    """Which part of a batch a process takes: every `num`-th row from `rank`."""

    rank: int = 0
    num: int = 1

    def of(self, batch: Tensor) -> Tensor:
        """The rows of a whole batch that this process takes."""
        return batch[self.rank :: self.num]

    def check(self, size: int) -> None:
        """UserError where a batch of `size` cannot be cut evenly."""
        if size % self.num:
            raise UserError(
                f"a batch of {size} cannot be shared evenly by {self.num} processes", USAGE
            )


class Batches:
    """Shuffled passes over images: `batches(step)` is (floats in [-1, 1], labels) of this process's
    rows.

    `size` counts all processes. A pass ends within a batch where the sizes do not divide, so none
    is short.
    """

    def __init__(
        self, images: Images, size: int, *, seed: int, stream: str, process: ProcessSlice
    ) -> None:
        self.images, self.seed, self.stream, self.process = images, seed, stream, process
        self.size = size
        self._order: dict[int, Tensor] = {}
        process.check(size)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        rows = self.rows(step).to(self.images.pixels.device)
        return to_float(self.images.pixels[rows]), self.images.labels[rows]

    def rows(self, step: int) -> Tensor:
        """The indices of the batch of `step` that this process takes."""
        num = len(self.images)
        places = self.process.of(torch.arange(step * self.size, (step + 1) * self.size))
        epochs = torch.div(places, num, rounding_mode="floor")
        rows = torch.empty_like(places)
        for epoch in epochs.unique().tolist():
            inside = epochs == epoch
            rows[inside] = self._pass(epoch)[places[inside] % num]
        return rows

    def _pass(self, epoch: int) -> Tensor:
        if epoch not in self._order:
            self._order = {old: order for old, order in self._order.items() if old >= epoch - 1}
            draws = generator(self.seed, self.stream, "pass", epoch)
            self._order[epoch] = torch.randperm(len(self.images), generator=draws)
        return self._order[epoch]


class Mixed:
    """Batches side by side: `real` and `fake` batches of fixed sizes make one."""

    def __init__(self, *parts: Batches) -> None:
        self.parts = parts

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        images, labels = zip(*(part(step) for part in self.parts), strict=True)
        return torch.cat(images), torch.cat(labels)


BATCH = 256


@torch.no_grad()
def outputs_of(network: nn.Module, images: Images) -> Tensor:
    """The outputs (N, K) of a network in eval mode, in fp32."""
    training = network.training
    network.eval()
    parts = [network(to_float(pixels)).float() for pixels in images.pixels.split(BATCH)]
    network.train(training)
    return torch.cat(parts)
