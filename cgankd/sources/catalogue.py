"""The sources by name: each is read by the module that its row of `cgankd.preset.sources` names."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from cgankd.preset import Data
from cgankd.preset.sources import SOURCES
from cgankd.sources import labels, notes, overlap, pictures, places, splits
from cgankd.sources.source import RawData, Source


class Reader(Protocol):
    """What the module of a source has."""

    def read(self, settings: Data, seed: int) -> RawData:
        """Its images with checked labels, and which rows may be drawn for what."""

    def files(self, settings: Data) -> list[Path]:
        """What `read` reads, beside this package and its libraries."""

    def label(self, settings: Data) -> dict[str, Any] | None:
        """The facts of the label that no data need be read for; None where there are none."""

    def recognises(self, path: Path) -> bool:
        """Whether a file or folder looks like one of this source."""


def reader(source: str) -> Reader:
    """The module that reads a source."""
    return cast(Reader, importlib.import_module(f"cgankd.sources.{SOURCES[source].module}"))


def load(settings: Data, seed: int) -> Source:
    """The images of `settings`, split by `seed`; UserError when they do not suffice."""
    source = divided(read(settings, seed), settings, seed)
    train = source.rows["train"]
    if settings.protocol == "paper":  # validation rows are training rows too
        train = np.union1d(train, source.rows["validation"])
    train = splits.repeated(source.labels, train, settings, seed)
    return replace(source, rows={**source.rows, "train": train})


def read(settings: Data, seed: int) -> RawData:
    """What the source holds before it is split, with a note on what of it is left out."""
    with places.reading():
        raw = reader(settings.source).read(settings, seed)
    place = str(places.images(settings) or settings.source)
    labels.check_words(raw.label, place)
    if any(raw.left_out.values()):
        notes.say(f"{place}: {len(raw.images)} images, left out {outline(raw.left_out)}")
    return raw


def divided(raw: RawData, settings: Data, seed: int) -> Source:
    """The splits of what was read, checked for classes that one lacks and images that two share."""
    source = splits.split(raw, settings, seed)
    splits.tell_lacking(source, settings)
    overlap.check(source, settings)
    return source


def outline(counts: dict[str, int]) -> str:
    """How many of what, for people."""
    return ", ".join(f"{num:,} {what}" for what, num in counts.items() if num)


def known_label(settings: Data) -> dict[str, Any] | None:
    """The facts of the label that no data need be read for; of Tiny-ImageNet the number of classes
    without names.
    """
    return reader(settings.source).label(settings)


def files(settings: Data) -> list[Path]:
    """What `load` reads, beside this package and its libraries."""
    with places.reading():
        return reader(settings.source).files(settings)


def span(settings: Data) -> tuple[float, float] | None:
    """What becomes black and white in images of more than 8 bits; None where there are none."""
    if not settings.facts.pictures:
        return None
    return pictures.span_of([file for file in files(settings) if not places.unread(file)])
