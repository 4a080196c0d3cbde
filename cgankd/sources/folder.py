"""A folder of class folders of images: the classes are the names of the folders, sorted."""

from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import cache, pictures, places
from cgankd.sources.source import RawData

EXPECTED = "expected a folder of class folders of images, such as flowers/rose/1.jpg"


def read(settings: Data, seed: int) -> RawData:
    """The images of data.path, and of data.test as test images."""
    path, *test = places.given(settings)
    classes = listing(path)
    raw = decoded(path, classes, list(classes), settings)
    if not test:
        return raw
    tested = listing(test[0], least=1)
    if unknown := sorted(set(tested) - set(classes)):
        raise UserError(
            f"data.test = {settings.test} has classes that data.path lacks: "
            f"{', '.join(unknown[:5])}",
            DATA,
        )
    return raw.with_test(decoded(test[0], tested, list(classes), settings))


def files(settings: Data) -> list[Path]:
    """What is read."""
    read_files = []
    for place in places.given(settings):
        for images in listing(place, least=1).values():
            read_files += images
    return read_files


def label(settings: Data) -> dict[str, Any] | None:
    """Nothing is known of the label before data are read."""
    return None


def recognises(path: Path) -> bool:
    """Whether it is a folder."""
    return path.is_dir()


def listing(path: Path, least: int = 2) -> dict[str, list[Path]]:
    """The image files of each class; UserError when there are fewer than `least` classes, or one
    has no images.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder", DATA, EXPECTED)
    folders = sorted(inner for inner in path.iterdir() if inner.is_dir() and inner.name[0] != ".")
    classes = {folder.name: pictures.images_in(folder) for folder in folders}
    if len(classes) < least:
        raise UserError(
            f"{path} holds {len(classes)} folders, but a class is a folder", DATA, EXPECTED
        )
    empty = [folder for folder in folders if not classes[folder.name]]
    if empty and any(inner.is_dir() for inner in empty[0].iterdir()):
        raise UserError(
            f"{empty[0]} holds folders in the place of images",
            DATA,
            f"is data.path = {empty[0]} meant, and data.test another of them? {EXPECTED}",
        )
    if empty:
        raise UserError(
            f"{len(empty)} class folders have no images: {', '.join(map(str, empty[:3]))}",
            DATA,
            f"remove them, or add images ({' '.join(sorted(pictures.SUFFIXES))})",
        )
    return classes


def decoded(
    place: Path, files: dict[str, list[Path]], classes: list[str], settings: Data
) -> RawData:
    """The images of files by class; the labels are the places of their classes in `classes`."""
    paths = [path for images in files.values() for path in images]
    labels = np.repeat(
        [classes.index(name) for name in files], [len(images) for images in files.values()]
    )
    images, kept = cache.decoded(place, paths, settings)
    labels = labels[kept].astype(np.int64)
    if lost := set(files) - {classes[label] for label in np.unique(labels)}:
        raise UserError(
            f"{place}: no image of the classes {', '.join(sorted(lost)[:5])} can be read", DATA
        )
    return RawData(
        images,
        labels,
        {"kind": "class", "classes": classes},
        {"development": np.arange(len(labels))},
    )
