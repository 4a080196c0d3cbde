"""The sources by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.preset import Data
from cgankd.sources import cifar10, csv_file, digits, folder, h5, splits, tiny_imagenet
from cgankd.sources.source import Source

READERS = {"cifar10": cifar10, "tiny-imagenet": tiny_imagenet, "h5": h5, "folder": folder, "csv": csv_file}
DIGITS = {"digits": digits.digits, "digits-angle": digits.digits_angle}


def load(settings: Data, seed: int) -> Source:
    """The images of `settings`, split by `seed`; UserError when they do not suffice."""
    if settings.source in READERS:
        source = splits.split(READERS[settings.source].read(settings), settings, seed)
    else:
        source = DIGITS[settings.source](settings, seed)
        test = splits.drawn_test(source.labels, source.rows["test"], settings, seed)
        source = replace(source, rows={**source.rows, "test": test})
    return _published(source) if settings.protocol == "paper" else source


def known_label(settings: Data) -> dict[str, Any] | None:
    """The facts of the label that no data need be read for; of Tiny-ImageNet the number of classes without names."""
    if settings.range:
        low, high = settings.range
        return {"kind": "continuous", "min": low, "max": high, "unit": settings.unit}
    match settings.source:
        case "digits":
            return digits.LABEL
        case "digits-angle":
            return digits.ANGLE
        case "cifar10":
            return {"kind": "class", "classes": cifar10.CLASSES}
        case "tiny-imagenet":
            return {"kind": "class", "classes": [str(label) for label in range(tiny_imagenet.NUM_CLASSES)]}
    return None


def files(settings: Data) -> list[Path]:
    """What `load` reads, beside this package and its libraries."""
    return READERS[settings.source].files(settings) if settings.source in READERS else []


def _published(source: Source) -> Source:
    """The validation rows as training rows too, as in the published protocol."""
    rows = {**source.rows, "train": np.union1d(source.rows["train"], source.rows["validation"])}
    return replace(source, rows=rows)
