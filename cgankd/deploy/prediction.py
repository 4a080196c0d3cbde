"""What a network says of image files, a batch at a time, however many there are."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from cgankd.data.batches import BATCH
from cgankd.deploy.model import Model
from cgankd.errors import UserError
from cgankd.sources import pictures, places

STDIN = "-"


@dataclass(frozen=True)
class Prediction:
    """Of one image: what is told of it, or why it cannot be read."""

    path: str
    told: dict[str, Any]
    fault: UserError | None = None


def predict(model: Model, paths: Iterable[str], top: int = 1) -> Iterator[Prediction]:
    """A prediction of each image file, in their order."""
    remaining = iter(paths)
    while names := list(islice(remaining, BATCH)):
        read = pictures.read_each([Path(name) for name in names], model.size, model.facts.span)
        pixels = [one for one in read if not isinstance(one, UserError)]
        told = iter(_told(model, pixels, top))
        for name, one in zip(names, read, strict=True):
            fault = one if isinstance(one, UserError) else None
            yield Prediction(name, {} if fault else next(told), fault)


def _told(model: Model, pixels: list[np.ndarray], top: int) -> list[dict[str, Any]]:
    if not pixels:
        return []
    return model.task.describe(model.outputs(torch.from_numpy(np.stack(pixels))), top)


def names_of(arguments: Sequence[str], stdin: IO[bytes]) -> Iterator[str]:
    """The image files that arguments name: files, those in folders at any depth, and for `-` those
    whose names stand in the lines of stdin. Only one folder is listed at a time.
    """
    for argument in arguments:
        if argument == STDIN:
            for line in stdin:
                if name := line.rstrip(b"\r\n"):
                    yield os.fsdecode(name)
        elif Path(argument).is_dir():
            yield from _inside(argument)
        else:
            yield argument


def _inside(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(files):
            path = Path(place, name)
            if not places.unread(path):
                yield str(path)
