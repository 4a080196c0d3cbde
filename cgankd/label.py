"""What labels are, without torch: their range, their unit, and how files write them.

A source describes its label as JSON facts, and records keep them; `make_label` reads them. A kind
of label is a class here and one in task.py, which says what networks do with such labels. Nothing
outside these two files asks which kind a label is.
"""

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # presets are checked before anything heavy is imported
    import numpy as np


class Label:
    """One kind of label. What holds for all labels of a kind is known before any data are read."""

    kind: ClassVar[str]
    noun: ClassVar[str]  # for messages
    discrete: ClassVar[bool]
    """Of few values, each with its own number: GANs take that number, and fakes are drawn evenly
    of each. Other labels are embedded, and compared within windows of their range."""
    distribution: ClassVar[bool]
    """Networks answer with the logits of a distribution over all values."""

    dtype: ClassVar[str]  # of labels as networks take them
    metric: ClassVar[str]  # what networks are scored by, an error: lower is better
    score_unit: str  # of the metric
    low: float  # the smallest and the largest label as files write them
    high: float
    unit: str = ""
    classes: tuple[str, ...] = ()  # names of the values, where they have any

    def scaled(self, values: "np.ndarray") -> "np.ndarray":
        """Labels (N,) as files write them -> as networks take them; ValueError naming the first
        that is none.
        """
        values = values.astype("float64")
        wrong = ~((values >= self.low) & (values <= self.high)) | self._impossible(values)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"row {row} is {values[row]:g}, expected {self.plural} from {self.low:g} to "
                f"{self.high:g}"
            )
        return self._scale(values).astype(self.dtype)

    def unscaled(self, labels: "np.ndarray") -> "np.ndarray":
        """Labels (N,) as networks take them -> float64 as files write them."""
        return labels.astype("float64")

    @property
    def plural(self) -> str:
        """What several of them are called, with their unit."""
        return "classes"

    def _impossible(self, values: "np.ndarray") -> "np.ndarray | bool":
        """Which values (N,) within the range are no labels."""
        return False

    def _scale(self, values: "np.ndarray") -> "np.ndarray":
        return values


class ClassLabel(Label):
    """One of several classes: int64 from 0."""

    kind, noun = "class", "a class label"
    discrete, distribution = True, True
    dtype = "int64"
    metric, score_unit = "error", "%"

    def __init__(self, classes: list[str]) -> None:
        if not classes:
            raise ValueError("classes is empty")
        self.classes = tuple(classes)
        self.low, self.high = 0, len(classes) - 1

    def _impossible(self, values: "np.ndarray") -> "np.ndarray | bool":
        return values != values.round()


class ContinuousLabel(Label):
    """A number of a range, float32 scaled to [0, 1] for networks; with a step, one of its
    multiples.
    """

    kind, noun = "continuous", "a continuous label"
    discrete, distribution = False, False
    dtype = "float32"
    metric = "MAE"

    def __init__(self, min: float, max: float, unit: str, step: float | None = None) -> None:
        if not min < max:
            raise ValueError(f"min is {min:g} and max {max:g}, expected min below max")
        self.low, self.high, self.step = min, max, step
        self.unit = self.score_unit = unit

    @property
    def plural(self) -> str:
        return f"labels in {self.unit}"

    def unscaled(self, labels: "np.ndarray") -> "np.ndarray":
        return self.low + labels.astype("float64") * (self.high - self.low)

    def _scale(self, values: "np.ndarray") -> "np.ndarray":
        return (values - self.low) / (self.high - self.low)


KINDS: dict[str, type[Label]] = {label.kind: label for label in (ClassLabel, ContinuousLabel)}


def make_label(facts: dict[str, Any]) -> Label:
    """The label that a source or a record describes."""
    return KINDS[check_kind(facts)](**arguments(facts))


def check_kind(facts: dict[str, Any]) -> str:
    """The kind of a label; ValueError where it is unknown."""
    if facts["kind"] not in KINDS:
        raise ValueError(f"unknown kind of label: {facts['kind']} (known: {', '.join(KINDS)})")
    return str(facts["kind"])


def arguments(facts: dict[str, Any]) -> dict[str, Any]:
    """What label and task of a kind are made from."""
    return {key: value for key, value in facts.items() if key != "kind"}
