"""Decoded images of many files, kept so that not every stage decodes them again.

They stand in the user's cache folder, one HDF5 per place and size, which is replaced when any file
has another size or time than when it was read, and may be deleted at any time. `cgankd data
prepare` makes a file to keep.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import PIL

from cgankd import console, runs
from cgankd.errors import UserError
from cgankd.preset import Data
from cgankd.runs import hdf5
from cgankd.sources import pictures, places

MIN_FILES = 2000  # fewer are decoded each time


def folder() -> Path:
    """Where cgankd keeps what can be made or fetched again."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "cgankd"


def fetched(name: str, fetch: Callable[[str], object]) -> Path:
    """The folder `name` of the cache. Where it is not there yet, `fetch` is given a folder to put
    it into, and it is moved to its place whole; errors of `fetch` are the caller's.
    """
    place = folder() / name
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".tmp-", dir=place.parent) as fresh,
        redirect_stdout(sys.stderr),
    ):
        fetch(fresh)
        if not place.is_dir():  # another process may have been faster
            (Path(fresh) / name).rename(place)
    return place


def state_of(files: list[Path]) -> list[tuple[str, int, int]]:
    """Name, size and time of each file: while they stand, so do the contents."""
    states = []
    for file in files:
        facts = file.stat()
        states.append((str(file), facts.st_size, facts.st_mtime_ns))
    return states


def decoded(place: Path, paths: list[Path], settings: Data) -> tuple[np.ndarray, np.ndarray]:
    """The images of `paths`, which all belong to `place`, as `pictures.read_all` gives them."""
    images, rows = _kept(place, paths, settings)
    pictures.tell_dull(
        images, lambda row: places.shown(str(paths[rows[row]])), places.shown(str(place))
    )
    return images, rows


def _kept(place: Path, paths: list[Path], settings: Data) -> tuple[np.ndarray, np.ndarray]:
    def read() -> tuple[np.ndarray, np.ndarray]:
        return pictures.read_all(paths, settings.size, skip_broken=settings.skip_broken)

    if len(paths) < MIN_FILES or not all(map(os.path.isfile, paths)):
        return read()
    kept = folder() / f"{runs.digest([str(place.resolve()), settings.size])[:16]}.h5"
    rules = [settings.skip_broken, PIL.__version__, pictures.RULES]
    state = runs.digest([state_of(paths), *rules])
    if known := _look_up(kept, state):
        return known
    images, rows = read()
    try:
        made: dict[str, str | int | float] = {"state": state, "place": places.shown(str(place))}
        hdf5.write(kept, {"images": images, "rows": rows}, made)
    except UserError as error:
        console.warn(f"the decoded images cannot be kept for the next stage: {error}")
    return images, rows


def _look_up(kept: Path, state: str) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        with hdf5.Reader(kept) as file:
            if file.attributes().get("state") == state:
                return file.read("images", 4, "u"), file.read("rows", 1, "i")
    except UserError:
        pass  # absent or damaged: decoded again, and replaced
    return None
