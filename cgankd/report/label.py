"""What the label of a run is: the one place of the report that tells classes from numbers."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Label:
    """A label as records describe it: its classes, or the range and the unit of its numbers."""

    kind: Literal["class", "continuous"]
    classes: list[str] = field(default_factory=list)
    min: float = 0.0
    max: float = 0.0
    unit: str = ""

    def __post_init__(self) -> None:
        if self.is_continuous and not self.min < self.max:
            raise ValueError(f"min is {self.min:g} and max {self.max:g}, expected min below max")
        if not self.is_continuous and not self.classes:
            raise ValueError("classes is missing")

    @property
    def is_continuous(self) -> bool:
        return self.kind == "continuous"

    @property
    def score(self) -> tuple[str, str]:
        """What students are scored by, and its unit; once there are any their records say it."""
        return ("MAE", self.unit) if self.is_continuous else ("error", "%")

    def in_unit(self, values: np.ndarray) -> np.ndarray:
        """Values of a continuous label, scaled to [0, 1], as people read them."""
        return self.min + values * (self.max - self.min)
