"""Tiny-ImageNet: its official folder, or the published HDF5.

The folder has 100,000 training images of 200 classes, which are split, and 10,000 validation
images, which are the test here as in the published results. The published file leaves out the grey
ones; here they get three channels.
"""

import re
from pathlib import Path
from typing import Any

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import folder, h5, pictures, places
from cgankd.sources.source import RawData

NUM_CLASSES = 200
FETCH = (
    "unpack http://cs231n.stanford.edu/tiny-imagenet-200.zip and name its folder (wnids.txt, "
    "train/, val/), "
    "or a published tiny-imagenet-200.h5 (imgs, labels, imgs_val, labels_val), in data.path"
)


def read(settings: Data, seed: int) -> RawData:
    """The data set in data.path."""
    path = _place(settings)
    if path.is_file():
        return h5.labelled(settings)
    train, test = listing(path)
    classes = list(train)
    raw = folder.decoded(path / "train", train, classes, settings)
    return raw.with_test(folder.decoded(path / "val", test, classes, settings))


def files(settings: Data) -> list[Path]:
    """What is read."""
    path = _place(settings)
    if path.is_file():
        return h5.files(settings)
    return [file for part in listing(path) for images in part.values() for file in images]


def label(settings: Data) -> dict[str, Any]:
    """What is known of the label before data are read: how many classes there are."""
    return {"kind": "class", "classes": [str(number) for number in range(NUM_CLASSES)]}


def recognises(path: Path) -> bool:
    """Whether a folder has the list of classes of the official one."""
    return (path / "wnids.txt").is_file()


def listing(path: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """The training and the test files of each class."""
    return _train(path), _test(path)


def _place(settings: Data) -> Path:
    path = places.images(settings)
    if path is None:
        raise UserError("tiny-imagenet: data.path is missing", DATA, FETCH)
    if not path.exists():
        raise UserError(f"tiny-imagenet: data.path = {settings.path} not found", DATA, FETCH)
    return path


def _train(path: Path) -> dict[str, list[Path]]:
    """The files of each class of wnids.txt, sorted."""
    names = sorted(set(_lines(path / "wnids.txt")))
    if wrong := [name for name in names if not re.fullmatch(r"n\d+", name)]:
        raise UserError(f"{path / 'wnids.txt'}: {wrong[0]!r} is no name of a class", DATA, FETCH)
    folders = {name: path / "train" / name / "images" for name in names}
    classes = {
        name: pictures.images_in(place) if place.is_dir() else [] for name, place in folders.items()
    }
    if empty := [name for name in names if not classes[name]]:
        raise UserError(f"{folders[empty[0]]} holds no images", DATA, FETCH)
    return classes


def _test(path: Path) -> dict[str, list[Path]]:
    """The files of each class of val_annotations.txt, whose lines are a file, its class, and a
    box.
    """
    classes: dict[str, list[Path]] = {}
    annotations, known = path / "val" / "val_annotations.txt", set(_lines(path / "wnids.txt"))
    for number, line in enumerate(_lines(annotations), 1):
        name, _, label = line.partition("\t")
        label = label.split("\t")[0]
        if label not in known:
            raise UserError(
                f"{annotations}, line {number}: {label!r} is no class of wnids.txt", DATA, FETCH
            )
        file = pictures.inside(path / "val" / "images", name, f"{annotations}, line {number}")
        classes.setdefault(label, []).append(file)
    return dict(sorted(classes.items()))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error})", DATA, FETCH) from error
