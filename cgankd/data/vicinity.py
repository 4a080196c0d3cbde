"""Batches by a continuous label: those of CcGAN, and the pairs of target and image of its
density ratio.

N images, L distinct labels, B rows of a batch. Labels are float64 in [0, 1] here, and matched by
their number.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cgankd.data.batches import Ahead, Images, ProcessSlice
from cgankd.data.gan_batches import DiscriminatorBatch, GanBatch
from cgankd.data.images import to_float
from cgankd.errors import DATA, USAGE, UserError
from cgankd.preset import Width
from cgankd.randomness import generator
from cgankd.task import Task

MIN_WEIGHT = 1e-3  # soft vicinity: images of smaller weight do not count (Ding et al. 2021)
MAX_REDRAWS = 100_000  # of the noise of a batch; it takes seconds
# Of a discriminator step, drawn on the host.
DRAWN = ("rows of real images", "targets", "labels of fakes", "weights", "weights of fakes")
SLACK = 1e-9  # a label two gaps away is that far whatever the rounding


class ByLabel:
    """Images sorted by their labels; a place is one in that order, `rows` (N,) are their rows in
    `images`.
    """

    def __init__(self, images: Images, task: Task) -> None:
        self.images, self.task = images, task
        # Labels are compared as numbers of distinct values (L,): float32 cannot say whether two
        # labels of a step are one or two gaps apart.
        self.values, numbers = task.exact(images.labels.cpu()).unique(return_inverse=True)
        numbers, self.rows = numbers.sort(stable=True)
        self.labels = self.values[numbers]  # of each place
        # (L + 1,): images of value i stand in the places [starts[i], starts[i + 1]).
        self.starts = torch.cat([numbers.new_zeros(1), numbers.bincount().cumsum(0)])

    def near(self, targets: Tensor, radius: float) -> tuple[Tensor, Tensor]:
        """The places [low, high) of the images whose labels are within `radius` of each target."""
        low = torch.searchsorted(self.values, targets - (radius + SLACK), side="left")
        high = torch.searchsorted(self.values, targets + (radius + SLACK), side="right")
        return self.starts[low], self.starts[high]

    def pixels(self, rows: Tensor) -> Tensor:
        """Floats in [-1, 1] of rows of the images, on their device."""
        return to_float(self.images.pixels[rows])


@dataclass(frozen=True)
class Vicinity:
    """Labels count within `radius`, by exp(-nu distance^2), or all alike where `nu` is 0."""

    radius: float
    nu: float

    def weights(self, labels: Tensor, targets: Tensor) -> Tensor:
        """Of labels (B,) for targets (B,)."""
        return torch.exp(-self.nu * (labels - targets) ** 2)


def make_vicinity(width: Width, labels: Tensor) -> Vicinity:
    """The vicinity of a width for the distinct labels (L,): kappa is `gaps` times the largest gap,
    nu 1 / kappa^2.
    """
    kappa, nu = width.kappa, width.nu
    if width.gaps is not None:
        if len(labels) < 2:
            raise UserError(
                "the training images have one distinct label: it has no gaps to measure by", DATA
            )
        kappa = width.gaps * labels.diff().max().item()
        nu = 1 / kappa**2
    if width.kind == "hard":
        assert kappa, "the preset has been checked for a width"
        return Vicinity(kappa, 0.0)
    assert nu, "the preset has been checked for a width"
    return Vicinity(math.sqrt(-math.log(MIN_WEIGHT) / nu), nu)


def rule_of_thumb(labels: Tensor) -> float:
    """The width of the label kernel: 1.06 std N^(-1/5), with the population's std (Ding et al.
    2021).
    """
    return 1.06 * labels.std(correction=0).item() * len(labels) ** -0.2


class VicinalGanBatches:
    """For a continuous label: CcGAN's hard and soft vicinal discriminator batches (Ding et
    al. 2021).

    A target is a training label, drawn uniformly among the distinct ones, plus normal noise of
    deviation `sigma`; real images come from its vicinity, and fakes are drawn for labels of the
    vicinity. All are judged as the target.
    """

    def __init__(
        self,
        images: ByLabel,
        vicinity: Vicinity,
        size: int,
        discriminator_steps: int,
        *,
        sigma: float | None,
        fresh: bool = True,
        seed: int,
        process: ProcessSlice,
    ) -> None:
        self.fresh = fresh  # whether a generator step draws its own labels
        self.images, self.vicinity = images, vicinity
        self.size = size
        self.discriminator_steps = discriminator_steps
        self.seed = seed
        self.process = process
        self.sigma = rule_of_thumb(images.labels) if sigma is None else sigma
        self.drawn = Ahead(self._draw, images.images.pixels.device)
        process.check(size)

    def __call__(self, step: int) -> GanBatch:
        *drawn, fresh = self.drawn(step)
        width = len(DRAWN)
        parts = [drawn[start : start + width] for start in range(0, len(drawn), width)]
        return GanBatch([self._discriminator_batch(*part) for part in parts], fresh)

    def _discriminator_batch(
        self, rows: Tensor, target: Tensor, fake: Tensor, weights: Tensor, fake_weights: Tensor
    ) -> DiscriminatorBatch:
        pixels = self.images.pixels(rows)
        return DiscriminatorBatch(pixels, target, fake, target, weights, fake_weights)

    def _draw(self, step: int) -> list[Tensor]:
        """DRAWN of each discriminator step, and the labels of the generator's: what this process
        takes of them.
        """
        drawn: list[Tensor] = []
        for part in range(self.discriminator_steps):
            target, places, *numbers = self.choose(step, part)
            drawn += [self.images.rows[places], target.float(), *(one.float() for one in numbers)]
        labels = drawn[1 - len(DRAWN)]  # the targets of the last discriminator step
        if self.fresh:
            draws = generator(self.seed, "gan labels", step, self.discriminator_steps)
            labels = self._noisy(self._choose(draws), draws).float()
        return [self.process.of(values) for values in [*drawn, labels]]

    def choose(self, step: int, part: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of the whole batch: targets, places of real images, labels of fakes, and the weights of
        both (B,).
        """
        draws = generator(self.seed, "gan labels", step, part)
        target, places = self.draw(draws)
        low = (target - self.vicinity.radius).clamp(min=0)
        high = (target + self.vicinity.radius).clamp(max=1)
        # Fakes are not those of the targets: the discriminator judges a vicinity by images of all
        # of it, real ones as they come and fake ones from labels uniform in it.
        fake = low + (high - low) * torch.rand(self.size, generator=draws, dtype=torch.float64)
        weights = self.vicinity.weights(self.images.labels[places], target)
        return target, places, fake, weights, self.vicinity.weights(fake, target)

    def draw(self, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Targets (B,) and for each the place of an image of its vicinity; empty vicinities redraw
        the noise.
        """
        chosen = self._choose(draws)
        target = self._noisy(chosen, draws)
        low, high = self.images.near(target, self.vicinity.radius)
        redraws = 0
        # Noise can put a target where no image is near. A new label would favour dense regions, so
        # the label stays and its noise is drawn again, for the whole batch, so that the draws of
        # one row do not depend on how often another was redrawn.
        while (empty := low == high).any():
            if redraws == MAX_REDRAWS:
                self._refuse(chosen[empty][0].item())
            target[empty] = self._noisy(chosen, draws)[empty]
            low, high = self.images.near(target, self.vicinity.radius)
            redraws += 1
        return target, place_in(low, high, draws)

    def _refuse(self, label: float) -> None:
        raise UserError(
            f"gan.vicinity: no training image lies within {self.vicinity.radius:g} (of labels in "
            "[0, 1]) of the label "
            f"{self.images.task.name(label)} plus noise of deviation {self.sigma:g}, drawn "
            f"{MAX_REDRAWS:,} times",
            USAGE,
            "ask for a wider gan.vicinity (gaps, kappa or nu), or a lower gan.vicinity.sigma",
        )

    def _choose(self, draws: torch.Generator) -> Tensor:
        return self.images.values[
            torch.randint(len(self.images.values), (self.size,), generator=draws)
        ]

    def _noisy(self, labels: Tensor, draws: torch.Generator) -> Tensor:
        return labels + self.sigma * torch.randn(self.size, generator=draws, dtype=torch.float64)


class Pairs:
    """Batches for the density ratio of a continuous label: `pairs(step)` is (images, targets,
    weights).

    A target is drawn uniformly among the distinct training labels, so that a rare one counts as
    much as any, and for it one of its images, or, with a vicinity, one of those of its vicinity
    with the weight of that one's label.
    """

    def __init__(
        self,
        images: ByLabel,
        vicinity: Vicinity | None,
        size: int,
        *,
        seed: int,
        process: ProcessSlice,
    ) -> None:
        self.images = images
        self.vicinity = vicinity
        self.size = size
        self.seed = seed
        self.process = process
        self.low, self.high = images.starts[:-1], images.starts[1:]  # of every target (L,)
        if vicinity:
            self.low, self.high = images.near(images.values, vicinity.radius)
        self.drawn = Ahead(self._draw, images.images.pixels.device)
        process.check(size)

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rows, targets, weights = self.drawn(step)
        return self.images.pixels(rows), targets, weights

    def _draw(self, step: int) -> list[Tensor]:
        targets, places = (self.process.of(whole) for whole in self.choose(step))
        labels, ones = self.images.labels[places], torch.ones_like(targets)
        weights = self.vicinity.weights(labels, targets) if self.vicinity else ones
        return [self.images.rows[places], targets.float(), weights.float()]

    def choose(self, step: int) -> tuple[Tensor, Tensor]:
        """Of the whole batch: targets (B,), and the place of an image for each."""
        draws = generator(self.seed, "ratio pairs", step)
        numbers = torch.randint(len(self.images.values), (self.size,), generator=draws)
        return self.images.values[numbers], place_in(self.low[numbers], self.high[numbers], draws)


def place_in(low: Tensor, high: Tensor, draws: torch.Generator) -> Tensor:
    """A place (B,) of each range [low, high), none of them empty, drawn uniformly."""
    share = torch.rand(len(low), generator=draws, dtype=torch.float64)
    return torch.minimum(low + (share * (high - low)).long(), high - 1)
