"""Image files and arrays of any shape -> uint8 (3, S, S): RGB, square, of one side.

Grey becomes three equal channels and transparency is dropped; photos are turned upright as their
EXIF says; what is not square is cut to the square in its middle; what has another side is resized,
antialiased (bicubic). Nothing is changed in an RGB image of the right shape.
"""

import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from cgankd import console
from cgankd.errors import DATA, UserError

MAX_PIXELS = 1 << 26  # of one image: more is no photograph but a decompression bomb
FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "BMP",
    "GIF",
    "TIFF",
    "PPM",
)  # no format that starts another program
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
BLOCK = 1024  # files decoded between two looks at the progress
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    Image.DecompressionBombError,
)
T = TypeVar("T")
R = TypeVar("R")


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder by name, hidden ones left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()
    )


def inside(folder: Path, name: str, where: str) -> Path:
    """The file `name` of a folder; UserError where a list of files tries to lead out of it."""
    path = Path(name)
    if path.is_absolute() or path.drive or ".." in path.parts or "\0" in name:
        raise UserError(
            f"{where}: {name!r} leads out of {folder}, which is refused",
            DATA,
            "name files relative to it",
        )
    return folder / path


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file; UserError naming it when it is none, or turns out to be damaged."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            yield image
    except DAMAGED as error:
        raise UserError(
            f"{path}: not a readable image ({error})",
            DATA,
            "replace it, or leave it out with data.skip_broken = true",
        ) from error


def read(path: Path, size: int) -> np.ndarray:
    """An image file as uint8 (3, size, size)."""
    with opened(path) as image:
        image.draft(
            None, (2 * size, 2 * size)
        )  # spares a JPEG the decoding of details that the resizing drops
        return fit(rgb(ImageOps.exif_transpose(image)), size)


def rgb(image: Image.Image) -> Image.Image:
    """8 bits of red, green and blue; of 16 bits of grey the upper 8."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of 32 bits (mode {image.mode}); save it with 8 bits per channel")
    return (image.convert("RGBA") if image.has_transparency_data else image).convert("RGB")


def fit(image: Image.Image, size: int) -> np.ndarray:
    """An RGB image as (3, size, size): the square in its middle, resized where its side is
    another.
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if image.size != (size, size):
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image).transpose(2, 0, 1)


def read_all(
    paths: Sequence[Path], size: int, *, skip_broken: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Image files as uint8 (n, 3, size, size), and which of `paths` they are: all, or those that
    could be read.
    """

    def attempt(path: Path) -> np.ndarray | UserError:
        try:
            return read(path, size)
        except UserError as error:
            return error

    images = np.empty((len(paths), 3, size, size), np.uint8)
    kept: list[int] = []
    faults: list[UserError] = []

    def take(row: int, made: np.ndarray | UserError) -> None:
        if isinstance(made, UserError):
            faults.append(made)
            if not skip_broken:
                raise made
        else:
            images[len(kept)] = made
            kept.append(row)

    _each(paths, attempt, take)
    if faults:
        if not kept:
            raise faults[0]
        first = "; ".join(str(fault) for fault in faults[:3])
        console.warn(
            f"{len(faults)} of {len(paths)} images cannot be read and are left out: {first}"
        )
    return images[: len(kept)], np.array(kept, np.int64)


def sizes(paths: Sequence[Path]) -> list[str | UserError]:
    """Width and height of each image file, decoded as a whole, or what is wrong with it."""

    def look(path: Path) -> str | UserError:
        try:
            with opened(path) as image:
                image.load()
                return f"{image.width} x {image.height}"
        except UserError as error:
            return error

    looks: list[str | UserError] = []
    _each(paths, look, lambda _, size: looks.append(size))
    return looks


def fit_all(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, 1 or 3, H, W) -> (N, 3, size, size)."""
    if images.shape[1:] == (3, size, size):
        return images
    channels = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
    if images.shape[2:] == (size, size):
        return np.ascontiguousarray(channels)

    def resized(row: int) -> np.ndarray:
        return fit(Image.fromarray(np.ascontiguousarray(channels[row].transpose(1, 2, 0))), size)

    fitted = np.empty((len(images), 3, size, size), np.uint8)
    _each(range(len(images)), resized, fitted.__setitem__)
    return fitted


def _each(values: Sequence[T], make: Callable[[T], R], take: Callable[[int, R], None]) -> None:
    """Makes something of each value in threads, since Pillow works outside Python's lock, and takes
    it in order.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        warnings.simplefilter("ignore")  # of odd metadata, and of sizes, which are checked here
        with console.progress("images", len(values)) as show:
            for start in range(0, len(values), BLOCK):
                for row, made in enumerate(threads.map(make, values[start : start + BLOCK]), start):
                    take(row, made)
                show(min(start + BLOCK, len(values)), "")
