"""Labels as files hold them -> checked classes or numbers; every fault ends in one message with a
remedy.
"""

from collections import Counter
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.preset.kinds import unshown

TOLERANCE = 0.1  # of a step: what a label may be off, by rounding or by float32
NAMES = "give each class a name of its own"
NO_CLASS = "for a continuous label, a run sets data.range = [smallest, largest]"


def asked(settings: Data) -> dict[str, Any] | None:
    """The facts of a continuous label of one's own; None where `settings` ask for none."""
    if not settings.range:
        return None
    low, high = settings.range
    step = {"step": settings.step} if settings.step else {}
    return {"kind": "continuous", "min": low, "max": high, "unit": settings.unit, **step}


def checked(
    labels: np.ndarray,
    development: np.ndarray,
    where: str,
    *,
    names: list[str] | None = None,
    number: dict[str, Any] | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Numbers (N,) -> the labels of a source and what they mean; `development` are the rows that
    are no test rows.

    Without the facts `number` int64 classes 0..C-1, all of them among the development rows; with
    them float32 in their unit. UserError naming `where` and what was found.
    """
    if not len(development):
        raise UserError(f"{where}: there are no images to train on", DATA)
    if number is None:
        classes = as_classes(labels, where)
        names = names or [str(label) for label in range(num_classes(classes[development], where))]
        check_names(classes, classes[development], names, where)
        return classes, {"kind": "class", "classes": names}
    return as_numbers(labels, number, where), number


def check_words(label: dict[str, Any], where: str) -> None:
    """UserError where the name of a class, or the unit, is nothing that pages can show and tell
    apart.
    """
    names = label.get("classes", [])
    for what, word in [*(("class", name) for name in names), ("unit", label.get("unit", ""))]:
        if wrong := unshown(word):
            raise UserError(
                f"{where}: the {what} {word!a} holds {wrong!a}, which cannot be shown",
                DATA,
                "rename it: letters of any language do, in UTF-8",
            )
    if blank := [name for name in names if not name.strip()]:
        raise UserError(f"{where}: {len(blank)} of {len(names)} classes have no name", DATA, NAMES)
    if twice := [name for name, num in Counter(names).items() if num > 1]:
        raise UserError(f"{where}: several classes have the name {twice[0]!r}", DATA, NAMES)


def as_classes(labels: np.ndarray, where: str) -> np.ndarray:
    """int64 (N,) of integers, which may be stored as floats, as the published unfiltered fakes
    are.
    """
    _finite(labels, where)
    if labels.dtype.kind == "f" and (broken := np.flatnonzero(labels != np.rint(labels))).size:
        first = f"{labels[broken[0]]:g} in row {broken[0]}"
        raise UserError(f"{where}: class labels must be integers, found {first}", DATA, NO_CLASS)
    return labels.astype(np.int64)


def num_classes(labels: np.ndarray, where: str) -> int:
    """C of classes (N,) that are 0..C-1 without a gap."""
    distinct = np.unique(labels)
    span = f"{where}: labels are {distinct[0]}..{distinct[-1]}"
    if distinct[0] != 0:
        convert = (
            f"subtract {distinct[0]} from all of them"
            if len(distinct) == np.ptp(distinct) + 1
            else _renumber()
        )
        raise UserError(f"{span}, but classes are numbered from 0", DATA, f"{convert}; {NO_CLASS}")
    gaps = np.flatnonzero(distinct != np.arange(len(distinct)))
    if gaps.size:
        missing = distinct[-1] + 1 - len(distinct)
        raise UserError(
            f"{span}, but {missing} classes in between have no images, the first of them {gaps[0]}",
            DATA,
            f"{_renumber()}; {NO_CLASS}",
        )
    return len(distinct)


def check_names(labels: np.ndarray, development: np.ndarray, names: list[str], where: str) -> None:
    """UserError where there is one class, a label has no name, or a name no label of the
    `development` rows."""
    wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if wrong.size:
        raise UserError(
            f"{where}: label {labels[wrong[0]]} in row {wrong[0]} is outside 0..{len(names) - 1}, "
            f"the {len(names)} classes",
            DATA,
            _renumber(),
        )
    if len(names) < 2:
        raise UserError(
            f"{where}: all {len(development)} images are of one class, {names[0]}",
            DATA,
            "give at least two classes",
        )
    empty = np.flatnonzero(np.bincount(development, minlength=len(names)) == 0)
    if empty.size:
        known = ", ".join(names[label] for label in empty[:5])
        raise UserError(
            f"{where}: {len(empty)} of {len(names)} classes have no images to train on: {known}",
            DATA,
            "add images, or drop the class",
        )


def as_numbers(labels: np.ndarray, number: dict[str, Any], where: str) -> np.ndarray:
    """float32 (N,) of numbers within [min, max] that are not all equal; with a step equal multiples
    are bit-equal.
    """
    _finite(labels, where)
    if "step" in number:
        labels = multiples(labels, number["step"], where)
    low, high = number["min"], number["max"]
    outside = np.flatnonzero((labels < low) | (labels > high))
    if outside.size:
        raise UserError(
            f"{where}: {len(outside)} of {len(labels)} labels lie outside [{low:g}, {high:g}], "
            f"the first {labels[outside[0]]:g} in row {outside[0]}; all lie in [{labels.min():g}, "
            f"{labels.max():g}]",
            DATA,
            "drop these rows, or widen data.range",
        )
    if labels.min() == labels.max():
        raise UserError(
            f"{where}: all {len(labels)} labels are {labels[0]:g}: there is nothing to learn", DATA
        )
    return labels.astype(np.float32)


def multiples(labels: np.ndarray, step: float, where: str) -> np.ndarray:
    """float64 (N,): labels rounded to multiples of `step`; UserError for one further off than a
    tenth of it.
    """
    _finite(labels, where)
    values = labels.astype(np.float64)
    rounded = np.rint(values / step) * step
    if (broken := np.flatnonzero(np.abs(values - rounded) > TOLERANCE * step)).size:
        raise UserError(
            f"{where}: {len(broken)} of {len(labels)} labels are no multiples of the step "
            f"{step:g}, the first "
            f"{values[broken[0]]:g} in row {broken[0]}",
            DATA,
            "correct these rows, or data.step",
        )
    return rounded


def _finite(labels: np.ndarray, where: str) -> None:
    if labels.dtype.kind == "f" and (broken := np.flatnonzero(~np.isfinite(labels))).size:
        raise UserError(
            f"{where}: {len(broken)} of {len(labels)} labels are no numbers, the first in row "
            f"{broken[0]}",
            DATA,
            "drop these rows, or correct them",
        )


def _renumber() -> str:
    return "number the classes 0..C-1: numpy.unique(labels, return_inverse=True)[1] does"
