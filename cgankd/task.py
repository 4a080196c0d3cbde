"""What networks do with labels: everything in which classification and regression differ.

N images, K outputs. Outputs are logits (N, K) or values (N, 1); labels are int64 classes (N,) or
float32 (N,) scaled to [0, 1]. Errors per image and scores are in the unit that people read:
percent, or the label's own. A third kind of label is one more class here, and one in label.py.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from cgankd.errors import USAGE, UserError
from cgankd.label import ClassLabel, ContinuousLabel, Label, arguments, check_kind
from cgankd.losses import softened_kl

PARTS = 5  # of the range of a continuous label, in each of which its error is told


class Task:
    """What is learned of a label; what stands here is right for labels that are few numbers."""

    label: Label
    outputs: int  # of a network that answers
    num_classes: int  # values of a discrete label
    dtype: ClassVar[torch.dtype] = torch.int64
    error_unit: str  # of `errors`
    readout_name: ClassVar[str] = "labels"  # what a deployed network gives
    readout_span = 1.0  # by which differences of readouts are measured

    @property
    def metric(self) -> str:
        """The score that people read, an error: lower is better."""
        return self.label.metric

    @property
    def unit(self) -> str:
        """Of the score."""
        return self.label.score_unit

    def scale(self, labels: Tensor) -> Tensor:
        """Labels as sources give them -> labels as networks take them."""
        return labels

    def exact(self, labels: Tensor) -> Tensor:
        """Labels as networks take them -> float64 or int64, freed of rounding: equal are equal."""
        return labels

    def groups(self, labels: Tensor) -> Tensor:
        """The group (N,) of each label: images of one group have as good as one label."""
        return labels

    def grid(self, labels: int | list[float] | None) -> Tensor:
        """The labels to generate."""
        return torch.arange(self.num_classes)

    def name(self, label: float) -> str:
        """A label as people read it."""
        return self.label.classes[int(label)]

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """What a network is trained for."""
        raise NotImplementedError

    def match(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Distance to the teacher's outputs."""
        raise NotImplementedError

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The error (N,) of each image by which fakes are filtered, in `error_unit`."""
        raise NotImplementedError

    def clipped_errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The same where the teacher's labels are clipped to the range of the label."""
        return self.errors(outputs, labels)

    def misses(self, answers: Tensor, labels: Tensor, errors: Tensor) -> Tensor:
        """How far labels that are given (N,) are from those asked for, in the unit of the score;
        `errors` are those of the filter.
        """
        return errors

    def answer(self, outputs: Tensor) -> Tensor:
        """What a network says of each image (N,), as it is scored."""
        return self.relabel(outputs)

    def relabel(self, outputs: Tensor) -> Tensor:
        """The label (N,) that a fake is given for what the teacher says of it."""
        raise NotImplementedError

    def score(self, outputs: Tensor, labels: Tensor) -> float:
        """The metric, in the unit."""
        raise NotImplementedError

    def constant_score(self, train: Tensor, labels: Tensor) -> float:
        """The score on `labels` of the best constant answer of the training labels."""
        raise NotImplementedError

    # Of a network in use

    def readout(self, outputs: Tensor) -> Tensor:
        """What a deployed network gives of its outputs (N, K), for people and programs."""
        return self.answer(outputs)

    def outputs_of(self, readout: Tensor) -> Tensor:
        """Outputs (N, K) with this readout."""
        raise NotImplementedError

    def describe(self, outputs: Tensor, top: int) -> list[dict[str, Any]]:
        """What is told of each image; where there are several answers, the `top` best."""
        return [{"label": self.name(answer)} for answer in self.answer(outputs).tolist()]

    def scores(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The score (N,) of each image, float64, whose mean is the score."""
        raise NotImplementedError

    def breakdown(self, outputs: Tensor, labels: Tensor) -> dict[str, Any]:
        """The score by parts of the label, as plain values."""
        return {}


class Classification(Task):
    """A class label."""

    error_unit = "nats"
    readout_name = "probabilities"

    def __init__(self, classes: list[str]) -> None:
        self.label = ClassLabel(classes)
        self.outputs = self.num_classes = len(classes)

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy."""
        return F.cross_entropy(outputs, labels)

    def match(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """The softened KL (Hinton et al. 2015)."""
        return softened_kl(outputs, teacher, temperature)

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy in fp32, in nats."""
        return F.cross_entropy(outputs.float(), labels, reduction="none")

    def misses(self, answers: Tensor, labels: Tensor, errors: Tensor) -> Tensor:
        """100 for each that is wrong: their mean is a percentage."""
        return 100.0 * (answers != labels).double()

    def relabel(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(1)

    def score(self, outputs: Tensor, labels: Tensor) -> float:
        """Wrong answers in percent."""
        return 100.0 * (outputs.argmax(1) != labels).float().mean().item()

    def constant_score(self, train: Tensor, labels: Tensor) -> float:
        return 100.0 * (labels != train.mode().values).float().mean().item()

    def readout(self, outputs: Tensor) -> Tensor:
        """Probabilities (N, K)."""
        return outputs.float().softmax(1)

    def outputs_of(self, readout: Tensor) -> Tensor:
        """Their logarithms, in fp64: different probabilities stay different."""
        return readout.double().log()

    def describe(self, outputs: Tensor, top: int) -> list[dict[str, Any]]:
        """The label and its confidence, a probability; with `top` above 1 also `top`, as many of
        these in their order.
        """
        best = self.readout(outputs).topk(min(top, self.num_classes), 1)
        told = []
        for confidences, places in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            pairs = zip(places, confidences, strict=True)
            answers = [{"label": self.name(one), "confidence": sure} for one, sure in pairs]
            told.append({**answers[0], **({"top": answers} if top > 1 else {})})
        return told

    def scores(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return 100.0 * (outputs.argmax(1) != labels).double()

    def breakdown(self, outputs: Tensor, labels: Tensor) -> dict[str, Any]:
        """The error of each class in percent, None where it has no images, and the confusion
        matrix: how many images of the class of a row were given that of a column.
        """
        num = self.num_classes
        pairs = labels.cpu() * num + outputs.argmax(1).cpu()
        confusion = torch.bincount(pairs, minlength=num * num).view(num, num)
        of_class = confusion.sum(1).tolist()
        wrong = (confusion.sum(1) - confusion.diag()).tolist()
        rows = zip(self.label.classes, of_class, wrong, strict=True)
        return {
            "parts": [
                {"label": name, "images": images, "error": 100.0 * bad / images if images else None}
                for name, images, bad in rows
            ],
            "confusion": confusion.tolist(),
        }


class Regression(Task):
    """A continuous label: scaled by (y - min) / (max - min), and back where people read it."""

    dtype = torch.float32
    outputs, num_classes = 1, 0
    readout_name = "values"

    def __init__(self, min: float, max: float, unit: str, step: float | None = None) -> None:
        self.label = ContinuousLabel(min, max, unit, step)
        self.minimum, self.maximum, self.step = min, max, step
        self.error_unit = unit
        self.readout_span = max - min

    def scale(self, labels: Tensor) -> Tensor:
        """Labels in their unit -> labels in [0, 1]."""
        return (labels - self.minimum) / (self.maximum - self.minimum)

    def exact(self, labels: Tensor) -> Tensor:
        """Labels of a step become those of its multiples, whose gaps differ in float32."""
        if not self.step:
            return labels.double()
        span = self.maximum - self.minimum
        multiples = ((self.minimum + labels.double() * span) / self.step).round()
        return (multiples * self.step - self.minimum) / span

    def groups(self, labels: Tensor) -> Tensor:
        """All in one group: few images share a value."""
        return torch.zeros_like(labels, dtype=torch.int64)

    def grid(self, labels: int | list[float] | None) -> Tensor:
        """Increasing: those of a list, in its unit, or the middles of so many equal parts."""
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
        return f"{self.minimum + label * (self.maximum - self.minimum):.3g}"

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Squared error."""
        return F.mse_loss(outputs.squeeze(1), labels)

    def match(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """The squared error; a value has no temperature."""
        return F.mse_loss(outputs, teacher)

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Absolute, in the label's unit, of the outputs as they are, as published."""
        return (self.answer(outputs) - labels).abs() * (self.maximum - self.minimum)

    def clipped_errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Of the clipped label: an output of 66 for the label 60 of [0, 60] is no error."""
        return self.errors(self.relabel(outputs)[:, None], labels)

    def answer(self, outputs: Tensor) -> Tensor:
        return outputs.float().squeeze(1)

    def relabel(self, outputs: Tensor) -> Tensor:
        """Clamped to the label's range."""
        return self.answer(outputs).clamp(0, 1)

    def score(self, outputs: Tensor, labels: Tensor) -> float:
        """Mean absolute error in the label's unit."""
        return self.errors(outputs, labels).double().mean().item()

    def constant_score(self, train: Tensor, labels: Tensor) -> float:
        constant = train.median().expand(len(labels), 1)
        return self.score(constant, labels)

    def readout(self, outputs: Tensor) -> Tensor:
        """Values (N,) in the label's unit, as they are scored: not clipped to its range."""
        return self.minimum + self.answer(outputs) * self.readout_span

    def outputs_of(self, readout: Tensor) -> Tensor:
        return self.scale(readout.double())[:, None]

    def describe(self, outputs: Tensor, top: int) -> list[dict[str, Any]]:
        """The value and its unit."""
        values = self.label.unscaled(self.answer(outputs).cpu().numpy()).tolist()
        return [{"value": value, "unit": self.unit} for value in values]

    def scores(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return self.errors(outputs, labels).double()

    def breakdown(self, outputs: Tensor, labels: Tensor) -> dict[str, Any]:
        """The bias, the mean of answer - label, and the error in each fifth of the label's range,
        of which the outer ones take the labels beyond it too.
        """
        errors = self.scores(outputs, labels)
        part_of = (labels.double() * PARTS).long().clamp(0, PARTS - 1)
        edges = [self.minimum + part * self.readout_span / PARTS for part in range(PARTS + 1)]
        parts = []
        for part in range(PARTS):
            inside = errors[part_of == part]
            name = f"{edges[part]:.4g} to {edges[part + 1]:.4g}"
            mean = inside.mean().item() if len(inside) else None
            parts.append({"label": name, "images": len(inside), "error": mean})
        bias = (self.answer(outputs).double() - labels.double()).mean().item()
        return {"bias": bias * self.readout_span, "parts": parts}


TASKS: dict[str, type[Task]] = {"class": Classification, "continuous": Regression}


def make_task(facts: dict[str, Any]) -> Task:
    """The task of a label as a source or a record describes it."""
    return TASKS[check_kind(facts)](**arguments(facts))
