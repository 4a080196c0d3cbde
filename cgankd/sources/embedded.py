"""What sources without files have in common: a library carries their images, or they are drawn."""

from pathlib import Path
from typing import Any

import numpy as np

from cgankd.preset import Data


def files(settings: Data) -> list[Path]:
    """There are none."""
    return []


def recognises(path: Path) -> bool:
    """No file holds them."""
    return False


def quarter_turn(settings: Data) -> dict[str, Any]:
    """The label of what is turned by an angle of [0, 90) degrees."""
    return {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}


def three_channels(images: np.ndarray) -> np.ndarray:
    """Grey images (N, S, S) in [0, 1] as uint8 (N, 3, S, S)."""
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(pixels[:, None], 3, axis=1))
