"""A CSV with the columns file and label, and if it likes split (train, validation or test) and
type.

Files are relative to the CSV. Labels are names of classes or, with data.range, numbers. Types are
names.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import cache, labels, pictures, places
from cgankd.sources.source import SPLITS, RawData

EXPECTED = (
    "expected a first line file,label (or file,label,split), then a line such as images/1.jpg,rose"
)


@dataclass(frozen=True)
class Row:
    """A line of the file."""

    line: int
    file: Path
    label: str
    split: str
    type: str = ""  # empty where there is no such column


def read(settings: Data, seed: int) -> RawData:
    """The images of data.path, and of data.test as test images where no row of data.path is one."""
    path, rows = _rows(settings)
    images, kept = cache.decoded(path, [row.file for row in rows], settings)
    rows = [rows[index] for index in kept]
    split = np.array([row.split for row in rows])
    values, names = _values([row for row in rows if row.split != "test"], rows, settings, path)
    parts = {part: np.flatnonzero(split == part) for part in SPLITS if part in split}
    parts["development"] = np.flatnonzero(split != "test")
    checked, meaning = labels.checked(
        values, parts["development"], str(path), names=names, number=labels.asked(settings)
    )
    return RawData(images, checked, meaning, parts, _types(rows))


def files(settings: Data) -> list[Path]:
    """What is read."""
    return [*places.given(settings), *(row.file for row in _rows(settings)[1])]


def label(settings: Data) -> dict[str, Any] | None:
    """What is known of the label before data are read."""
    return labels.asked(settings)


def recognises(path: Path) -> bool:
    """Whether a file is a CSV by its name."""
    return path.is_file() and path.suffix.lower() == ".csv"


def table(path: Path) -> list[Row]:
    """The rows of one CSV; UserError naming the line that is wrong."""
    if not path.is_file():
        raise UserError(f"{path} not found", DATA, EXPECTED)
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text, strict=True)
            if missing := {"file", "label"} - set(reader.fieldnames or []):
                raise UserError(
                    f"{path}: no column {', '.join(sorted(missing))} (found: {reader.fieldnames})",
                    DATA,
                    EXPECTED,
                )
            rows = [_row(path, reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as CSV ({error})", DATA, EXPECTED) from error
    if not rows:
        raise UserError(f"{path} has no rows", DATA, EXPECTED)
    lines: dict[Path, int] = {}
    for row in rows:
        if lines.setdefault(row.file, row.line) != row.line:
            raise UserError(
                f"{path}: {row.file} stands in line {lines[row.file]} and again in line {row.line}",
                DATA,
                "keep one, or an image to test on may be one to train on",
            )
    return rows


def _row(path: Path, line: int, values: dict[str, str | None]) -> Row:
    where = f"{path}, line {line}"
    file, label, split, kind = (
        (values.get(key) or "").strip() for key in ("file", "label", "split", "type")
    )
    for key, value in (("file", file), ("label", label), ("type", kind or "type" not in values)):
        if not value:
            raise UserError(f"{where}: {key} is empty", DATA, EXPECTED)
    if "split" in values and split not in SPLITS:
        raise UserError(f"{where}: split is {split!r}, expected train, validation or test", DATA)
    return Row(line, pictures.inside(path.parent, file, where), label, split, kind)


def _rows(settings: Data) -> tuple[Path, list[Row]]:
    """The rows of data.path and, as test rows, those of data.test, where data.path has none."""
    path, *test = places.given(settings)
    rows = table(path)
    if test and not any(row.split == "test" for row in rows):
        tested = [row for row in table(test[0]) if row.split in ("", "test")]
        rows += [replace(row, split="test") for row in tested]
    return path, rows


def _values(
    trained: list[Row], rows: list[Row], settings: Data, path: Path
) -> tuple[np.ndarray, list[str] | None]:
    """The labels of rows as numbers; and the names of the classes, those of the rows that are no
    test rows.
    """
    numbers = [number(row.label) for row in rows]
    if settings.range:
        if None in numbers:
            wrong = rows[numbers.index(None)]
            raise UserError(
                f"{path}, line {wrong.line}: {wrong.label!r} is no number, as data.range asks for",
                DATA,
            )
        return np.array(numbers, np.float64), None
    fraction = next(
        (row for row in trained if (value := number(row.label)) is not None and value % 1), None
    )
    if fraction and None not in numbers:
        raise UserError(
            f"{path}, line {fraction.line}: the label {fraction.label} is a fraction, not a class",
            DATA,
            labels.NO_CLASS,
        )
    if not trained:
        raise UserError(f"{path}: there are no images to train on, all are test images", DATA)
    names = _sorted({row.label for row in trained})
    places = {name: index for index, name in enumerate(names)}
    if (unknown := next((row for row in rows if row.label not in places), None)) is not None:
        raise UserError(
            f"{path}: the test has the class {unknown.label!r}, which no training row has", DATA
        )
    return np.array([places[row.label] for row in rows], np.int64), names


def _types(rows: list[Row]) -> np.ndarray | None:
    """int64 (N,): the places of the rows' types among all; None where not all of the tables have
    that column.
    """
    names = _sorted({row.type for row in rows})
    places = {name: index for index, name in enumerate(names)}
    return None if "" in places else np.array([places[row.type] for row in rows], np.int64)


def _sorted(names: set[str]) -> list[str]:
    """Names in their order, that of integers where all are."""
    return sorted(names, key=int) if all(map(_is_integer, names)) else sorted(names)


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdecimal()
