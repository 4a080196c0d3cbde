"""Steps as a GPU replays them: all kernels of a step as one CUDA graph.

The kernels of these small networks are over sooner than a host can launch them one by one; a graph
is launched at once. It holds the same kernels with the same draws, so that a network trains to the
same bits as without.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from cgankd.errors import UNAVAILABLE, UserError
from cgankd.training.machine import Machine
from cgankd.training.updates import State, Update

WARM = 3  # steps of a kind before it is recorded, in which libraries set up what they need


def recorded(update: Update, machine: Machine) -> Update:
    """The update as this machine takes its steps."""
    return Recorded(update) if machine.records else update


@dataclass(frozen=True)
class Recording:
    """A step of one kind: the tensors that it reads and those that it leaves, and its kernels."""

    batch: Any
    losses: dict[str, Tensor]
    graph: torch.cuda.CUDAGraph

    def replay(self, batch: Any) -> dict[str, Tensor]:
        """The step on another batch; the losses stand until the next one."""
        torch._foreach_copy_(tensors(self.batch), tensors(batch))
        self.graph.replay()
        return self.losses


class Recorded:
    """An update that records a step of each kind, once some were taken, and replays it from then
    on. Steps without a kind are taken as they are.
    """

    def __init__(self, update: Update) -> None:
        self.update = update
        self.taken: Counter[Hashable] = Counter()
        self.recordings: dict[Hashable, Recording] = {}
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def begin(self, step: int) -> None:
        self.update.begin(step)

    def kind(self, step: int) -> Hashable:
        return self.update.kind(step)

    def __call__(self, batch: Any, step: int) -> dict[str, Tensor]:
        kind = self.kind(step)
        if kind is None:
            return self.update(batch, step)
        if kind in self.recordings:
            return self.recordings[kind].replay(batch)
        if self.taken[kind] == WARM:
            self.recordings[kind] = self._record(batch, step)
            return self.recordings[kind].replay(batch)
        self.taken[kind] += 1
        # Beside the stream of the host, as the step will be recorded: libraries set up for both.
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            losses = self.update(batch, step)
        torch.cuda.current_stream().wait_stream(self.stream)
        return losses

    def _record(self, batch: Any, step: int) -> Recording:
        own, graph = mapped(batch, torch.clone), torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                losses = self.update(own, step)
        except torch.OutOfMemoryError:  # which says by itself what to do
            raise
        except RuntimeError as error:
            raise UserError(
                f"step {step + 1} cannot be recorded as a CUDA graph: {error}",
                UNAVAILABLE,
                "continue with --eager",
            ) from error
        return Recording(own, losses, graph)

    def state(self) -> State:
        return self.update.state()

    def load(self, state: State) -> None:
        self.update.load(state)

    def align(self) -> None:
        self.update.align()


def mapped(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A batch with each of its tensors changed: a tensor, a sequence or a dataclass of such."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, tuple | list):
        return type(batch)(mapped(part, change) for part in batch)
    return replace(
        batch, **{part.name: mapped(getattr(batch, part.name), change) for part in fields(batch)}
    )


def tensors(batch: Any) -> list[Tensor]:
    """The tensors of a batch, in their order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    mapped(batch, note)
    return found
