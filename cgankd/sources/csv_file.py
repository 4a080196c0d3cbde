"""A CSV with the columns file and label, and if it likes split (train, validation or test) and
type.

Cells are separated by commas, semicolons or tabs, as the first line shows. Files are relative to
the CSV. Labels are names of classes or, with data.range, numbers. Types are names.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import cache, labels, notes, places
from cgankd.sources.source import SPLITS, RawData

EXPECTED = (
    "expected a first line file,label (or file,label,split), then a line such as images/1.jpg,rose"
)
COLUMNS = ("file", "label", "split", "type")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")  # which may be a fraction, or may not


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
    parts = {part: np.flatnonzero(split == part) for part in SPLITS if part in split}
    parts["development"] = np.flatnonzero(split != "test")
    values, names = _values(rows, settings, path)
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
    return path.is_file() and path.suffix.lower() in (".csv", ".tsv")


def table(path: Path) -> list[Row]:
    """The rows of one CSV; UserError naming the line that is wrong."""
    lines = _lines(path)
    _, header = next(lines, (1, list[str]()))
    _check_header(path, header)
    rows = [_row(path, line, dict(zip(header, cells, strict=True))) for line, cells in lines]
    if not rows:
        raise UserError(f"{path} has no rows", DATA, EXPECTED)
    seen: dict[Path, int] = {}
    for row in rows:
        if seen.setdefault(row.file, row.line) != row.line:
            raise UserError(
                f"{path}: {row.file} stands in line {seen[row.file]} and again in line {row.line}",
                DATA,
                "keep one, or an image to test on may be one to train on",
            )
    return rows


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty with their numbers, as cells without spaces around them; each
    has as many as the first.
    """
    text = _text(path)
    separator = _separator(path, text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    width = 0
    try:
        for cells in reader:
            if not cells:
                continue
            width = width or len(cells)
            if len(cells) != width:
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, but the first line has "
                    f"{width}, separated by {SEPARATORS[separator]}",
                    DATA,
                    f"put a cell that holds {SEPARATORS[separator]} into double quotes"
                    if len(cells) > width
                    else "fill the line up",
                )
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: not readable as CSV ({error})", DATA, EXPECTED
        ) from error


def _text(path: Path) -> str:
    if not path.is_file():
        found = "is no regular file" if path.exists() else "not found"
        raise UserError(f"{places.shown(str(path))} {found}", DATA, EXPECTED)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not readable as CSV ({error})", DATA, "save it in UTF-8"
        ) from error


def _separator(path: Path, text: str) -> str:
    """What the cells of the first line are separated by: where both columns are found, else what
    stands there most often.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    cells = {one: [cell.strip(' "') for cell in first.split(one)] for one in SEPARATORS}
    fitting = [one for one in SEPARATORS if {"file", "label"} <= set(cells[one])]
    separator = fitting[0] if fitting else max(SEPARATORS, key=lambda one: len(cells[one]))
    if separator != ",":
        notes.say(f"{path}: its cells are separated by {SEPARATORS[separator]}")
    return separator


def _check_header(path: Path, header: list[str]) -> None:
    """UserError where a column is missing, or stands there twice; a note on those not read."""
    for name in ("file", "label"):
        if name not in header:
            raise UserError(f"{path}: no column {name} (found: {header})", DATA, EXPECTED)
    if twice := [name for name, num in Counter(header).items() if num > 1]:
        raise UserError(
            f"{path}, line 1: the column {twice[0]!r} stands there {header.count(twice[0])} times",
            DATA,
            "keep one, or give the others another name",
        )
    if others := [name for name in header if name not in COLUMNS]:
        notes.say(f"{path}: these columns are not read: {places.shown(', '.join(others))}")


def _row(path: Path, line: int, values: dict[str, str]) -> Row:
    where = f"{path}, line {line}"
    for key in ("file", "label", "type"):
        if values.get(key) == "":
            raise UserError(f"{where}: {key} is empty", DATA, EXPECTED)
    split = values.get("split", "")
    if "split" in values and split not in SPLITS:
        raise UserError(f"{where}: split is {split!r}, expected train, validation or test", DATA)
    file = places.inside(path.parent, values["file"], where)
    return Row(line, file, values["label"], split, values.get("type", ""))


def _rows(settings: Data) -> tuple[Path, list[Row]]:
    """The rows of data.path and, as test rows, those of data.test."""
    path, *test = places.given(settings)
    rows = table(path)
    if any(row.split == "test" for row in rows):
        places.check_no_test(settings, path)
    elif test:
        tested = [row for row in table(test[0]) if row.split in ("", "test")]
        rows += [replace(row, split="test") for row in tested]
    return path, rows


def _values(rows: list[Row], settings: Data, path: Path) -> tuple[np.ndarray, list[str] | None]:
    """The labels of rows as numbers; and the names of the classes, those of the rows that are no
    test rows.
    """
    if settings.range:
        return _numbers(rows, path), None
    trained = [row for row in rows if row.split != "test"]
    if not trained:
        raise UserError(f"{path}: there are no images to train on, all are test images", DATA)
    keys = _class_keys(rows, path)
    spellings: dict[Any, set[str]] = {}
    for row in trained:
        spellings.setdefault(keys[row.label], set()).add(row.label)
    ordered = sorted(spellings)
    index = {key: place for place, key in enumerate(ordered)}
    if (unknown := next((row for row in rows if keys[row.label] not in index), None)) is not None:
        raise UserError(
            f"{path}: the test has the class {unknown.label!r}, which no training row has", DATA
        )
    # a number written in several ways, such as 1 and 1.0, is one class, with its plain name
    names = [str(key) if len(spellings[key]) > 1 else min(spellings[key]) for key in ordered]
    return np.array([index[keys[row.label]] for row in rows], np.int64), names


def _class_keys(rows: list[Row], path: Path) -> dict[str, Any]:
    """What tells classes apart, by their names: whole numbers where all are numbers, else text."""
    values = {row.label: _decimal(row.label) for row in rows}
    numbers = {text: value for text, value in values.items() if value is not None}
    if len(numbers) < len(values):
        return {text: text for text in values}
    for row in rows:
        if numbers[row.label] % 1:
            raise UserError(
                f"{path}, line {row.line}: the label {row.label} is a fraction, not a class",
                DATA,
                labels.NO_CLASS,
            )
    return {text: int(value) for text, value in numbers.items()}


def _decimal(text: str) -> Decimal | None:
    """A finite number; None where the text is none, as nan is none."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and "_" not in text and abs(value) < 10**18 else None


def _numbers(rows: list[Row], path: Path) -> np.ndarray:
    """float64 (N,): the labels; UserError naming the line of one that is no number, or might be
    two.

    A decimal comma is read where it can be nothing else: not beside decimal points, and not where
    all that follow it are three digits, which may be thousands.
    """
    commas = [row for row in rows if "," in row.label]
    points = [row for row in rows if "." in row.label]
    if commas and (points or all(THOUSANDS.fullmatch(row.label) for row in commas)):
        beside = f" beside {points[0].label} in line {points[0].line}" if points else ""
        raise UserError(
            f"{path}, line {commas[0].line}: {commas[0].label}{beside} may be a fraction, or "
            "thousands",
            DATA,
            "write fractions with a point, and thousands without a mark",
        )
    values = np.empty(len(rows))
    for place, row in enumerate(rows):
        decimal = DECIMAL_COMMA.fullmatch(row.label)
        value = number(row.label.replace(",", ".") if decimal else row.label)
        if value is None:
            raise UserError(
                f"{path}, line {row.line}: {row.label!r} is no number, as data.range asks for", DATA
            )
        values[place] = value
    return values


def number(text: str) -> float | None:
    """A number, of which nan is one here; None where the text is none."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _types(rows: list[Row]) -> np.ndarray | None:
    """int64 (N,): the places of the rows' types among all; None where not all of the tables have
    that column.
    """
    names = {row.type for row in rows}
    if "" in names:
        return None
    whole = all(map(_is_integer, names))
    index = {name: place for place, name in enumerate(sorted(names, key=int if whole else str))}
    return np.array([index[row.type] for row in rows], np.int64)


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdecimal()
