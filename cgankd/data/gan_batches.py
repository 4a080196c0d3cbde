"""Batches of a GAN: what one generator step and its discriminator steps need."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cgankd.data.batches import Ahead, Batches, Images, ProcessSlice
from cgankd.randomness import generator
from cgankd.task import Task


@dataclass(frozen=True)
class DiscriminatorBatch:
    """What one discriminator step needs; the fakes are drawn for `fake_labels` and judged as
    `judged_labels`.
    """

    images: Tensor
    labels: Tensor
    fake_labels: Tensor
    judged_labels: Tensor
    weights: Tensor
    fake_weights: Tensor


@dataclass(frozen=True)
class GanBatch:
    """What one generator step needs: its discriminator steps, then the labels to generate."""

    discriminator_batches: list[DiscriminatorBatch]
    labels: Tensor


class ClassGanBatches:
    """For class labels: real images with their classes, fakes of uniformly drawn classes."""

    def __init__(
        self,
        images: Images,
        size: int,
        discriminator_steps: int,
        task: Task,
        *,
        seed: int,
        process: ProcessSlice,
    ) -> None:
        self.batches = Batches(images, size, seed=seed, stream="gan", process=process)
        self.discriminator_steps, self.seed = discriminator_steps, seed
        self.num_classes = task.num_classes
        self.drawn = Ahead(self._draw, images.pixels.device)

    def __call__(self, step: int) -> GanBatch:
        discriminator_batches = []
        *drawn, labels_to_draw = self.drawn(step)
        for part, fake_labels in enumerate(drawn):
            images, labels = self.batches(step * self.discriminator_steps + part)
            ones = torch.ones(len(labels), device=labels.device)
            discriminator_batches.append(
                DiscriminatorBatch(images, labels, fake_labels, fake_labels, ones, ones)
            )
        return GanBatch(discriminator_batches, labels_to_draw)

    def _draw(self, step: int) -> list[Tensor]:
        """The labels of fakes: those of each discriminator step, and of the generator's."""
        return [self._labels(step, part) for part in range(self.discriminator_steps + 1)]

    def _labels(self, *name: int) -> Tensor:
        draws = generator(self.seed, "gan labels", *name)
        labels = torch.randint(self.num_classes, (self.batches.size,), generator=draws)
        return self.batches.process.of(labels)
