"""RC-49: 49 chairs, each rendered at every angle between 0 and 90 degrees in steps of a tenth.

The public file holds all of them. Training and validation images have an odd last digit; the test
is all others, so that half of its angles were never seen. The published files for 25, 15 and 5
images per angle come with such splits.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.runs.hdf5 import Reader
from cgankd.sources import h5, labels, places
from cgankd.sources.source import RawData

LABEL: dict[str, Any] = {
    "kind": "continuous",
    "min": 0.0,
    "max": 90.0,
    "unit": "degrees",
    "step": 0.1,
}
PUBLIC = "RC-49"  # how the name of the public file begins
NO_CHAIR = 6  # the type that the public files leave out
FETCH = (
    "expected the authors' RC-49_64x64.h5 (images uint8 (N, 3, 64, 64), labels (N,) in degrees, "
    "types (N,), "
    "indx_train), or their RC-49_64x64_25.h5 (images_odd, labels_odd, types_odd, the same with "
    "even, indx_odd_train, "
    "indx_odd_subtrain, indx_odd_subvalid, indx_odd_rest), as github.com/UBCDingXin/cGAN-KD says; "
    "put it there, or "
    "name it in data.path. `cgankd data prepare -p rc49-r25 --to FILE.h5` then writes the splits "
    "as one file, if you "
    "like one"
)


def read(settings: Data, seed: int) -> RawData:
    """The data set in data.path: the public file, a published one with splits, or one that cgankd
    made.
    """
    (path,) = places.given(settings)
    if not path.is_file():
        raise UserError(f"rc49: {path} not found", DATA, FETCH)
    if is_full(path):
        return of_angles(h5.read_file(path, settings.size), path)
    raw = h5.labelled(settings, number=LABEL)
    return replace(raw, types=_chairs(raw.types)) if _is_published(path) else raw


def files(settings: Data) -> list[Path]:
    """What is read."""
    return places.given(settings)


def label(settings: Data) -> dict[str, Any]:
    """What is known of the label before data are read."""
    return LABEL


def is_full(path: Path) -> bool:
    """Whether this HDF5 file has the layout of the public one, without splits."""
    with Reader(path) as file:
        names = set(file.names())
    return {"images", "labels"} <= names and not {
        "indx_subtrain",
        "indx_test",
        "images_test",
    } & names


def recognises(path: Path) -> bool:
    """Whether a file, of any kind, is the public one, by its name too, or a published one with
    splits.
    """
    if not path.is_file():
        return False
    try:
        return _is_published(path) or (is_full(path) and path.name.startswith(PUBLIC))
    except UserError:
        return False


def of_angles(raw: RawData, path: Path) -> RawData:
    """All images of the public file between 0 and 90 degrees; of odd ones what is left belongs to
    the test.
    """
    angles = labels.multiples(raw.labels, LABEL["step"], str(path))
    kept = np.flatnonzero((angles > LABEL["min"]) & (angles < LABEL["max"]))
    values, meaning = labels.checked(angles[kept], kept, str(path), number=LABEL)
    odd = np.rint(angles[kept] / LABEL["step"]) % 2 == 1
    rows = {"development": np.flatnonzero(odd), "test": np.flatnonzero(~odd)}
    types = None if raw.types is None else _chairs(raw.types[kept])
    return RawData(raw.images[kept], values, meaning, rows, types, left_is_test=True)


def _chairs(types: np.ndarray | None) -> np.ndarray | None:
    """The types 0..5 and 7..49 as 0..48; others as they are."""
    return types if types is None or (types == NO_CHAIR).any() else types - (types > NO_CHAIR)


def _is_published(path: Path) -> bool:
    with Reader(path) as file:
        return {"images_odd", "labels_odd"} <= set(file.names())
