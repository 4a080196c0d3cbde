"""Which rows are trained on, choose settings and are tested: given by the source, or drawn by a
seed.
"""

from typing import Any

import numpy as np

from cgankd import console
from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources.source import SPLITS, Found, Source


def split(found: Found, settings: Data, seed: int) -> Source:
    """The source that `settings` ask for: its images are those of its rows alone, the test's last.

    The splits of the file are kept where they have the sizes asked for, or none are; else rows are
    drawn, of classes and of labels with a step in proportion to their numbers.
    """
    check_disjoint(found, _place(settings))
    train, validation = _train_and_validation(found, settings, seed)
    used = np.sort(np.concatenate([train, validation]))
    test = _test(found, used)
    if not len(test):
        raise UserError(
            f"{_place(settings)} has no images left for the test: all {len(used)} are asked for "
            "by data.num_train and "
            "data.num_validation",
            DATA,
            "ask for fewer, or name test images in data.test",
        )
    test = drawn_test(groups(found.labels, found.label), np.sort(test), settings, seed)
    order = np.concatenate([used, test])
    rows = {
        "train": np.searchsorted(used, np.sort(train)),
        "validation": np.searchsorted(used, np.sort(validation)),
        "test": np.arange(len(used), len(order)),
    }
    _check_classes(found, train, settings)
    types = None if found.types is None else found.types[order]
    return Source(found.images[order], found.labels[order], rows, found.label, types)


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


def groups(labels: np.ndarray, label: dict[str, Any]) -> np.ndarray:
    """int64 (N,): what rows are drawn from in proportion, classes or multiples of a step; else all
    are one group.
    """
    if labels.dtype.kind != "f":
        return labels
    if "step" not in label:
        return np.zeros(len(labels), np.int64)
    return np.rint(labels.astype(np.float64) / label["step"]).astype(np.int64)


def check_disjoint(found: Found, place: str) -> None:
    """UserError where the rows that a source gives for different splits overlap."""
    for one, other in (
        ("train", "validation"),
        ("pool", "test"),
        ("train", "test"),
        ("validation", "test"),
    ):
        if {one, other} <= set(found.rows) and (
            both := np.intersect1d(found.rows[one], found.rows[other])
        ).size:
            raise UserError(
                f"{place}: {len(both)} rows are both {one} and {other} rows, the first of them "
                f"{both[0]}",
                DATA,
                "correct the indices",
            )


def _test(found: Found, used: np.ndarray) -> np.ndarray:
    left = np.setdiff1d(found.rows["pool"], used)
    if "test" not in found.rows:
        return left
    return np.concatenate([found.rows["test"], left]) if found.left_is_test else found.rows["test"]


def drawn_test(groups: np.ndarray, test: np.ndarray, settings: Data, seed: int) -> np.ndarray:
    """The test rows, or data.num_test of them."""
    num = settings.num_test
    if num is None or num == len(test):
        return test
    if num > len(test):
        raise UserError(
            f"data.num_test = {num}, but {_place(settings)} has {len(test)} test images",
            DATA,
            "ask for fewer",
        )
    return draw(groups, test, [num], np.random.default_rng([seed, 0x7E57]))[0]


def draw(
    groups: np.ndarray, rows: np.ndarray, numbers: list[int], rng: np.random.Generator
) -> list[np.ndarray]:
    """Disjoint draws of `numbers` of the rows, each in increasing order; of the groups (N,) in
    proportion.
    """
    members = [rows[groups[rows] == group] for group in np.unique(groups[rows])]
    shares = _shares([len(mine) for mine in members], numbers)
    parts = [
        np.split(rng.permutation(mine), np.cumsum(share))[:-1]
        for mine, share in zip(members, shares, strict=True)
    ]
    return [np.sort(np.concatenate(part)) for part in zip(*parts, strict=True)]


def _shares(sizes: list[int], numbers: list[int]) -> list[list[int]]:
    """How many of each group go to each draw: in proportion to the groups, by largest
    remainders.
    """
    left = np.asarray(_apportion(sum(numbers), np.asarray(sizes)))
    shares = []
    for number in numbers[:-1]:
        shares.append(_apportion(number, left))
        left = left - shares[-1]
    return np.stack([*shares, left], axis=1).tolist()


def _apportion(number: int, sizes: np.ndarray) -> np.ndarray:
    """`number` as a sum of parts as near to the proportions of `sizes` as integers can be, none
    above its size.
    """
    whole, rest = np.divmod(number * sizes.astype(np.int64), sizes.sum())
    largest = np.argsort(-rest, kind="stable")[: number - whole.sum()]
    whole[largest] += 1
    return whole


def _train_and_validation(found: Found, settings: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
    given = [found.rows[name] for name in SPLITS[:2] if name in found.rows]
    if len(given) == 2 and settings.numbers in ([], [len(rows) for rows in given]):
        return given[0], given[1]
    pool, numbers = found.rows["pool"], settings.numbers or _own_numbers(found, settings)
    if sum(numbers) > len(pool):
        raise UserError(
            f"data.num_train + data.num_validation = {sum(numbers)}, but {_place(settings)} has "
            f"{len(pool)} images to "
            "draw them from",
            DATA,
            "ask for fewer",
        )
    if len(given) == 2:
        sizes = " + ".join(str(len(rows)) for rows in given)
        console.say(
            f"{_place(settings)}: its own splits ({sizes} rows) have other sizes than asked for; "
            "rows are drawn"
        )
    rng = np.random.default_rng([seed, 0xDA7A])
    train, validation = draw(groups(found.labels, found.label), pool, numbers, rng)
    return train, validation


def _own_numbers(found: Found, settings: Data) -> list[int]:
    """A fifth for the test, where the data name none, and of the rest a fifth for validation."""
    num = len(found.rows["pool"])
    used = num if "test" in found.rows else num - round(num / 5)
    numbers = [used - round(used / 5), round(used / 5)]
    if not numbers[1]:
        raise UserError(
            f"{_place(settings)} has {num} images to split, too few", DATA, "add images"
        )
    return numbers


def _check_classes(found: Found, train: np.ndarray, settings: Data) -> None:
    names = found.label.get("classes", [])
    empty = (
        np.flatnonzero(np.bincount(found.labels[train], minlength=len(names)) == 0)
        if names
        else np.empty(0, int)
    )
    if empty.size:
        known = ", ".join(names[label] for label in empty[:5])
        raise UserError(
            f"{_place(settings)}: {len(empty)} of {len(names)} classes have no training images: "
            f"{known}",
            DATA,
            "raise data.num_train, or drop these classes",
        )


def _place(settings: Data) -> str:
    return settings.path or settings.source
