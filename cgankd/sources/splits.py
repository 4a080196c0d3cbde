"""Which rows are trained on, choose settings and are tested: given by the source, or drawn by a
seed.
"""

import numpy as np

from cgankd import console
from cgankd.errors import DATA, UserError
from cgankd.label import make_label
from cgankd.preset import Data
from cgankd.sources import notes
from cgankd.sources.draws import draw
from cgankd.sources.source import SPLITS, RawData, Source

DISJOINT = (
    ("train", "validation"),
    ("development", "test"),
    ("train", "test"),
    ("validation", "test"),
)


def split(raw: RawData, settings: Data, seed: int) -> Source:
    """The source that `settings` ask for: its images are those of its rows alone, the test's last.

    The splits of the file are kept where they have the sizes asked for, or none are; else rows are
    drawn, with the distribution of labels that all rows have.
    """
    check_disjoint(raw, _place(settings))
    train, validation = _train_and_validation(raw, settings, seed)
    _check_classes(raw, train, settings)
    used = np.sort(np.concatenate([train, validation]))
    test = _test(raw, used, settings, seed)
    order = np.concatenate([used, test])
    rows = {
        "train": np.searchsorted(used, np.sort(train)),
        "validation": np.searchsorted(used, np.sort(validation)),
        "test": np.arange(len(used), len(order)),
    }
    types = None if raw.types is None else raw.types[order]
    return Source(raw.images[order], raw.labels[order], rows, raw.label, types)


def held_out(source: Source, settings: Data, seed: int) -> np.ndarray:
    """The training rows that are no validation rows, repeated as `settings` ask."""
    rows = np.setdiff1d(source.rows["train"], source.rows["validation"])
    return repeated(source.labels, rows, settings, seed)


def repeated(labels: np.ndarray, rows: np.ndarray, settings: Data, seed: int) -> np.ndarray:
    """The rows, in increasing order; labels of which there are fewer than data.min_per_label are
    filled up with draws of theirs, with replacement.
    """
    if settings.min_per_label is None:
        return rows
    rng, parts = np.random.default_rng([seed, 0x2E9EA7]), [rows]
    for label in np.unique(labels[rows]):
        mine = rows[labels[rows] == label]
        parts.append(rng.choice(mine, max(0, settings.min_per_label - len(mine))))
    return np.sort(np.concatenate(parts))


def tell_lacking(source: Source, settings: Data) -> None:
    """A warning where validation or test images lack classes, on which nothing is measured then."""
    names = source.label.get("classes", [])
    for split in SPLITS[1:]:
        present = set(source.labels[source.rows[split]].tolist())
        lacking = [name for label, name in enumerate(names) if label not in present]
        if lacking:
            notes.warn(
                f"{_place(settings)}: no {split} image is of {len(lacking)} of the {len(names)} "
                f"classes: {', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}"
            )


def check_disjoint(raw: RawData, place: str) -> None:
    """UserError where the rows that a source gives for different splits overlap."""
    for one, other in DISJOINT:
        if one not in raw.rows or other not in raw.rows:
            continue
        both = np.intersect1d(raw.rows[one], raw.rows[other])
        if both.size:
            raise UserError(
                f"{place}: {len(both)} rows are both {one} and {other} rows, the first of them "
                f"{both[0]}",
                DATA,
                "correct the indices",
            )


def _train_and_validation(raw: RawData, settings: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The source's own rows where they have the sizes asked for, or none are asked for; else rows
    drawn of the development rows.
    """
    given = [raw.rows[name] for name in SPLITS[:2] if name in raw.rows]
    own = [len(rows) for rows in given]
    if len(given) == 2 and settings.numbers in ([], own):
        return given[0], given[1]
    development = raw.rows["development"]
    numbers = settings.numbers or _own_numbers(raw, settings)
    if sum(numbers) > len(development):
        raise UserError(
            f"data.num_train + data.num_validation = {sum(numbers)}, but {_place(settings)} has "
            f"{len(development)} images to draw them from",
            DATA,
            "ask for fewer",
        )
    if len(given) == 2:
        console.say(
            f"{_place(settings)}: its own splits ({own[0]} + {own[1]} rows) have other sizes than "
            "asked for; rows are drawn"
        )
    rng = np.random.default_rng([seed, 0xDA7A])
    train, validation = draw(raw.labels, development, numbers, rng)
    return train, validation


def _own_numbers(raw: RawData, settings: Data) -> list[int]:
    """A fifth for the test, where the data name none, and of the rest a fifth for validation; for
    either as many as there are classes of three images, so that each can have one there.
    """
    labels = raw.labels[raw.rows["development"]]
    num, least = len(labels), 0
    if labels.dtype.kind != "f":
        least = int(np.count_nonzero(np.bincount(labels) >= 3))
    test = 0 if "test" in raw.rows else max(round(num / 5), least)
    validation = max(round((num - test) / 5), least)
    if not validation:
        raise UserError(
            f"{_place(settings)} has {num} images to split, too few", DATA, "add images"
        )
    return [num - test - validation, validation]


def _test(raw: RawData, used: np.ndarray, settings: Data, seed: int) -> np.ndarray:
    """The source's own test rows, else what is left, or data.num_test of them."""
    left = np.setdiff1d(raw.rows["development"], used)
    rows = np.sort(raw.rows["test"]) if "test" in raw.rows else left
    if raw.left_is_test:
        rows = np.union1d(rows, left)
    if not len(rows):
        raise UserError(
            f"{_place(settings)} has no images left for the test: all {len(used)} are asked for "
            "by data.num_train and data.num_validation",
            DATA,
            "ask for fewer, or name test images in data.test",
        )
    num = settings.num_test
    if num is None or num == len(rows):
        return rows
    if num > len(rows):
        raise UserError(
            f"data.num_test = {num}, but {_place(settings)} has {len(rows)} test images",
            DATA,
            "ask for fewer",
        )
    rng = np.random.default_rng([seed, 0x7E57])
    return draw(raw.labels, rows, [num], rng)[0]


def _check_classes(raw: RawData, train: np.ndarray, settings: Data) -> None:
    names = make_label(raw.label).classes
    if not names:
        return
    missing = np.flatnonzero(np.bincount(raw.labels[train], minlength=len(names)) == 0)
    if missing.size:
        known = ", ".join(names[label] for label in missing[:5])
        raise UserError(
            f"{_place(settings)}: {len(missing)} of {len(names)} classes have no training images: "
            f"{known}",
            DATA,
            "raise data.num_train, or drop these classes",
        )


def _place(settings: Data) -> str:
    return settings.path or settings.source
