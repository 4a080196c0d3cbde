"""Classification and regression: everything in which they differ.

N images, K classes. Outputs are logits (N, K) or values (N, 1); labels are int64 classes (N,) or
float32 (N,) scaled to [0, 1]. Errors per image and scores are in the unit that people read:
percent, or the label's own.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cgankd.errors import USAGE, UserError
from cgankd.losses import softened_kl


class Classification:
    """A class label."""

    condition = "index"
    features = "cnn"
    metric, unit = "error", "%"
    dtype = torch.int64

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes
        self.outputs = len(classes)

    def scale(self, labels: Tensor) -> Tensor:
        """Labels as sources give them -> labels as networks take them."""
        return labels

    def exact(self, labels: Tensor) -> Tensor:
        """Classes have no rounding to be freed of."""
        return labels

    def groups(self, labels: Tensor) -> Tensor:
        """The group (N,) of each label: images of one group have as good as one label."""
        return labels

    def grid(self, labels: int | list[float] | None) -> Tensor:
        """The labels to generate."""
        return torch.arange(self.outputs)

    def name(self, label: float) -> str:
        """A label as people read it."""
        return self.classes[int(label)]

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy."""
        return F.cross_entropy(outputs, labels)

    def match(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Distance to the teacher's outputs: the softened KL (Hinton et al. 2015)."""
        return softened_kl(outputs, teacher, temperature)

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The error of each image by which fakes are filtered: its cross entropy, in fp32, in
        nats.
        """
        return F.cross_entropy(outputs.float(), labels, reduction="none")

    def relabel(self, outputs: Tensor) -> Tensor:
        """The teacher's label of each image."""
        return outputs.argmax(1)

    def score(self, outputs: Tensor, labels: Tensor) -> float:
        """Wrong answers in percent."""
        return 100.0 * (outputs.argmax(1) != labels).float().mean().item()

    def constant_score(self, train: Tensor, labels: Tensor) -> float:
        """The score on `labels` of the best constant answer of the training labels."""
        return 100.0 * (labels != train.mode().values).float().mean().item()


class Regression:
    """A continuous label: scaled by (y - min) / (max - min), and back where people read it."""

    condition = "embedding"
    features = "autoencoder"
    metric = "MAE"
    dtype = torch.float32
    outputs = 1

    def __init__(
        self, minimum: float, maximum: float, unit: str, step: float | None = None
    ) -> None:
        self.minimum, self.maximum, self.unit, self.step = minimum, maximum, unit, step

    def scale(self, labels: Tensor) -> Tensor:
        """Labels in their unit -> labels in [0, 1]."""
        return (labels - self.minimum) / (self.maximum - self.minimum)

    def exact(self, labels: Tensor) -> Tensor:
        """Scaled labels (N,) -> float64, those of a step as of its multiples, whose gaps differ in
        float32.
        """
        if not self.step:
            return labels.double()
        span = self.maximum - self.minimum
        return (
            ((self.minimum + labels.double() * span) / self.step).round() * self.step - self.minimum
        ) / span

    def groups(self, labels: Tensor) -> Tensor:
        """All in one group: few images share a value."""
        return torch.zeros_like(labels, dtype=torch.int64)

    def grid(self, labels: int | list[float] | None) -> Tensor:
        """The labels to generate, increasing: those of a list, in its unit, or the middles of so
        many equal parts.
        """
        assert labels, "a continuous label needs labels to generate, or their number"
        if isinstance(labels, int):
            return (torch.arange(labels) + 0.5) / labels
        scaled = self.scale(torch.tensor(sorted(labels), dtype=torch.float64)).float()
        if (same := (scaled.diff() <= 0).nonzero()).numel():
            raise UserError(
                f"generate.labels: two are {self.name(scaled[same[0]].item())} to float32",
                USAGE,
                "leave one of them out, or widen the step",
            )
        return scaled

    def name(self, label: float) -> str:
        """A label as people read it."""
        return f"{self.minimum + label * (self.maximum - self.minimum):.3g}"

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Squared error."""
        return F.mse_loss(outputs.squeeze(1), labels)

    def match(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Distance to the teacher's outputs: the squared error; a value has no temperature."""
        return F.mse_loss(outputs, teacher)

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The error of each image by which fakes are filtered: absolute, in the label's unit,
        output clamped.
        """
        return (self.relabel(outputs) - labels).abs() * (self.maximum - self.minimum)

    def relabel(self, outputs: Tensor) -> Tensor:
        """The teacher's label of each image, clamped to the label's range."""
        return outputs.float().squeeze(1).clamp(0, 1)

    def score(self, outputs: Tensor, labels: Tensor) -> float:
        """Mean absolute error in the label's unit."""
        return self.errors(outputs, labels).double().mean().item()

    def constant_score(self, train: Tensor, labels: Tensor) -> float:
        """The score on `labels` of the best constant answer of the training labels."""
        constant = train.median().expand(len(labels), 1)
        return self.score(constant, labels)


Task = Classification | Regression


def make_task(label: dict[str, Any]) -> Task:
    """The task of a label as a source or a record describes it."""
    match label["kind"]:
        case "class":
            return Classification(label["classes"])
        case "continuous":
            return Regression(label["min"], label["max"], label["unit"], label.get("step"))
        case kind:
            raise ValueError(f"unknown kind of label: {kind}")
