"""Any source as one HDF5 in the published layout, with its splits and test images."""

import json
from pathlib import Path

import numpy as np

from cgankd.errors import IN_USE, UserError, storage_errors
from cgankd.preset import Data
from cgankd.runs import hdf5
from cgankd.sources import catalogue, h5
from cgankd.sources.source import Source
from cgankd.version import VERSION


def prepare(settings: Data, seed: int, path: Path) -> None:
    """Writes what `settings` name as a new file, which the source h5 reads as the same data."""
    with storage_errors(path):
        exists = path.exists()
    if exists:
        raise UserError(f"{path} exists", IN_USE, "name another file, or remove it first")
    source = catalogue.load(settings, seed)
    made: dict[str, str | int | float] = {
        "cgankd": VERSION,
        "data": settings.model_dump_json(exclude_none=True),
        "seed": seed,
        **{key: source.label[key] for key in ("min", "max", "unit", "step") if key in source.label},
    }
    hdf5.write(path, arrays(source), made)


def arrays(source: Source) -> dict[str, np.ndarray]:
    """The arrays of the file. Training and validation rows are kept apart there, also under the
    published protocol.
    """
    train, validation = (
        np.setdiff1d(source.rows["train"], source.rows["validation"]),
        source.rows["validation"],
    )
    used, test = np.union1d(train, validation), source.rows["test"]
    written = {
        "images_train": source.images[used],
        "labels_train": source.labels[used],
        "subtrain_indx": np.searchsorted(used, train),
        "subvalid_indx": np.searchsorted(used, validation),
        "images_test": source.images[test],
        "labels_test": source.labels[test],
    }
    if source.types is not None:
        written |= {"types_train": source.types[used], "types_test": source.types[test]}
    if "classes" in source.label:
        names = json.dumps(source.label["classes"]).encode()
        written[h5.CLASS_NAMES] = np.frombuffer(names, np.uint8)
    return written
