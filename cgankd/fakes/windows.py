"""Images of a continuous label within windows of it: what sliding and intra-label FID, label score
and diversity are means of (CcGAN, Ding et al. 2021).

A window holds the images whose labels lie within a radius of its centre. Labels, centres and radii
are scaled to [0, 1]; N images are those of one group.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cgankd.randomness import generator
from cgankd.statistics import spread

TOLERANCE = 1e-5  # labels are fp32, and equal ones may differ by rounding
FEWEST = 2  # images of a kind in a window: fewer have no covariance


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

    def within(self, center: float, radius: float) -> "Group":
        """The part of the group that lies in a window."""
        here = torch.nonzero((self.labels - center).abs() <= radius + TOLERANCE).flatten()
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


def compare(
    real: Group,
    fake: Group,
    centers: list[float],
    radius: float,
    *,
    features: Callable[[Tensor], Tensor],
    like: Group,
    seed: int,
) -> dict[str, Any] | None:
    """Means and sample deviations over the windows that hold two images of each kind; None where
    there is none.

    `features` maps images to (n, D). Under "fid", "matched", "label_score" and "diversity" (where
    errors and types are known) stand `mean` and `deviation`; "real" and "fake" are the fewest and
    the median images of a window. Since few images raise the distance, "matched" is that of as many
    fakes, drawn by `seed`, as `like` has images there.
    """
    found = [
        (real.within(center, radius), fake.within(center, radius), len(like.within(center, radius)))
        for center in centers
    ]
    found = [
        (ours, theirs, num) for ours, theirs, num in found if min(len(ours), len(theirs)) >= FEWEST
    ]
    if not found:
        return None
    inside = [theirs for _, theirs, _ in found]
    distances, matched = [], []
    for index, (ours, theirs, num) in enumerate(found):
        one, two = features(ours.images()), features(theirs.images())
        distances.append(frechet(one, two))
        if num >= FEWEST:
            drawn = torch.randperm(len(two), generator=generator(seed, "windows", index))[:num]
            matched.append(frechet(one, two[drawn.to(two.device)]))
    return {
        "windows": len(found),
        "left_out": len(centers) - len(found),
        "real": _counts([ours for ours, _, _ in found]),
        "fake": _counts(inside),
        "fid": over(distances),
        "matched": over(matched),
        "label_score": over(
            [part.errors.double().mean().item() for part in inside if part.errors is not None]
        ),
        "diversity": over([entropy(part.types) for part in inside if part.types is not None]),
    }


def _counts(parts: list[Group]) -> dict[str, float]:
    nums = list(map(len, parts))
    return {"min": min(nums), "median": float(np.median(nums))}


def over(values: list[float]) -> dict[str, float | None] | None:
    """None where there are no values, and no deviation where there is one."""
    return dict(zip(("mean", "deviation"), spread(values), strict=True)) if values else None


def frechet(real: Tensor, fake: Tensor) -> float:
    """The Frechet distance of the normal distributions fitted to features (n, D) and (m, D), with
    n, m > 1.

    |difference of means|^2 + tr(S) + tr(T) - 2 tr((S T)^(1/2)) (Heusel et al. 2017), exact without
    D x D matrices.
    """
    real, fake = real.double(), fake.double()
    shift = (real.mean(0) - fake.mean(0)).square().sum()
    left, right = (
        (features - features.mean(0)) / math.sqrt(len(features) - 1) for features in (real, fake)
    )
    # S = L'L and T = R'R: beside zeros, ST has the eigenvalues of (LR')(LR')', so the root of ST
    # has the trace that is the sum of the singular values of LR' (n, m).
    common = torch.linalg.svdvals(left @ right.T).sum()
    return float((shift + left.square().sum() + right.square().sum() - 2 * common).clamp(min=0))


def entropy(labels: Tensor) -> float:
    """The entropy, in nats, of the labels (N,) that occur."""
    shares = labels.unique(return_counts=True)[1].double() / len(labels)
    return float(-(shares * shares.log()).sum()) + 0.0  # of one label alone it is 0 and not -0
