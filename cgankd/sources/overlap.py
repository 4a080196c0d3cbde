"""Images to test on that are images to train on: found by their pixels, whatever their names are.

Copies make a test measure what a network remembers. A few may be an accident of collecting; more
are a mistake, such as data.test = data.path.
"""

from hashlib import blake2b

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import notes
from cgankd.sources.source import Source

FEW = 0.05  # of the test images


def check(source: Source, settings: Data) -> None:
    """UserError where more than a few test images are training or validation images too, and a
    warning where some are.
    """
    test = source.rows["test"]
    used = np.union1d(source.rows["train"], source.rows["validation"])
    copies = twins(source.images, test, used)
    if not copies:
        return
    text = (
        f"{settings.path or settings.source}: {len(copies)} of {len(test)} test images are images "
        "to train on or to validate with too, pixel for pixel"
    )
    if len(copies) > FEW * len(test) and not settings.allow_overlap:
        raise UserError(
            text,
            DATA,
            "name other images in data.test, drop the copies, or let it pass with "
            "data.allow_overlap = true",
        )
    notes.warn(text)


def twins(images: np.ndarray, rows: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """The rows whose pixels are those of one of the others, each with that one.

    Images of a single colour are left out: that they are equal does not make them copies.
    """
    known = {_mark(images[other]): other for other in others.tolist()}
    copies = []
    for row in rows.tolist():
        other = known.get(_mark(images[row]))
        if other is not None and _has_a_shape(images[row]):
            copies.append((row, other))
    return copies


def _mark(image: np.ndarray) -> bytes:
    return blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _has_a_shape(image: np.ndarray) -> bool:
    return bool((image != image[:, :1, :1]).any())
