"""What a file or folder of images holds, for people: `inspect` lists it with its problems, `verify`
stops at one.

Both read as a run reads, so that what a run refuses is a problem here, and nothing else is.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cgankd.errors import DATA, USAGE, UserError
from cgankd.preset import Data
from cgankd.preset.kinds import unshown
from cgankd.preset.sources import SOURCES
from cgankd.runs.hdf5 import Reader
from cgankd.sources import catalogue, h5, overlap, pictures, places, splits
from cgankd.sources.source import RawData

SHOWN = 12  # classes or sizes that are listed
SIDE = 32  # of images to look at: enough to tell whether a run can read them
MAX_SIDE = 1 << 16
ANY_NUMBER = [-1e30, 1e30]
FEW = 2  # images of each whole number at least, on average, where these are classes


def inspect(path: Path, bounds: Sequence[float] | None = None) -> dict[str, Any]:
    """What `path` holds and what is wrong with it; `source` is the word for data.source.

    With `bounds` its labels are numbers within them. Else they are classes, or numbers where they
    can be nothing else.
    """
    with places.reading():
        source = source_of(path)
        asked = _settings(path, source, bounds, most=SIDE)
    facts: dict[str, Any] = {"path": places.shown(str(path)), "source": source, "problems": []}
    if path.is_file():
        with suppress(UserError), Reader(path) as file:
            facts["arrays"] = {name: file.outline(name) for name in file.names()}
    raw, problems = _tried(asked)
    if problems and asked.facts.kind is None and not asked.range:
        numbers, others = _tried(asked.model_copy(update={"range": ANY_NUMBER}))
        if numbers and not others and _are_numbers(numbers.labels):
            raw, problems = numbers, others
    if raw is None and asked.facts.pictures:
        with _noted([]):
            raw = catalogue.read(asked.model_copy(update={"skip_broken": True}), 0)
    facts["problems"] += problems
    if raw is not None:
        _describe(raw, asked, facts)
    return facts


def lines(facts: dict[str, Any]) -> list[str]:
    """The facts of `inspect` for a terminal."""
    shown = [("path", facts["path"]), ("source", facts["source"]), *facts.get("arrays", {}).items()]
    for key in ("images", "sizes", "left out"):
        if facts.get(key):
            shown.append((key, _counts(facts[key])))
    if facts.get("classes"):
        shown.append(("classes", _classes(facts["classes"])))
    if "numbers" in facts:
        text = "{distinct:,} distinct numbers in [{min:g}, {max:g}]"
        shown.append(("labels", text.format(**facts["numbers"])))
    if "types" in facts:
        shown.append(("types", str(facts["types"])))
    shown += [("problem", problem) for problem in facts["problems"]] or [("problems", "none found")]
    width = max(len(key) for key, _ in shown) + 2
    return [f"{key:{width}}{value}" for key, value in shown]


def verify(path: Path, bounds: Sequence[float] | None) -> dict[str, Any]:
    """Checks the whole of an HDF5 file: images, labels, indices, and that no test image is one to
    train on.

    `bounds` are those of a continuous label; files that cgankd made know theirs. UserError at the
    first fault.
    """
    with places.reading(), Reader(path):
        source = source_of(path)
    asked = _settings(path, source if source == "rc49" else "h5", bounds, most=MAX_SIDE)
    raw = catalogue.read(asked, 0)
    splits.check_disjoint(raw, str(path))
    test = raw.rows.get("test", np.empty(0, np.int64))
    if twice := overlap.twins(raw.images, test, raw.rows["development"]):
        row, other = twice[0]
        raise UserError(
            f"{path}: {len(twice)} test images are images to train on too, pixel for pixel: row "
            f"{row} of all images is row {other}",
            DATA,
            "drop them from one of the two",
        )
    return {
        "path": str(path),
        "images": {part: len(rows) for part, rows in raw.rows.items()},
        "label": raw.label,
    }


def source_of(path: Path) -> str:
    """Which source reads `path`."""
    if not path.exists():
        raise UserError(
            f"{places.shown(str(path))} not found",
            DATA,
            "name an HDF5 file, a CSV, or a folder of class folders of images",
        )
    for name in SOURCES:
        if catalogue.reader(name).recognises(path):
            return name
    raise UserError(f"{places.shown(str(path))} is no file and no folder", DATA)


def settings_of(path: Path, source: str) -> Data:
    """What a run would ask for to read all of `path`."""
    if unshown(str(path)):
        raise UserError(
            f"{places.shown(str(path))}: a preset cannot name it, since it is no UTF-8 or holds "
            "control characters",
            DATA,
            "rename it",
        )
    num: Literal["auto"] | int = "auto" if SOURCES[source].own_sizes else 1
    return Data(source=source, path=str(path), num_train=num, num_validation=num)


def _settings(path: Path, source: str, bounds: Sequence[float] | None, most: int) -> Data:
    """The same, with images of their own side or `most`, and the label that is known."""
    asked = settings_of(path, source)
    facts: dict[str, Any] = {"size": min(_side(path), most)}
    if asked.facts.kind is None:
        facts |= _number(path)
        if bounds:
            facts["range"] = _checked(bounds)
    return asked.model_copy(update=facts)


def _checked(bounds: Sequence[float]) -> list[float]:
    low, high = map(float, bounds)
    if not (low < high and math.isfinite(high - low)):
        raise UserError(f"--range {low:g} {high:g}: expected the smallest, then the largest", USAGE)
    return [low, high]


def _side(path: Path) -> int:
    """The side of the images of an HDF5 file; SIDE where there is none."""
    if path.is_file():
        with suppress(UserError), Reader(path) as file:
            height, width = file.dataset(h5.layout_of(file).images, 4, "uif").shape[2:]
            return max(1, min(height, width))
    return SIDE


def _number(path: Path) -> dict[str, Any]:
    """The settings of a continuous label by the attributes of a file that cgankd made; none where
    there are none, or they make no sense.
    """
    made: dict[str, Any] = {}
    if path.is_file():
        with suppress(UserError), Reader(path) as file:
            made = file.attributes()
    facts: dict[str, Any] = {key: made[key] for key in ("unit", "step") if key in made}
    with suppress(KeyError, ValueError):
        facts["range"] = [made["min"], made["max"]]
        Data(source="h5", path="x", num_train=1, num_validation=1, **facts)
        return facts
    return {}


def _tried(asked: Data) -> tuple[RawData | None, list[str]]:
    """What a run would read, and why it would be refused."""
    problems: list[str] = []
    raw = None
    with _noted(problems):
        raw = catalogue.read(asked, 0)
        splits.check_disjoint(raw, str(asked.path))
        if asked.facts.own_sizes:
            catalogue.divided(raw, asked, 0)
    return raw, problems


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """A UserError inside is one of the problems."""
    try:
        yield
    except UserError as error:
        problems.append(f"{error} ({error.hint})" if error.hint else str(error))


def _are_numbers(labels: np.ndarray) -> bool:
    """Whether labels are rather numbers than classes: fractions, or hardly one like another."""
    distinct = np.unique(labels)
    return bool((distinct != np.rint(distinct)).any()) or len(labels) < FEW * len(distinct)


def _describe(raw: RawData, asked: Data, facts: dict[str, Any]) -> None:
    """How much there is of what."""
    facts["images"] = {part: len(rows) for part, rows in raw.rows.items()}
    facts["left out"] = {reason: num for reason, num in raw.left_out.items() if num}
    if asked.facts.pictures:
        with _noted([]):
            files = [file for file in catalogue.files(asked) if not places.unread(file)]
            facts["sizes"] = pictures.sizes(files)
    if raw.label["kind"] == "class":
        counts = np.bincount(raw.labels, minlength=len(raw.label["classes"])).tolist()
        facts["classes"] = dict(zip(raw.label["classes"], counts, strict=True))
    else:
        facts["numbers"] = {
            "distinct": len(np.unique(raw.labels)),
            "min": float(raw.labels.min()),
            "max": float(raw.labels.max()),
        }
    if raw.types is not None:
        facts["types"] = len(np.unique(raw.types))


def _counts(counts: dict[str, int]) -> str:
    first = ", ".join(f"{name}: {count:,}" for name, count in list(counts.items())[:SHOWN])
    return first + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _classes(counts: dict[str, int]) -> str:
    names = ", ".join(list(counts)[:SHOWN]) + (", ..." if len(counts) > SHOWN else "")
    return f"{len(counts)}, of {min(counts.values()):,} to {max(counts.values()):,} images: {names}"
