"""A folder of class folders of images: the classes are the names of the folders, sorted."""

from pathlib import Path

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import cache, pictures
from cgankd.sources.source import Found

EXPECTED = "expected a folder of class folders of images, such as flowers/rose/1.jpg"


def read(settings: Data) -> Found:
    """The images of data.path, and of data.test as test images."""
    path = _place(settings.path)
    classes = listing(path)
    found = decoded(path, classes, list(classes), settings)
    if settings.test is None:
        return found
    test = _place(settings.test)
    given = listing(test, least=1)
    if unknown := sorted(set(given) - set(classes)):
        raise UserError(
            f"data.test = {settings.test} has classes that data.path lacks: "
            f"{', '.join(unknown[:5])}",
            DATA,
        )
    return found.with_test(decoded(test, given, list(classes), settings))


def files(settings: Data) -> list[Path]:
    """What is read."""
    places = [_place(place) for place in (settings.path, settings.test) if place]
    return [
        file for place in places for images in listing(place, least=1).values() for file in images
    ]


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


def decoded(place: Path, files: dict[str, list[Path]], classes: list[str], settings: Data) -> Found:
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
    return Found(
        images, labels, {"kind": "class", "classes": classes}, {"pool": np.arange(len(labels))}
    )


def _place(place: str | None) -> Path:
    return Path(place or "").expanduser()
