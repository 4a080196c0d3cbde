"""A folder of class folders of images: the classes are the names of the folders, sorted."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import cache, places
from cgankd.sources.source import RawData

EXPECTED = "expected a folder of class folders of images, such as flowers/rose/1.jpg"


@dataclass(frozen=True)
class Listing:
    """The image files of each class, and how many others are left out for which reason."""

    classes: dict[str, list[Path]]
    left_out: Counter[str] = field(default_factory=Counter)

    def files(self) -> list[Path]:
        """All images, class by class."""
        return [file for images in self.classes.values() for file in images]


def read(settings: Data, seed: int) -> RawData:
    """The images of data.path, and of data.test as test images."""
    path, *test = places.given(settings)
    train = listing(path)
    if not test:
        return decoded(path, train, None, settings)
    tested = listing(test[0], least=1)
    if unknown := sorted(set(tested.classes) - set(train.classes)):
        raise UserError(
            f"data.test = {settings.test} has classes that data.path lacks: "
            f"{', '.join(unknown[:5])}",
            DATA,
        )
    return decoded(path, train, tested, settings)


def files(settings: Data) -> list[Path]:
    """What is read."""
    return [file for place in places.given(settings) for file in listing(place, least=1).files()]


def label(settings: Data) -> dict[str, Any] | None:
    """Nothing is known of the label before data are read."""
    return None


def recognises(path: Path) -> bool:
    """Whether it is a folder."""
    return path.is_dir()


def listing(path: Path, least: int = 2) -> Listing:
    """The image files of each class; UserError when there are fewer than `least` classes, or one
    has no images.
    """
    if not path.is_dir():
        raise UserError(f"{places.shown(str(path))} is no folder", DATA, EXPECTED)
    folders = []
    left_out: Counter[str] = Counter()
    for inner in sorted(path.iterdir()):
        if inner.is_dir() and inner.name[0] != ".":
            folders.append(inner)
        elif inner.suffix.lower() in places.SUFFIXES:
            left_out["outside of the class folders"] += 1
    if len(folders) < least:
        raise UserError(
            f"{path} holds {len(folders)} folders, but a class is a folder", DATA, EXPECTED
        )
    classes: dict[str, list[Path]] = {}
    for folder in folders:
        classes[folder.name], others = places.images_in(folder)
        if not classes[folder.name]:
            raise _empty(folder, others)
        left_out += others
    return Listing(classes, left_out)


def _empty(folder: Path, others: Counter[str]) -> UserError:
    """What is wrong with a class folder without images."""
    place = places.shown(str(folder))
    if others["in inner folders"]:
        return UserError(
            f"{place} holds folders in the place of images",
            DATA,
            f"is data.path = {place} meant, and data.test another of them? {EXPECTED}",
        )
    held = ", ".join(f"{num} {what}" for what, num in others.items() if num) or "nothing"
    return UserError(
        f"the class folder {place} has no images (found: {held})",
        DATA,
        f"remove it, or add images ({' '.join(sorted(places.SUFFIXES))})",
    )


def decoded(place: Path, train: Listing, test: Listing | None, settings: Data) -> RawData:
    """The images of a listing, and of another as test images; the labels are the places of their
    classes in that of `train`.
    """
    names = list(train.classes)
    paths, labels, tested = [], [], []
    for part, is_test in ((train, False), (test, True)):
        for name, images in part.classes.items() if part else ():
            paths += images
            labels += [names.index(name)] * len(images)
            tested += [is_test] * len(images)
    pixels, kept = cache.decoded(place, paths, settings)
    classes, is_tested = np.array(labels, np.int64)[kept], np.array(tested)[kept]
    rows = {"development": np.flatnonzero(~is_tested)}
    if test:
        rows["test"] = np.flatnonzero(is_tested)
    present = np.unique(classes[rows["development"]])
    if lost := [names[index] for index in np.setdiff1d(np.arange(len(names)), present)]:
        raise UserError(f"{place}: no image of the classes {', '.join(lost[:5])} can be read", DATA)
    left_out = train.left_out + (test.left_out if test else Counter())
    meaning = {"kind": "class", "classes": names}
    return RawData(pixels, classes, meaning, rows, left_out=dict(left_out))
