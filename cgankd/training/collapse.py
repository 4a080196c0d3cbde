"""Collapse of a GAN: fakes of one label that are all alike, or a discriminator that has nothing
left to learn.

N images of side S. The figure is the variance of each pixel over images of one label, averaged over
pixels.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgankd import runs
from cgankd.data.images import to_float
from cgankd.errors import DIVERGED, UserError
from cgankd.models.saved import save_network
from cgankd.training.loop import logged

FLOOR = 0.01  # of the variance of real images: a tenth of their deviation
# The discriminator's loss bounds its gradient: beyond the margins of the hinge loss it has none,
# and for the vanilla loss, softplus(x), it is sigmoid(x) < softplus(x).
PINNED = 1e-3
GRACE = 0.3  # share of a run in which the fakes of any GAN may be alike
MOST = 1000  # images of a label that the figure is taken from


def variance(pixels: Tensor, groups: Tensor) -> float:
    """Of each pixel within a group, averaged over pixels and groups: uint8 (N, 3, S, S), groups
    (N,) -> in [0, 1].
    """
    found = []
    for group in groups.unique():
        members = (groups == group).nonzero().squeeze(1)
        some = pixels[members[:: -(-len(members) // MOST)]]
        found.append(to_float(some).var(0, correction=0).mean())
    return torch.stack(found).mean().item()


class CollapseWatch:
    """Keeps the last healthy average of a GAN as healthy.safetensors in `folder`; stops a GAN that
    has collapsed.

    `real` is the variance of real images. Nothing is held against a GAN in the first part of its
    `steps`, nor before `ema_start`, from when on its average is one.
    """

    def __init__(self, folder: Path, real: float, *, steps: int, ema_start: int) -> None:
        self.folder, self.real = folder, real
        self.first, self.tenth = max(GRACE * steps, ema_start), max(1, steps // 10)

    def __call__(
        self, step: int, fakes: float, average: nn.Module, architecture: dict[str, Any]
    ) -> None:
        """Judges the average after `step` by the variance of its `fakes`; UserError(DIVERGED) on
        collapse.
        """
        fault = self._fault(step, fakes)
        if not fault:
            save_network(self.folder, "healthy", average, architecture)
            runs.write_json(self.folder / "healthy-step.json", {"step": step})
        elif step > self.first:
            raise UserError(
                f"gan: collapsed by step {step}: {fault}; {self._healthy()}",
                DIVERGED,
                "ask for more gan.diffaugment, a lower gan.learning_rate or fewer "
                "gan.discriminator_steps, with --rebuild",
            )

    def remove(self) -> None:
        """Drops the healthy average, which a finished generator replaces."""
        for path in self.folder.glob("healthy*"):
            path.unlink()

    def _fault(self, step: int, fakes: float) -> str:
        if fakes < FLOOR * self.real:
            return (
                f"fakes of one label vary {fakes / self.real:.2g} times as much as real images "
                f"(floor: {FLOOR:g})"
            )
        losses = logged(self.folder, "discriminator", after=step - self.tenth)
        if losses and max(losses) < PINNED:
            return (
                f"the discriminator's loss has been below {PINNED:g} for a tenth of the run, "
                f"last {losses[-1]:.2g}"
            )
        return ""

    def _healthy(self) -> str:
        kept = self.folder / "healthy-step.json"
        if not kept.exists():
            return "no step before was healthy"
        return (
            f"{self.folder / 'healthy.safetensors'} holds the average of step "
            f"{runs.read_json(kept)['step']}"
        )
