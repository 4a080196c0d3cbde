"""What a file or folder of images holds, for people: `inspect` lists it with its problems, `verify`
stops at one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.preset.sources import SOURCES
from cgankd.runs.hdf5 import Reader
from cgankd.sources import (
    catalogue,
    cifar10,
    csv_file,
    folder,
    h5,
    labels,
    pictures,
    rc49,
    splits,
    tiny_imagenet,
    utkface,
)
from cgankd.sources.source import RawData

SHOWN = 12  # classes, sizes or problems of a kind that are listed


def inspect(path: Path) -> dict[str, Any]:
    """What `path` holds and what is wrong with it; `source` is the word for data.source."""
    look = {
        "h5": _file,
        "rc49": _file,
        "csv": _table,
        "folder": _folder,
        "tiny-imagenet": _tiny_imagenet,
        "cifar10": _cifar10,
        "utkface": _utkface,
    }
    source = source_of(path)
    facts: dict[str, Any] = {"path": str(path), "source": source, "problems": []}
    with _noted(facts):
        look[source](path, facts)
    return facts


def lines(facts: dict[str, Any]) -> list[str]:
    """The facts of `inspect` for a terminal."""
    shown = [("path", facts["path"]), ("source", facts["source"]), *facts.get("arrays", {}).items()]
    shown += [(key, _counts(facts[key])) for key in ("images", "sizes") if key in facts]
    shown += [("classes", _classes(facts["classes"]))] if facts.get("classes") else []
    if "numbers" in facts:
        shown.append(
            (
                "labels",
                "{distinct:,} distinct numbers in [{min:g}, {max:g}]".format(**facts["numbers"]),
            )
        )
    shown += [("types", str(facts["types"]))] if "types" in facts else []
    shown += [("problem", problem) for problem in facts["problems"]] or [("problems", "none found")]
    width = max(len(key) for key, _ in shown) + 2
    return [f"{key:{width}}{value}" for key, value in shown]


def verify(path: Path, bounds: Sequence[float] | None) -> dict[str, Any]:
    """Checks the whole of an HDF5 file: images, labels, indices, and that no test image is one to
    train on.

    `bounds` are those of a continuous label; files that cgankd made know theirs. UserError at the
    first fault.
    """
    with Reader(path) as file:
        made = file.attributes()
    number = rc49.LABEL if rc49.recognises(path) else _number(made)
    if bounds:
        number = {
            "kind": "continuous",
            "unit": "",
            **(number or {}),
            "min": bounds[0],
            "max": bounds[1],
        }
    raw = _read(path)
    _, label = labels.checked(
        raw.labels,
        raw.rows["development"],
        str(path),
        names=raw.label.get("classes"),
        number=number,
    )
    splits.check_disjoint(raw, str(path))
    if twice := duplicates(raw):
        row, other = twice[0]
        raise UserError(
            f"{path}: {len(twice)} test images are images to train on too, pixel for pixel: row "
            f"{row} of all images is "
            f"row {other}",
            DATA,
            "drop them from one of the two",
        )
    return {
        "path": str(path),
        "images": {part: len(rows) for part, rows in raw.rows.items()},
        "label": label,
    }


def source_of(path: Path) -> str:
    """Which source reads `path`."""
    if not path.exists():
        raise UserError(
            f"{path} not found",
            DATA,
            "name an HDF5 file, a CSV, or a folder of class folders of images",
        )
    return next(name for name in SOURCES if catalogue.reader(name).recognises(path))


def duplicates(raw: RawData) -> list[tuple[int, int]]:
    """Test rows whose pixels are those of a development row, each with that row."""

    def mark(row: int) -> bytes:
        return blake2b(raw.images[row].tobytes(), digest_size=16).digest()

    known = {mark(row): row for row in raw.rows["development"].tolist()}
    twice = []
    for row in raw.rows.get("test", np.empty(0, int)).tolist():
        other = known.get(mark(row))
        if other is not None:
            twice.append((row, other))
    return twice


@contextmanager
def _noted(facts: dict[str, Any]) -> Iterator[None]:
    """A UserError inside is one of the problems."""
    try:
        yield
    except UserError as error:
        facts["problems"].append(f"{error} ({error.hint})" if error.hint else str(error))


def _read(path: Path) -> RawData:
    """An HDF5 file with its images as they are, if they are square."""
    with Reader(path) as file:
        size = min(file.dataset(h5.layout_of(file).images, 4, "uif").shape[2:])
    raw = h5.read_file(path, size)
    return rc49.of_angles(raw, path) if rc49.recognises(path) and rc49.is_full(path) else raw


def _number(made: dict[str, Any]) -> dict[str, Any] | None:
    """The facts of a continuous label by the attributes of a file; None where there are none."""
    facts = {
        key: float(made[key])
        for key in ("min", "max", "step")
        if isinstance(made.get(key), int | float)
    }
    if not {"min", "max"} <= set(facts) or facts.get("step", 1) <= 0:
        return None
    return {"kind": "continuous", "unit": str(made.get("unit", "")), **facts}


def _file(path: Path, facts: dict[str, Any]) -> None:
    with Reader(path) as file:
        facts["arrays"] = {name: file.outline(name) for name in file.names()}
    raw = _read(path)
    facts["images"] = {part: len(rows) for part, rows in raw.rows.items()}
    if raw.types is not None:
        facts["types"] = len(np.unique(raw.types))
    with _noted(facts):
        splits.check_disjoint(raw, str(path))
    _labels(raw.labels, raw.rows["development"], raw.label.get("classes"), path, facts)


def _table(path: Path, facts: dict[str, Any]) -> None:
    rows = csv_file.table(path)
    facts["images"] = dict(Counter(row.split or "all" for row in rows))
    numbers = [csv_file.number(row.label) for row in rows]
    if None in numbers:
        facts["classes"] = dict(sorted(Counter(row.label for row in rows).items()))
    else:
        values = np.array(numbers, np.float64)
        whole = bool((values == np.rint(values)).all())
        names = sorted({row.label for row in rows}, key=float) if whole else None
        _labels(values, np.arange(len(values)), names, path, facts)
    _look_at([row.file for row in rows], facts)


def _folder(path: Path, facts: dict[str, Any]) -> None:
    _look_at_classes(folder.listing(path), facts)


def _tiny_imagenet(path: Path, facts: dict[str, Any]) -> None:
    train, test = tiny_imagenet.listing(path)
    _look_at_classes(train, facts)
    facts["images"] = {"all": facts["images"]["all"], "test": sum(map(len, test.values()))}
    _look_at([file for files in test.values() for file in files], facts)


def _cifar10(path: Path, facts: dict[str, Any]) -> None:
    any_rows = Data(source="cifar10", size=32, num_train=1, num_validation=1)
    raw = cifar10.original(cifar10.root_of(path), any_rows)
    facts["images"] = {part: len(raw.rows[part]) for part in ("development", "test")}
    _labels(raw.labels, raw.rows["development"], cifar10.CLASSES, path, facts)


def _utkface(path: Path, facts: dict[str, Any]) -> None:
    faces, left_out = utkface.listing(path)
    facts["images"] = {"all": len(faces), **left_out}
    ages = np.array([face.age for face in faces], np.float64)
    facts["numbers"] = {
        "distinct": len(np.unique(ages)),
        "min": ages.min().item(),
        "max": ages.max().item(),
    }
    facts["types"] = len({face.race for face in faces})
    _look_at([face.file for face in faces], facts)


def _look_at_classes(classes: dict[str, list[Path]], facts: dict[str, Any]) -> None:
    facts["classes"] = {name: len(files) for name, files in classes.items()}
    facts["images"] = {"all": sum(facts["classes"].values())}
    _look_at([file for files in classes.values() for file in files], facts)


def _look_at(files: list[Path], facts: dict[str, Any]) -> None:
    """Decodes every file: the sizes, and which are damaged."""
    looks = pictures.sizes(files)
    facts["sizes"] = dict(Counter(size for size in looks if isinstance(size, str)).most_common())
    broken = [str(error) for error in looks if isinstance(error, UserError)]
    facts["problems"] += broken[:SHOWN]
    facts["problems"] += [f"and {len(broken) - SHOWN} more images"] if len(broken) > SHOWN else []


def _labels(
    values: np.ndarray,
    development: np.ndarray,
    names: list[str] | None,
    path: Path,
    facts: dict[str, Any],
) -> None:
    """Counts of classes, or the range of labels that are no integers."""
    finite = values[np.isfinite(values)]
    distinct, counts = np.unique(finite, return_counts=True)
    if (distinct != np.rint(distinct)).any():
        facts["numbers"] = {
            "distinct": len(distinct),
            "min": float(distinct[0]),
            "max": float(distinct[-1]),
        }
        with _noted(facts):
            labels.as_numbers(values, {"min": distinct[0], "max": distinct[-1]}, str(path))
        return
    named = dict(enumerate(names or []))
    facts["classes"] = {
        named.get(int(label), f"{label:g}"): int(count)
        for label, count in zip(distinct, counts, strict=True)
    }
    with _noted(facts):
        labels.checked(values, development, str(path), names=names)


def _counts(counts: dict[str, int]) -> str:
    first = ", ".join(f"{name}: {count:,}" for name, count in list(counts.items())[:SHOWN])
    return first + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _classes(counts: dict[str, int]) -> str:
    names = ", ".join(list(counts)[:SHOWN]) + (", ..." if len(counts) > SHOWN else "")
    return f"{len(counts)}, of {min(counts.values()):,} to {max(counts.values()):,} images: {names}"
