"""Collapse of a GAN: fakes of one label that are all alike, or a dead discriminator, which has
nothing left to learn or sees no difference between images.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from cgankd import runs
from cgankd.errors import DIVERGED, UserError
from cgankd.models.saved import save_network
from cgankd.training.loop import logged

FLOOR = 0.01  # of the variance of real images: a tenth of their deviation
# The discriminator's loss bounds its gradient: beyond the margins of the hinge loss it has none,
# and for the vanilla loss, softplus(x), it is sigmoid(x) < softplus(x).
PINNED = 1e-3
# Scores that do not depend on the image give the generator no gradient, and the loss does not tell:
# at hinge it stays near 2 as between equals. Of the margin of 1 this is rounding.
BLIND = 1e-5
GRACE = 0.3  # share of a run in which the fakes of any GAN may be alike


@dataclass(frozen=True)
class Signs:
    """By what a GAN is judged. `variance` is that of fakes within a label over that of real images,
    None where it is not known; `contrast` the largest difference of the discriminator's scores of a
    real image and a fake of one label.
    """

    variance: float | None
    contrast: float


class CollapseWatch:
    """Keeps the last healthy average of a GAN as healthy.safetensors in `folder`; stops a GAN that
    has collapsed.

    Nothing is held against a GAN in the first part of its `steps`, nor before `ema_start`, from
    when on its average is one.
    """

    def __init__(self, folder: Path, *, steps: int, ema_start: int) -> None:
        self.folder = folder
        self.first, self.tenth = max(GRACE * steps, ema_start), max(1, steps // 10)

    def __call__(
        self, step: int, signs: Signs, average: nn.Module, architecture: dict[str, Any]
    ) -> None:
        """Judges the average after `step`; UserError(DIVERGED) on collapse."""
        fault = self._fault(step, signs)
        if not fault:
            save_network(self.folder, "healthy", average, architecture)
            runs.write_json(self.folder / "healthy-step.json", {"step": step})
        elif step > self.first:
            raise UserError(
                f"gan: collapsed by step {step}: {fault}; {self._healthy()}",
                DIVERGED,
                "ask for more gan.diffaugment, a lower gan.learning_rate (or "
                "gan.discriminator_learning_rate) or fewer gan.discriminator_steps, with --rebuild",
            )

    def remove(self) -> None:
        """Drops the healthy average, which a finished generator replaces."""
        for path in self.folder.glob("healthy*"):
            path.unlink()

    def _fault(self, step: int, signs: Signs) -> str:
        if signs.variance is not None and signs.variance < FLOOR:
            return (
                f"fakes of one label vary {signs.variance:.2g} times as much as real images "
                f"(floor: {FLOOR:g})"
            )
        if signs.contrast < BLIND:
            return (
                "the discriminator is dead: its scores of real images and of fakes of their labels "
                f"differ by {signs.contrast:.2g} at most"
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
