"""What the label of a run is: the one place of the report that tells classes from numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Label:
    """A label as a record describes it."""

    facts: dict[str, Any]

    @property
    def is_continuous(self) -> bool:
        return bool(self.facts["kind"] == "continuous")

    @property
    def unit(self) -> str:
        """Of a continuous label."""
        return str(self.facts["unit"])

    def in_unit(self, values: np.ndarray) -> np.ndarray:
        """Values of a continuous label, scaled to [0, 1], as people read them."""
        low, high = self.facts["min"], self.facts["max"]
        return low + values * (high - low)
