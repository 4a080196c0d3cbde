"""The handwritten digits of scikit-learn, each turned counter-clockwise by one angle of [0, 90)
degrees, which is its label.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cgankd.preset import Data
from cgankd.sources import digits
from cgankd.sources.source import RawData


def read(settings: Data, seed: int) -> RawData:
    """The turned digits; their types are their classes."""
    from scipy.ndimage import rotate

    rng = np.random.default_rng([seed, 0xA9])
    images, types = digits.handwritten(settings.size)
    angles = rng.uniform(0, 90, len(images)).astype(np.float32)
    turned = [
        rotate(image, float(angle), reshape=False, order=1)
        for image, angle in zip(images, angles, strict=True)
    ]
    pixels = digits.three_channels(np.stack(turned))
    rows = {"development": np.arange(len(images))}
    return RawData(pixels, angles, label(settings), rows, types)


def files(settings: Data) -> list[Path]:
    """There are none."""
    return []


def label(settings: Data) -> dict[str, Any]:
    """What is known of the label before data are read."""
    return {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}


def recognises(path: Path) -> bool:
    """No file holds them."""
    return False
