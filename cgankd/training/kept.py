"""The best average of a GAN so far, which its checkpoints hold beside what is trained."""

import math
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

from cgankd.training.updates import Adversarial, State

PREFIX = "best."  # of the average's tensors in a checkpoint
LOOKS = "looks"  # of all looks: float64 (L, 2), each its step and distance


class KeepBest:
    """The update of a GAN that remembers, of the averages that were looked at, the one whose fakes
    are nearest to real images; of equal ones the first.
    """

    def __init__(self, update: Adversarial) -> None:
        self.update = update
        self.looks: dict[int, float] = {}  # the distance after each step that was looked at
        self._best: State = {}

    def begin(self, step: int) -> None:
        self.update.begin(step)

    def kind(self, step: int) -> Hashable:
        return self.update.kind(step)

    def __call__(self, batch: Any, step: int) -> dict[str, Tensor]:
        return self.update(batch, step)

    def look(self, step: int, distance: float | None, average: nn.Module) -> None:
        """Keeps the average after `step` where it is the best. One without a distance is not
        compared.
        """
        if distance is None or not math.isfinite(distance):
            return
        if all(distance < other for other in self.looks.values()):
            self._best = {
                name: tensor.detach().cpu().clone() for name, tensor in average.state_dict().items()
            }
        self.looks[step] = distance

    @property
    def step(self) -> int | None:
        """After which step the average is the best one; None where none was compared."""
        return min(self.looks, key=self.looks.__getitem__, default=None)

    def restore(self, average: nn.Module) -> None:
        """Gives a generator the weights of the best average, if there is one."""
        if self._best:
            average.load_state_dict(self._best)

    def state(self) -> State:
        if not self.looks:
            return self.update.state()
        best = {PREFIX + name: tensor for name, tensor in self._best.items()}
        looks = torch.tensor(list(self.looks.items()), dtype=torch.float64)
        return {**self.update.state(), **best, LOOKS: looks}

    def load(self, state: State) -> None:
        self._best = {
            name.removeprefix(PREFIX): tensor
            for name, tensor in state.items()
            if name.startswith(PREFIX)
        }
        looks = state[LOOKS].tolist() if LOOKS in state else []
        self.looks = {int(step): distance for step, distance in looks}
        self.update.load(state)

    def align(self) -> None:
        self.update.align()
