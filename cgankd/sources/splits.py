"""Which rows are trained on, choose settings and are tested: given by the source, or drawn by a seed."""

import numpy as np

from cgankd import console
from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources.source import SPLITS, Found, Source


def split(found: Found, settings: Data, seed: int) -> Source:
    """The source that `settings` ask for: its images are those of its rows alone, the test's last.

    The splits of the file are kept where they have the sizes asked for; else rows are drawn, of classes in
    proportion to their numbers.
    """
    check_disjoint(found, _place(settings))
    train, validation = _train_and_validation(found, settings, seed)
    used = np.sort(np.concatenate([train, validation]))
    test = found.rows.get("test", np.setdiff1d(found.rows["pool"], used))
    if not len(test):
        raise UserError(
            f"{_place(settings)} has no images left for the test: all {len(used)} are asked for by data.num_train and "
            "data.num_validation",
            DATA,
            "ask for fewer, or name test images in data.test",
        )
    test = drawn_test(found.labels, np.sort(test), settings, seed)
    order = np.concatenate([used, test])
    rows = {"train": np.searchsorted(used, np.sort(train)), "validation": np.searchsorted(used, np.sort(validation)),
            "test": np.arange(len(used), len(order))}  # fmt: skip
    _check_classes(found, train, settings)
    return Source(found.images[order], found.labels[order], rows, found.label)


def check_disjoint(found: Found, place: str) -> None:
    """UserError where the rows that a source gives for different splits overlap."""
    for one, other in (("train", "validation"), ("pool", "test"), ("train", "test"), ("validation", "test")):
        if {one, other} <= set(found.rows) and (both := np.intersect1d(found.rows[one], found.rows[other])).size:
            raise UserError(f"{place}: {len(both)} rows are both {one} and {other} rows, the first of them {both[0]}",
                            DATA, "correct the indices")  # fmt: skip


def drawn_test(labels: np.ndarray, test: np.ndarray, settings: Data, seed: int) -> np.ndarray:
    """The test rows, or data.num_test of them."""
    num = settings.num_test
    if num is None or num == len(test):
        return test
    if num > len(test):
        raise UserError(f"data.num_test = {num}, but {_place(settings)} has {len(test)} test images", DATA,
                        "ask for fewer")  # fmt: skip
    return draw(labels, test, [num], np.random.default_rng([seed, 0x7E57]))[0]


def draw(labels: np.ndarray, rows: np.ndarray, numbers: list[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Disjoint draws of `numbers` of the rows, each in increasing order; of int64 classes in proportion."""
    if labels.dtype.kind == "f":
        groups, shares = [rows], [numbers]
    else:
        groups = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
        shares = _shares([len(group) for group in groups], numbers)
    parts = [np.split(rng.permutation(group), np.cumsum(share))[:-1]
             for group, share in zip(groups, shares, strict=True)]  # fmt: skip
    return [np.sort(np.concatenate(part)) for part in zip(*parts, strict=True)]


def _shares(sizes: list[int], numbers: list[int]) -> list[list[int]]:
    """How many of each group go to each draw: in proportion to the groups, by largest remainders."""
    left = np.asarray(_apportion(sum(numbers), np.asarray(sizes)))
    shares = []
    for number in numbers[:-1]:
        shares.append(_apportion(number, left))
        left = left - shares[-1]
    return np.stack([*shares, left], axis=1).tolist()


def _apportion(number: int, sizes: np.ndarray) -> np.ndarray:
    """`number` as a sum of parts as near to the proportions of `sizes` as integers can be, none above its size."""
    whole, rest = np.divmod(number * sizes.astype(np.int64), sizes.sum())
    largest = np.argsort(-rest, kind="stable")[: number - whole.sum()]
    whole[largest] += 1
    return whole


def _train_and_validation(found: Found, settings: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = [settings.num_train, settings.num_validation]
    given = [found.rows[name] for name in SPLITS[:2] if name in found.rows]
    if [len(rows) for rows in given] == numbers:
        return given[0], given[1]
    pool = found.rows["pool"]
    if sum(numbers) > len(pool):
        raise UserError(
            f"data.num_train + data.num_validation = {sum(numbers)}, but {_place(settings)} has {len(pool)} images",
            DATA,
            "ask for fewer",
        )
    if len(given) == 2:
        sizes = " + ".join(str(len(rows)) for rows in given)
        console.say(
            f"{_place(settings)}: its own splits ({sizes} rows) have other sizes than asked for; rows are drawn"
        )
    train, validation = draw(found.labels, pool, numbers, np.random.default_rng([seed, 0xDA7A]))
    return train, validation


def _check_classes(found: Found, train: np.ndarray, settings: Data) -> None:
    names = found.label.get("classes", [])
    empty = np.flatnonzero(np.bincount(found.labels[train], minlength=len(names)) == 0) if names else np.empty(0, int)
    if empty.size:
        known = ", ".join(names[label] for label in empty[:5])
        raise UserError(
            f"{_place(settings)}: {len(empty)} of {len(names)} classes have no training images: {known}",
            DATA,
            "raise data.num_train, or drop these classes",
        )


def _place(settings: Data) -> str:
    return settings.path or settings.source
