"""Batches: every batch is a pure function of (seed, step), and every process takes its own slice of
it.

Images live on the device as one uint8 tensor (N, 3, S, S); labels are int64 classes or float32 in
[0, 1] (N,).
"""

from collections.abc import Callable, Sequence
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

    def coloured(self) -> bool:
        """Whether the channels of any pixel differ."""
        parts = self.pixels.split(BATCH)
        return any(bool((part != part[:, :1]).any()) for part in parts)

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
        rows = self.rows(step)
        return to_float(self.images.pixels[rows]), self.images.labels[rows]

    def rows(self, step: int) -> Tensor:
        """The indices of the batch of `step` that this process takes, on the device of the
        images.
        """
        num, place, parts = len(self.images), step * self.size, []
        while place < (step + 1) * self.size:
            epoch, start = divmod(place, num)
            stop = min(num, start + (step + 1) * self.size - place)
            parts.append(self._pass(epoch)[start:stop])
            place += stop - start
        return self.process.of(torch.cat(parts))

    def _pass(self, epoch: int) -> Tensor:
        if epoch not in self._order:
            self._order = {old: order for old, order in self._order.items() if old >= epoch - 1}
            draws = generator(self.seed, self.stream, "pass", epoch)
            order = torch.randperm(len(self.images), generator=draws)
            self._order[epoch] = to_device(order, self.images.pixels.device)
        return self._order[epoch]


class Mixed:
    """Batches side by side: `real` and `fake` batches of fixed sizes make one."""

    def __init__(self, *parts: Batches) -> None:
        self.parts = parts

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        images, labels = zip(*(part(step) for part in self.parts), strict=True)
        return torch.cat(images), torch.cat(labels)


class Ahead:
    """What is drawn on the host for each step, by the block of steps on the device: one copy for
    many steps, which the device does not wait for.

    `draw(step)` gives tensors whose shapes do not depend on the step; `ahead(step)` the same ones
    on `device`.
    """

    STEPS = 64  # of a block

    def __init__(self, draw: Callable[[int], Sequence[Tensor]], device: torch.device) -> None:
        self.draw, self.device = draw, device
        self._block, self._columns = -1, list[Tensor]()

    def __call__(self, step: int) -> list[Tensor]:
        block, place = divmod(step, self.STEPS)
        if block != self._block:
            steps = range(block * self.STEPS, (block + 1) * self.STEPS)
            columns = zip(*(self.draw(one) for one in steps), strict=True)
            self._columns = [to_device(torch.stack(column), self.device) for column in columns]
            self._block = block
        return [column[place] for column in self._columns]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device; nothing waits for a copy to a GPU."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


BATCH = 256


@torch.no_grad()
def outputs_of(network: nn.Module, images: Images) -> Tensor:
    """The outputs (N, K) of a network in eval mode, in fp32."""
    training = network.training
    network.eval()
    parts = [network(to_float(pixels)).float() for pixels in images.pixels.split(BATCH)]
    network.train(training)
    return torch.cat(parts)
