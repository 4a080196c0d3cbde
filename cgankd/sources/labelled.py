"""Labelled images to measure a network on, in any form that a run reads; their label is the
network's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgankd import console
from cgankd.errors import DATA, UserError
from cgankd.label import make_label
from cgankd.preset import Data
from cgankd.runs.hdf5 import Reader
from cgankd.sources import catalogue, csv_file, folder, h5, inspection, places
from cgankd.sources.source import RawData

SHOWN = 12  # classes that a message names


def read(path: Path, label: dict[str, Any], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, S, S) of side `size`, and their labels (N,) as sources give those of
    `label`: the test images of `path`, or all where none are marked as such. UserError for labels
    that the network does not have.
    """
    source = inspection.source_of(path)
    raw = _read(inspection.settings_of(path, source), path, label, size)
    rows = raw.rows.get("test", np.arange(len(raw.images)))
    if len(rows) < len(raw.images):
        console.say(f"{path}: {len(rows):,} of its {len(raw.images):,} images are test images")
    values = _labels(raw, rows, label, places.shown(str(path)))
    return raw.images[rows], values


def _read(settings: Data, path: Path, label: dict[str, Any], size: int) -> RawData:
    facts: dict[str, Any] = {"size": size}
    if settings.facts.kind is None and not make_label(label).discrete:
        _check_numbers(path)
        facts |= {"range": inspection.ANY_NUMBER, "unit": label["unit"], "step": label.get("step")}
    settings = settings.model_copy(update=facts)
    if settings.source == "folder":  # one class is enough to measure on
        with places.reading():
            return folder.decoded(path, folder.listing(path, least=1), None, settings)
    return catalogue.read(settings, 0)


def _check_numbers(path: Path) -> None:
    """UserError where a file says that its numbers stand for classes."""
    if h5.recognises(path) and not csv_file.recognises(path):
        with Reader(path) as file:
            if h5.CLASS_NAMES in file.names():
                raise UserError(
                    f"{path}: has classes, but the network answers with numbers",
                    DATA,
                    "give images with labels of that kind",
                )


def _labels(raw: RawData, rows: np.ndarray, label: dict[str, Any], where: str) -> np.ndarray:
    """The labels of rows, as those of the network."""
    own, theirs = make_label(label), make_label(raw.label)
    if own.discrete != theirs.discrete or (own.unit and own.unit != theirs.unit):
        raise UserError(
            f"{where}: has {theirs.plural}, but the network answers with {own.plural}",
            DATA,
            "give images with labels of that kind",
        )
    values = raw.labels[rows]
    if not own.discrete:
        return values
    return _places_in(own.classes, theirs.classes, where)[values]


def _places_in(known: tuple[str, ...], names: tuple[str, ...], where: str) -> np.ndarray:
    """The place (C,) among `known` of each class that a file has."""
    if not set(names) & set(known) and names == tuple(map(str, range(len(names)))):
        console.say(f"{where}: its classes are numbers, taken as places among the network's")
        names = (*known, *names[len(known) :])[: len(names)]
    if unknown := [name for name in names if name not in known]:
        raise UserError(
            f"{where}: {len(unknown)} classes that the network does not know: {_first(unknown)}",
            DATA,
            f"it knows {_first(known)}",
        )
    return np.array([known.index(name) for name in names], np.int64)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
