"""Images that others have drawn, as fakes: what stands for a generator, and which are accepted.

N images of side S, of L distinct labels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cgankd.data.batches import Images
from cgankd.data.images import to_float
from cgankd.fakes.pool import rank_within
from cgankd.fakes.ratio import bounds
from cgankd.preset import Generate
from cgankd.task import Task

NEAR = 16  # drawn images of the nearest labels, among which one is taken for a continuous label


class DrawnFakes:
    """In the place of a generator: labels (N,) -> drawn images (N, 3, S, S) in [-1, 1], of each
    label one at random, by torch's generator.
    """

    def __init__(self, images: Images, task: Task) -> None:
        order = images.labels.argsort(stable=True)
        self.pixels, self.labels = images.pixels[order], images.labels[order]
        self.task = task

    def __call__(self, labels: Tensor) -> Tensor:
        first, past = self._among(labels.contiguous())
        places = first + (torch.rand(len(labels), device=labels.device) * (past - first)).long()
        return to_float(self.pixels[places.clamp(max=len(self.labels) - 1)])

    def of_known(self, images: Images) -> Images:
        """Those of the images whose label is that of a drawn one: no fake is to be had of the
        others.
        """
        if not self.task.label.discrete:
            return images
        known = torch.isin(images.labels, self.labels)
        return Images(images.pixels[known], images.labels[known])

    def _among(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The places of the first of the images to choose from for each label, and past the
        last.
        """
        left = torch.searchsorted(self.labels, labels)
        if self.task.label.discrete:
            return left, torch.searchsorted(self.labels, labels, right=True)
        num = len(self.labels)
        first = (left - NEAR // 2).clamp(min=0, max=max(0, num - NEAR))
        return first, (first + NEAR).clamp(max=num)


@dataclass(frozen=True)
class Acceptance:
    """Which images are accepted, in which order of their label, under which bound of each label."""

    proposals: np.ndarray  # int64 (N,): the number of each image among those of its label
    accepted: np.ndarray  # bool (N,)
    bounds: np.ndarray  # (L,)


def accept(
    labels: np.ndarray, ratios: np.ndarray | None, settings: Generate, seed: int, *, discrete: bool
) -> Acceptance:
    """Rejection sampling of images that are there: each with probability ratio / bound, the bound
    being a high quantile of the ratios of its label, or of its range of continuous labels. Without
    ratios (N,) all are accepted.
    """
    draws = np.random.default_rng([seed, 0xD7A3])
    distinct, place = np.unique(labels, return_inverse=True)
    proposals = rank_within(place, draws.permutation(len(labels)))
    uniform = draws.random(len(labels))
    if ratios is None:
        return Acceptance(proposals, np.ones(len(labels), bool), np.ones(len(distinct)))
    num_groups = len(distinct) if discrete else min(settings.bound_bins, len(distinct))
    group_of = np.arange(len(distinct)) * num_groups // len(distinct)
    by_group = [
        bounds(torch.from_numpy(ratios[group_of[place] == group])[None], settings.bound_quantile)
        for group in range(num_groups)
    ]
    bound = torch.cat(by_group).numpy()[group_of]
    return Acceptance(proposals, uniform * bound[place] < ratios, bound)
