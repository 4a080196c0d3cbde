"""A trained network that knows what it answers, from wherever it was loaded.

N images of side S, K outputs.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cgankd.data.batches import Images, outputs_of
from cgankd.errors import DATA, UserError
from cgankd.label import Label
from cgankd.task import Task, make_task

Compute = Callable[[Tensor], Tensor]  # pixels uint8 (N, 3, S, S) -> outputs (N, K)


@dataclass(frozen=True)
class Facts:
    """What is known of a trained network beside its weights."""

    label: dict[str, Any]
    size: int  # side S of its images, in pixels
    architecture: dict[str, Any]
    span: tuple[float, float] | None = None  # black and white in images of more than 8 bits
    origin: dict[str, Any] = field(default_factory=dict)  # which artefact it is, by its digests


class Parts(NamedTuple):
    """What a model is made of: the record or the file it is loaded from, and where there is no
    network, what computes in its place.
    """

    place: Path
    facts: Facts
    network: nn.Module | None
    compute: Compute | None = None


class Model:
    """A network with its label and the side of its images; `Trained` says what of it is for all."""

    label: Label
    size: int
    network: nn.Module | None

    def __init__(self, parts: Parts) -> None:
        self.place, self.facts, self.network, compute = parts
        self.task: Task = make_task(self.facts.label)
        self.label, self.size = self.task.label, self.facts.size
        self._compute = compute or self._by_network

    def predict(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Images uint8 (N, 3, S, S) -> (N,): int64 places in `label.classes`, or float64 values in
        the label's unit, as they are scored: not clipped to its range. UserError for images of
        another kind.
        """
        labels = self.task.answer(self.outputs(images)).cpu().numpy()
        values = self.label.unscaled(labels)
        return values.astype(np.int64) if self.label.discrete else values

    def outputs(self, images: np.ndarray | Tensor) -> Tensor:
        """Images uint8 (N, 3, S, S) -> what the network says of them, (N, K), in fp32. Of an .onnx
        that was exported they are outputs with the same readout.
        """
        pixels = torch.as_tensor(images).contiguous()  # others round otherwise
        expected = (3, self.size, self.size)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != expected:
            raise UserError(
                f"images are {pixels.dtype} {tuple(pixels.shape)}, expected uint8 "
                f"(N, {', '.join(map(str, expected))})",
                DATA,
                "give RGB images of that side, channels first, from 0 to 255",
            )
        return self._compute(pixels)

    def _by_network(self, pixels: Tensor) -> Tensor:
        assert self.network is not None
        device = next(self.network.parameters()).device
        labels = torch.zeros(len(pixels))  # there are none
        return outputs_of(self.network, Images(pixels, labels).to(device))


class Deployed(nn.Module):
    """Images uint8 (N, 3, S, S) -> what the network gives: probabilities (N, K), or values (N,) in
    the label's unit. Scaling and normalisation are inside. It is a copy, on the CPU.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        assert model.network is not None, "an .onnx is exported no further"
        self.task = model.task
        self.network: nn.Module = copy.deepcopy(model.network).eval()
        # Plain numbers in a file, whatever the order that is fast here.
        self.network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        return self.task.readout(self.network(images.float() / 127.5 - 1))
