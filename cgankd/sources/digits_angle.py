"""The handwritten digits of scikit-learn, each turned counter-clockwise by one angle of [0, 90)
degrees, which is its label.
"""

import numpy as np

from cgankd.preset import Data
from cgankd.sources import digits
from cgankd.sources.embedded import files, recognises, three_channels
from cgankd.sources.embedded import quarter_turn as label
from cgankd.sources.source import RawData

__all__ = ["files", "label", "read", "recognises"]


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
    pixels = three_channels(np.stack(turned))
    rows = {"development": np.arange(len(images))}
    return RawData(pixels, angles, label(settings), rows, types)
