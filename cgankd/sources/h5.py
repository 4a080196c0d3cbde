"""HDF5 files: any layout that LAYOUTS names, with the splits and test images that it holds.

Images are uint8 (N, 3, H, W), or (N, 1, H, W) for grey, and labels (N,), of integers or, with
data.range, numbers. Indices, test arrays and types (N,), of integers, may be absent. `class_names`,
which `cgankd data prepare` writes, is a JSON list in uint8.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.runs.hdf5 import Reader
from cgankd.sources import advice, labels, pictures, places
from cgankd.sources.source import RawData

CLASS_NAMES = "class_names"
PART = 64 << 20  # bytes of images that are read at a time
SPARSE = 1000  # times as many bytes as are stored are no images, which do not compress so well
MIN_STORED = 64 << 10
MAX_NAMES = 16 << 20  # bytes of class names
KINDS = {  # by numpy's letters of kinds of values
    **dict.fromkeys("ui", "whole numbers"),
    **dict.fromkeys("SUO", "text"),
    "f": "fractions",
    "b": "truth values",
}
WORDS = {
    "ui": "whole numbers",
    "u": "whole numbers without sign",
    "uif": "numbers",
    "uifb": "numbers",
}
NUMBERED = (
    "store the numbers of the classes, numpy.unique(labels, return_inverse=True)[1], and their "
    f"names as numpy.frombuffer(json.dumps(names).encode(), 'uint8') in {CLASS_NAMES}"
)
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
    if "test" in raw.rows:
        places.check_no_test(settings, path)
    elif test:
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
        parts = [_part(file, layout.images, layout.labels, layout.types, size)]
        num = len(parts[0].images)
        rows = {
            part: _indices(file, name, num)
            for part in ("development", "train", "validation", "test")
            if (name := getattr(layout, part)) in known
        }
        if layout.test_images in known:
            parts.append(
                _part(file, layout.test_images, layout.test_labels, layout.test_types, size)
            )
            appended = np.arange(num, num + len(parts[1].images))
            rows["test"] = np.concatenate([rows.get("test", appended[:0]), appended])
        meaning = {"classes": _names(file)} if CLASS_NAMES in known else {}
    rows.setdefault("development", np.setdiff1d(np.arange(num), rows.get("test", [])))
    types = [part.types for part in parts if part.types is not None]
    return RawData(
        parts[0].images if len(parts) == 1 else np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        meaning,
        rows,
        np.concatenate(types).astype(np.int64) if len(types) == len(parts) else None,
    )


def read_labels(path: Path) -> tuple[np.ndarray, list[str] | None]:
    """The labels (N,) of one file, without those of test images of its own, and the names of
    classes that it gives.
    """
    with Reader(path) as file:
        layout = layout_of(file)
        values = _column(file, layout.labels, len(_pixels(file, layout.images)), "uif")
        return values, _names(file) if CLASS_NAMES in file.names() else None


def read_images(path: Path, size: int) -> np.ndarray:
    """The images of one file that need have no labels, (N, 3, size, size): the first array that a
    layout calls images.
    """
    with Reader(path) as file:
        known = file.names()
        name = next((one.images for one in LAYOUTS if one.images in known), None)
        if name is None:
            held = ", ".join(known[:8]) or "nothing"
            names = ", ".join(layout.images for layout in LAYOUTS)
            raise UserError(f"{path}: no images (found: {held})", DATA, f"known names are {names}")
        return _images(file, name, _pixels(file, name), size)


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


def _part(file: Reader, images: str, labels: str, types: str, size: int) -> RawData:
    """The arrays of one of a file's two sets of images."""
    data = _pixels(file, images)
    num = len(data)  # what belongs to them is looked at before they are read
    values = _column(file, labels, num, "uif")
    classes = _column(file, types, num, "ui") if types in file.names() else None
    return RawData(_images(file, images, data, size), values, {}, {}, classes)


def _pixels(file: Reader, name: str) -> Any:
    """The data set of images, checked for its shape, its type, and that it is stored."""
    where, data = f"{file.path}: {name}", _dataset(file, name, (4,), "uifb")
    num, *shape = data.shape
    if not num:
        raise UserError(f"{where} is empty", DATA)
    if shape[2] in (1, 3) and shape[0] not in (1, 3):
        raise UserError(
            f"{where} has shape {data.shape}, with the channels last",
            DATA,
            "store images.transpose(0, 3, 1, 2)",
        )
    if shape[0] not in (1, 3) or not min(shape):
        raise UserError(
            f"{where} has shape {data.shape}, expected (N, 3, S, S), or (N, 1, S, S) for grey", DATA
        )
    declared, stored = data.size * data.dtype.itemsize, data.id.get_storage_size()
    if declared > SPARSE * max(stored, MIN_STORED):
        raise UserError(
            f"{where} declares {declared:,} bytes of pixels, of which {stored:,} are stored",
            DATA,
            "write the images into the file",
        )
    if data.dtype != np.uint8:
        _refuse_pixels(file, name, data)
    return data


def _images(file: Reader, name: str, data: Any, size: int) -> np.ndarray:
    """The images of a data set; they are read and resized in parts, since they may be large."""
    where = f"{file.path}: {name}"
    images = np.empty((len(data), 3, size, size), np.uint8)
    lightest = 0
    for part in _parts(data):
        pixels = file.read(name, 4, "u", part)
        lightest = max(lightest, int(pixels.max()))
        images[part] = pictures.fit_all(pixels, size)
    if lightest <= 1:
        raise UserError(
            f"{where}: no pixel is above {lightest} of 255",
            DATA,
            "images in [0, 1] are stored as numpy.rint(255 * images).astype('uint8')",
        )
    pictures.tell_dull(images, "row {}".format, where)
    return images


def _parts(data: Any) -> Iterator[slice]:
    """The rows of a data set, so many at a time that they fit into PART bytes."""
    rows = max(1, PART // (data.size // len(data) * data.dtype.itemsize))
    for start in range(0, len(data), rows):
        yield slice(start, start + rows)


def _refuse_pixels(file: Reader, name: str, data: Any) -> None:
    """UserError that says how to store pixels that are no uint8, without losing any."""
    lows, highs = [], []
    for part in _parts(data):
        pixels = file.read(name, 4, "uifb", part)
        lows.append(float(pixels.min()))
        highs.append(float(pixels.max()))
    low, high = min(lows), max(highs)
    raise UserError(
        f"{file.path}: {name} is {data.dtype} in [{low:g}, {high:g}], expected uint8 in 0..255",
        DATA,
        f"store {advice.conversion(data.dtype, low, high)}",
    )


def _column(file: Reader, name: str, num: int, kinds: str) -> np.ndarray:
    """Values (num,), which may be stored as (num, 1)."""
    data = _dataset(file, name, (1, 2), kinds)
    if data.ndim == 2 and data.shape[1] != 1:
        raise UserError(
            f"{file.path}: {name} has shape {data.shape}, expected one value for each image",
            DATA,
            f"if each row marks the class in its column, store {name}.argmax(1)",
        )
    if len(data) != num:
        raise UserError(
            f"{file.path}: {num} images, but {len(data)} values in {name}",
            DATA,
            "make the file again",
        )
    return file.read(name, data.ndim, kinds).reshape(num)


def _dataset(file: Reader, name: str, dimensions: tuple[int, ...], kinds: str) -> Any:
    """A data set with one of these numbers of dimensions and one of numpy's kinds of values; else a
    UserError in words for people.
    """
    data = file.array(name)
    if data.ndim not in dimensions:
        raise UserError(
            f"{file.path}: {name} has shape {data.shape}, expected "
            f"{' or '.join(map(str, dimensions))} dimensions",
            DATA,
            "make the file again",
        )
    if data.dtype.kind not in kinds:
        raise UserError(
            f"{file.path}: {name} holds {KINDS.get(data.dtype.kind, data.dtype)}, expected "
            f"{WORDS[kinds]}",
            DATA,
            NUMBERED if data.dtype.kind in "SUO" and 1 in dimensions else "make the file again",
        )
    return data


def _indices(file: Reader, name: str, num: int) -> np.ndarray:
    data = _dataset(file, name, (1,), "ui")
    if len(data) > num:
        raise UserError(f"{file.path}: {name} names images twice", DATA, "make the file again")
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
    names = None
    if len(_dataset(file, CLASS_NAMES, (1,), "u")) <= MAX_NAMES:
        with suppress(ValueError, RecursionError):
            names = json.loads(file.read(CLASS_NAMES, 1, "u").tobytes())
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"{file.path}: {CLASS_NAMES} is no JSON list of names", DATA, "make the file again"
        )
    return names
