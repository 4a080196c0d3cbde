"""A trained network in the place of a teacher: a function that nothing trains and no checkpoint
holds.
"""

from typing import Any

import torch
from torch import Tensor, nn


class Teacher:
    """Images (N, 3, S, S) in [-1, 1] -> outputs (N, K), in eval mode and without gradients.

    No nn.Module, so that an objective that holds one neither trains nor saves it. `head` projects
    features for SSKD.
    """

    def __init__(self, network: Any, head: nn.Module | None = None) -> None:
        self.network = network.eval().requires_grad_(False)
        self.head = head and head.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return self.network(images)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees: (N, D)."""
        return self.network.features(images)

    @torch.no_grad()
    def project(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Projected features (N, D) and outputs (N, K)."""
        assert self.head, "this teacher has no projection head"
        features = self.network.features(images)
        return self.head(features), self.network.head(features)
