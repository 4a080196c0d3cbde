"""The sources by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.preset import Data
from cgankd.sources import (
    cifar10,
    csv_file,
    digits,
    folder,
    h5,
    labels,
    rc49,
    splits,
    tiny_imagenet,
    utkface,
)
from cgankd.sources.source import Source

READERS = {
    "cifar10": cifar10,
    "tiny-imagenet": tiny_imagenet,
    "rc49": rc49,
    "utkface": utkface,
    "h5": h5,
    "folder": folder,
    "csv": csv_file,
}
DIGITS = {"digits": digits.digits, "digits-angle": digits.digits_angle}


def load(settings: Data, seed: int) -> Source:
    """The images of `settings`, split by `seed`; UserError when they do not suffice."""
    if settings.source in READERS:
        source = splits.split(READERS[settings.source].read(settings), settings, seed)
    else:
        source = DIGITS[settings.source](settings, seed)
        groups = splits.groups(source.labels, source.label)
        test = splits.drawn_test(groups, source.rows["test"], settings, seed)
        source = replace(source, rows={**source.rows, "test": test})
    train = source.rows["train"]
    if settings.protocol == "paper":  # validation rows are training rows too
        train = np.union1d(train, source.rows["validation"])
    return replace(
        source, rows={**source.rows, "train": splits.repeated(source.labels, train, settings, seed)}
    )


def known_label(settings: Data) -> dict[str, Any] | None:
    """The facts of the label that no data need be read for; of Tiny-ImageNet the number of classes
    without names.
    """
    if number := labels.asked(settings):
        return number
    match settings.source:
        case "digits":
            return digits.LABEL
        case "digits-angle":
            return digits.ANGLE
        case "rc49":
            return rc49.LABEL
        case "utkface":
            return utkface.LABEL
        case "cifar10":
            return {"kind": "class", "classes": cifar10.CLASSES}
        case "tiny-imagenet":
            return {
                "kind": "class",
                "classes": [str(label) for label in range(tiny_imagenet.NUM_CLASSES)],
            }
    return None


def files(settings: Data) -> list[Path]:
    """What `load` reads, beside this package and its libraries."""
    return READERS[settings.source].files(settings) if settings.source in READERS else []
