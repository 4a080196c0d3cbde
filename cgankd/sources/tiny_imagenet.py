"""Tiny-ImageNet: its official folder, or the published HDF5.

The folder has 100,000 training images of 200 classes, which are split, and 10,000 validation
images, which are the test here as in the published results. The published file leaves out the grey
ones; here they get three channels.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import folder, h5, places
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
    places.check_no_test(settings, path)
    return folder.decoded(path, *listing(path), settings)


def files(settings: Data) -> list[Path]:
    """What is read."""
    path = _place(settings)
    if path.is_file():
        return h5.files(settings)
    train, test = listing(path)
    return train.files() + test.files()


def label(settings: Data) -> dict[str, Any]:
    """What is known of the label before data are read: how many classes there are."""
    return {"kind": "class", "classes": [str(number) for number in range(NUM_CLASSES)]}


def recognises(path: Path) -> bool:
    """Whether a folder has the list of classes of the official one."""
    return (path / "wnids.txt").is_file()


def listing(path: Path) -> tuple[folder.Listing, folder.Listing]:
    """The training and the test files of each class."""
    return _train(path), folder.Listing(_test(path))


def _place(settings: Data) -> Path:
    path = places.images(settings)
    if path is None:
        raise UserError("tiny-imagenet: data.path is missing", DATA, FETCH)
    if not path.exists():
        raise UserError(f"tiny-imagenet: data.path = {settings.path} not found", DATA, FETCH)
    return path


def _train(path: Path) -> folder.Listing:
    """The files of each class of wnids.txt, sorted."""
    names = sorted(set(_lines(path / "wnids.txt")))
    if wrong := [name for name in names if not re.fullmatch(r"n\d+", name)]:
        raise UserError(f"{path / 'wnids.txt'}: {wrong[0]!r} is no name of a class", DATA, FETCH)
    train = folder.Listing({})
    for name in names:
        place = path / "train" / name / "images"
        images, left_out = places.images_in(place) if place.is_dir() else ([], Counter())
        if not images:
            raise UserError(f"{place} holds no images", DATA, FETCH)
        train.classes[name] = images
        train.left_out.update(left_out)
    return train


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
        file = places.inside(path / "val" / "images", name, f"{annotations}, line {number}")
        classes.setdefault(label, []).append(file)
    return dict(sorted(classes.items()))


def _lines(path: Path) -> list[str]:
    if not path.is_file():  # reading a pipe would wait for ever
        raise UserError(f"{path} is no regular file", DATA, FETCH)
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error})", DATA, FETCH) from error
