"""Images compared within windows of their label, and all together: what sliding and intra-label
FID, label score and diversity are means of (CcGAN, Ding et al. 2021), and what was measured since.

A window holds the images whose labels lie within a radius of its centre; of a class, with radius 0,
all of that class. Continuous labels, centres and radii are scaled to [0, 1]; N images are those of
one group. Many images are drawn from, by a seed, and so is what has to be compared at equal counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cgankd.fakes.measures import density_and_coverage, entropy, frechet, nearest, variance
from cgankd.randomness import generator
from cgankd.statistics import spread

CENTERS, NARROW = 9, 18  # usual windows of a continuous label: nine of an eighteenth's radius
TOLERANCE = 1e-5  # labels are fp32, and equal ones may differ by rounding
SCORES = ("fid", "matched", "variance", "density", "coverage", "label_score", "diversity")
FEWEST = 2  # images of a kind in a window: fewer have no covariance
MOST = 2000  # images of a kind that are compared together: more cost minutes and change little


@dataclass(frozen=True)
class Group:
    """Images under the labels that they are used with, and what judges say of each."""

    pixels: Tensor  # uint8 (M, 3, S, S), which other groups may share
    rows: Tensor  # int64 (N,): which of them
    labels: Tensor  # (N,)
    errors: Tensor | None = None  # (N,): of the teacher, in the label's unit
    types: Tensor | None = None  # (N,): as a classifier names them

    def __len__(self) -> int:
        return len(self.rows)

    def images(self) -> Tensor:
        """The group's images (N, 3, S, S), uint8."""
        return self.pixels[self.rows]

    def some(self, num: int, draws: torch.Generator) -> "Group":
        """So many of them, drawn at random; all where there are no more."""
        if num >= len(self):
            return self
        return self._part(torch.randperm(len(self), generator=draws)[:num].to(self.rows.device))

    def within(self, center: float, radius: float) -> "Group":
        """The part of the group that lies in a window."""
        return self._part(
            torch.nonzero((self.labels - center).abs() <= radius + TOLERANCE).flatten()
        )

    def _part(self, here: Tensor) -> "Group":
        errors, types = (
            None if column is None else column[here] for column in (self.errors, self.types)
        )
        return replace(
            self, rows=self.rows[here], labels=self.labels[here], errors=errors, types=types
        )


def evenly(num: int, radius: float) -> list[float]:
    """The centres of `num` windows of one radius, evenly spaced so that the outer ones end with the
    range.
    """
    return np.linspace(radius, 1 - radius, num).tolist() if num > 1 else [0.5]


@dataclass(frozen=True)
class Judge:
    """How images are compared: by features, images (n, 3, S, S) -> (n, D), with draws of a seed."""

    features: Callable[[Tensor], Tensor]
    seed: int

    def draws(self, *name: str | int) -> torch.Generator:
        """The draws of that name."""
        return generator(self.seed, *name)


def compare(
    real: Group, fake: Group, centers: list[float], radius: float, *, judge: Judge, like: Group
) -> dict[str, Any] | None:
    """Means and sample deviations over the windows that hold two images of each kind; None where
    there is none.

    Under "fid", "matched", "variance", "density", "coverage", "label_score" and "diversity" stand
    `mean` and `deviation`, where they are known; "real" and "fake" are the fewest and the median
    images of a window; "parts" are the single windows. Since few images raise the distance,
    "matched" is that of as many fakes as `like` has images there, and so are density and coverage.
    Variance is that of fakes over that of equally many real images.
    """
    found = [
        (center, real.within(center, radius), fake.within(center, radius)) for center in centers
    ]
    found = [window for window in found if min(len(window[1]), len(window[2])) >= FEWEST]
    if not found:
        return None
    parts = [
        {"center": center, **_scores(ours, theirs, len(like.within(center, radius)), judge, index)}
        for index, (center, ours, theirs) in enumerate(found)
    ]
    return {
        "windows": len(found),
        "left_out": len(centers) - len(found),
        "real": _counts([ours for _, ours, _ in found]),
        "fake": _counts([theirs for _, _, theirs in found]),
        **{
            name: over([score for part in parts if (score := part[name]) is not None])
            for name in SCORES
        },
        "parts": parts,
    }


def _scores(
    real: Group, fake: Group, num: int, judge: Judge, window: int
) -> dict[str, float | None]:
    """The scores of one window, in which there are `num` images to match."""
    draws = judge.draws("windows", window)
    real, fake = real.some(MOST, draws), fake.some(MOST, draws)
    return {
        "num": len(fake),
        **_distances(real, fake, num, judge, draws),
        "variance": _variance(real, fake, num, draws),
        "label_score": None if fake.errors is None else fake.errors.double().mean().item(),
        "diversity": None if fake.types is None else entropy(fake.types),
    }


def _distances(
    real: Group, fake: Group, num: int, judge: Judge, draws: torch.Generator
) -> dict[str, float | None]:
    """What features say: of all images, and of `num` fakes."""
    one, two = judge.features(real.images()), judge.features(fake.images())
    names = ("fid", "matched", "density", "coverage")
    scores: dict[str, float | None] = dict.fromkeys(names)
    if min(len(one), len(two)) < FEWEST:
        return scores
    scores["fid"] = frechet(one, two)
    if num >= FEWEST:
        drawn = two[torch.randperm(len(two), generator=draws)[:num].to(two.device)]
        scores["matched"] = frechet(one, drawn)
        if found := density_and_coverage(one, drawn):
            scores["density"], scores["coverage"] = found
    return scores


def _variance(real: Group, fake: Group, num: int, draws: torch.Generator) -> float | None:
    """How much fakes vary, over how much real images do: of equally many, since few vary less."""
    num = min(num, len(real), len(fake))
    if num < FEWEST:
        return None
    ours, theirs = (group.some(num, draws).images() for group in (real, fake))
    alike = torch.zeros(num, device=ours.device)  # one group
    in_real = variance(ours, alike)
    return variance(theirs, alike) / in_real if in_real else None


def overall(
    real: Group, fake: Group, *, judge: Judge, like: Group, usual: float
) -> dict[str, float | None] | None:
    """The distances of all labels together, at the counts of `compare`, and how near fakes are to
    real images: "nearest", the median distance in grey levels of a fake to the nearest real image,
    and "copies", the share of fakes that are nearer than half the `usual` distance. None without
    fakes.
    """
    if not len(fake):
        return None
    draws = judge.draws("all")
    some = fake.some(MOST, draws)
    apart = nearest(some.images(), real.images())
    return {
        **_distances(real.some(MOST, draws), some, len(like), judge, draws),
        "nearest": apart.median().item(),
        "copies": (apart < usual / 2).double().mean().item(),
    }


def _counts(parts: list[Group]) -> dict[str, float]:
    nums = list(map(len, parts))
    return {"min": min(nums), "median": float(np.median(nums))}


def over(values: list[float]) -> dict[str, float | None] | None:
    """None where there are no values, and no deviation where there is one."""
    return dict(zip(("mean", "deviation"), spread(values), strict=True)) if values else None
