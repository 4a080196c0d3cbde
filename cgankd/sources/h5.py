"""HDF5 files: any layout that LAYOUTS names, with the splits and test images that it holds.

Images are uint8 (N, 3, H, W), or (N, 1, H, W) for grey, and labels (N,), of integers or, with
data.range, numbers. Indices, test arrays and types (N,), of integers, may be absent. `class_names`,
which `cgankd data prepare` writes, is a JSON list in uint8.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.runs.hdf5 import Reader
from cgankd.sources import labels, pictures, places
from cgankd.sources.source import RawData

CLASS_NAMES = "class_names"
SAMPLE = 256  # images whose range a message is about
EXPECTED = "expected images_train, labels_train with images uint8 (N, 3, S, S)"
MAKE = "`cgankd data prepare --to FILE.h5` writes one from any source"


@dataclass(frozen=True)
class FileLayout:
    """The names of a file's arrays; the indices are rows of `images`."""

    images: str
    labels: str
    development: str = ""  # rows for training and validation; default: all that are not in `test`
    train: str = ""
    validation: str = ""
    test: str = ""
    test_images: str = ""
    test_labels: str = ""
    types: str = ""
    test_types: str = ""


LAYOUTS = (
    # the published CIFAR-10 files, and what `cgankd data prepare` writes
    FileLayout(
        "images_train",
        "labels_train",
        train="subtrain_indx",
        validation="subvalid_indx",
        test_images="images_test",
        test_labels="labels_test",
        types="types_train",
        test_types="types_test",
    ),
    # those of BigGAN, and the published Tiny-ImageNet
    FileLayout(
        "imgs",
        "labels",
        train="indx_subtrain",
        validation="indx_subvalid",
        test_images="imgs_val",
        test_labels="labels_val",
    ),
    # the published RC-49: angles with an odd last digit, some for training, and the others
    FileLayout(
        "images_odd",
        "labels_odd",
        "indx_odd_train",
        "indx_odd_subtrain",
        "indx_odd_subvalid",
        "indx_odd_rest",
        "images_even",
        "labels_even",
        "types_odd",
        "types_even",
    ),
    # the published UTKFace, and plain files
    FileLayout(
        "images",
        "labels",
        "indx_train",
        "indx_subtrain",
        "indx_subvalid",
        "indx_test",
        "images_test",
        "labels_test",
        "types",
        "types_test",
    ),
    # fake data sets
    FileLayout("fake_images", "fake_labels"),
)


def read(settings: Data, seed: int) -> RawData:
    """The images of data.path, with those of data.test where it has no test images."""
    return labelled(settings, number=label(settings))


def files(settings: Data) -> list[Path]:
    """What is read."""
    return places.given(settings)


def label(settings: Data) -> dict[str, Any] | None:
    """What is known of the label before data are read."""
    return labels.asked(settings)


def recognises(path: Path) -> bool:
    """Whether it is a file."""
    return path.is_file()


def labelled(
    settings: Data, *, names: list[str] | None = None, number: dict[str, Any] | None = None
) -> RawData:
    """The images of data.path, with those of data.test where it has no test images.

    `names` are of the classes, `number` are the facts of a continuous label, where the source knows
    them.
    """
    path, *test = places.given(settings)
    if not path.is_file():
        raise UserError(
            f"data.path = {settings.path} not found",
            DATA,
            f"{EXPECTED}, or another known layout; {MAKE}",
        )
    raw = read_file(path, settings.size)
    where = str(path)
    if test and "test" not in raw.rows:
        if not test[0].is_file():
            raise UserError(f"data.test = {settings.test} not found", DATA, EXPECTED)
        raw = raw.with_test(read_file(test[0], settings.size))
        where = f"{path} and {test[0]}"
    values, meaning = labels.checked(
        raw.labels,
        raw.rows["development"],
        where,
        names=names or raw.label.get("classes"),
        number=number,
    )
    return replace(raw, labels=values, label=meaning)


def read_file(path: Path, size: int) -> RawData:
    """One file, its labels as it holds them; UserError when its layout is unknown, or is not kept
    by its arrays.
    """
    with Reader(path) as file:
        known = file.names()
        layout = layout_of(file)
        images = [_images(file, layout.images, size)]
        values = [_column(file, layout.labels, len(images[0]), "uif")]
        types = [_column(file, layout.types, len(images[0]), "ui")] if layout.types in known else []
        rows = {
            part: _indices(file, name, len(images[0]))
            for part in ("development", "train", "validation", "test")
            if (name := getattr(layout, part)) in known
        }
        if layout.test_images in known:
            images.append(_images(file, layout.test_images, size))
            values.append(_column(file, layout.test_labels, len(images[1]), "uif"))
            if types and layout.test_types in known:
                types.append(_column(file, layout.test_types, len(images[1]), "ui"))
            appended = np.arange(len(images[0]), len(images[0]) + len(images[1]))
            rows["test"] = np.concatenate([rows.get("test", appended[:0]), appended])
        meaning = {"classes": _names(file)} if CLASS_NAMES in known else {}
    every = np.arange(len(images[0]))
    rows.setdefault("development", np.setdiff1d(every, rows.get("test", [])))
    joined = images[0] if len(images) == 1 else np.concatenate(images)
    known_types = np.concatenate(types).astype(np.int64) if len(types) == len(images) else None
    return RawData(joined, np.concatenate(values), meaning, rows, known_types)


def layout_of(file: Reader) -> FileLayout:
    """The layout of a file by the names of its arrays."""
    known = file.names()
    for layout in LAYOUTS:
        if layout.images in known and layout.labels in known:
            return layout
    pairs = "; ".join(f"{layout.images}, {layout.labels}" for layout in LAYOUTS)
    held = ", ".join(known[:8]) or "nothing"
    raise UserError(
        f"{file.path}: no images with labels (found: {held})",
        DATA,
        f"known names are {pairs}; {MAKE}",
    )


def _images(file: Reader, name: str, size: int) -> np.ndarray:
    where, data = f"{file.path}: {name}", file.dataset(name, 4, "uif")
    num, *shape = data.shape
    if not num:
        raise UserError(f"{where} is empty", DATA)
    if shape[2] in (1, 3) and shape[0] not in (1, 3):
        raise UserError(
            f"{where} has shape {data.shape}, with the channels last",
            DATA,
            "store images.transpose(0, 3, 1, 2)",
        )
    if shape[0] not in (1, 3):
        raise UserError(
            f"{where} has shape {data.shape}, expected (N, 3, S, S), or (N, 1, S, S) for grey", DATA
        )
    if data.dtype != np.uint8:
        _refuse_pixels(where, file.read(name, 4, "uif", slice(SAMPLE)))
    images = file.read(name, 4, "u")
    if images.max() <= 1:
        raise UserError(
            f"{where}: no pixel is above {images.max()} of 255",
            DATA,
            "images in [0, 1] are stored as numpy.rint(255 * images).astype('uint8')",
        )
    return pictures.fit_all(images, size)


def _refuse_pixels(where: str, sample: np.ndarray) -> None:
    """UserError that says how to store pixels that are no uint8."""
    low, high = sample.min(), sample.max()
    if sample.dtype.kind != "f" or (low >= 0 and high > 1):
        convert = "images"
    elif low >= 0:
        convert = "255 * images"
    else:
        convert = "127.5 * (images + 1)"
    raise UserError(
        f"{where} is {sample.dtype} in [{low:g}, {high:g}], expected uint8 in 0..255",
        DATA,
        f"store numpy.rint({convert}).clip(0, 255).astype('uint8')",
    )


def _column(file: Reader, name: str, num: int, kinds: str) -> np.ndarray:
    values = file.read(name, 1, kinds)
    if len(values) != num:
        raise UserError(
            f"{file.path}: {num} images, but {len(values)} values in {name}",
            DATA,
            "make the file again",
        )
    return values


def _indices(file: Reader, name: str, num: int) -> np.ndarray:
    rows = file.read(name, 1, "ui").astype(np.int64)
    if len(rows) and not (0 <= rows.min() and rows.max() < num):
        raise UserError(
            f"{file.path}: {name} holds {rows.min()}..{rows.max()}, but there are {num} images, "
            "counted from 0",
            DATA,
        )
    if len(np.unique(rows)) < len(rows):
        raise UserError(f"{file.path}: {name} names images twice", DATA, "make the file again")
    return rows


def _names(file: Reader) -> list[str]:
    try:
        names = json.loads(file.read(CLASS_NAMES, 1, "u").tobytes())
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"{file.path}: {CLASS_NAMES} is no JSON list of names", DATA, "make the file again"
        )
    return names
