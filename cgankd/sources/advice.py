"""How to store pixels of another type as uint8, for messages."""

import numpy as np

DIM = 15  # fractions up to here are rather some other scale than 0..255


def conversion(dtype: np.dtype, low: float, high: float) -> str:
    """The numpy expression that brings pixels into 0..255: one for all of them, so that they keep
    their differences, and none is cut off.
    """
    if not np.isfinite([low, high]).all():
        return "images without nan and infinity"
    if 0 <= low and high <= 1:
        return "numpy.rint(255 * images).astype('uint8')"
    if dtype.kind == "f" and -1 <= low and high <= 1:
        return "numpy.rint(127.5 * (images + 1)).astype('uint8')"
    if 0 <= low and (DIM if dtype.kind == "f" else 1) < high <= 255:
        return "numpy.rint(images).astype('uint8')"
    if dtype == np.int8:
        return "(images.astype('int16') + 128).astype('uint8')"
    if low >= 0 and dtype.kind != "f":
        white = 2 ** max(8, int(high).bit_length()) - 1  # of a camera of 10, 12, 14 or 16 bits
        return f"numpy.rint(images * (255 / {white})).astype('uint8')"
    return f"numpy.rint((images - {low!r}) * (255 / {high - low or 1.0!r})).astype('uint8')"
