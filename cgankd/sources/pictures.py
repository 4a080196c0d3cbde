"""Image files and arrays of any shape -> uint8 (3, S, S): RGB, square, of one side.

- Grey becomes three equal channels. Pixels of more than 8 bits (of grey alone; Pillow reads 8 bits
  of such colours) are scaled so that the range which they have in all files becomes 0 to 255: a
  camera of 12 bits would be black in the upper 8 of 16.
- Where transparency differs within an image, it is put on white if what is opaque is dark, and on
  black if that is light, so that a shape which lives in the transparency is seen.
- Photos are turned upright as their EXIF says; what is not square is cut to the square in its
  middle; what has another side is resized, antialiased (bicubic).

Nothing is changed in an RGB image of the right shape.
"""

import os
import stat
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from cgankd import console
from cgankd.errors import DATA, UserError
from cgankd.sources import notes, places

RULES = 2  # of the conversion: images that were kept by other rules are decoded again
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
DEEP = ("I", "F")  # Pillow's modes of more than 8 bits, with I;16 and its like
FULL = 65535.0  # white in 16 bits
FLAT = 2  # of 255: an image whose channels vary by no more shows nothing
DARK = 32  # of 255: pixels that all lie below are hardly meant so
SHOWN = 12  # files that a message names
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
Span = tuple[float, float]  # the smallest and the largest pixel
T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file; UserError naming it when it is none, or turns out to be damaged."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
            raise ValueError("a folder, a pipe or a device")
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            yield image
    except DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(
            f"{places.shown(str(path))}: not a readable image ({reason})",
            DATA,
            "replace it, or leave it out with data.skip_broken = true",
        ) from error


def read(path: Path, size: int, span: Span | None = None) -> np.ndarray | Span:
    """An image file as uint8 (3, size, size); of one with more than 8 bits its own span, unless
    `span` says which pixels are to be black and white.
    """
    with opened(path) as image:
        # spares a JPEG the decoding of details that the resizing drops
        image.draft(None, (2 * size, 2 * size))
        image = ImageOps.exif_transpose(image)
        if not _is_deep(image):
            return fit(rgb(image), size)
        pixels = np.asarray(image, np.float64)
        if not np.isfinite(pixels).all():
            raise ValueError("pixels that are no numbers")
        if span is None:
            return float(pixels.min()), float(pixels.max())
        return fit(grey(pixels, span), size)


def _is_deep(image: Image.Image) -> bool:
    return image.mode in DEEP or image.mode.startswith("I;16")


def grey(pixels: np.ndarray, span: Span) -> Image.Image:
    """Numbers (H, W) as an image in which `span` is black and white."""
    low, high = span
    levels = np.rint((pixels - low) * (255 / (high - low))).clip(0, 255)
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


def rgb(image: Image.Image) -> Image.Image:
    """An image of 8 bits as red, green and blue, without transparency."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    alpha = np.asarray(layered)[..., 3].astype(np.float64)
    if alpha.min() == alpha.max():  # then it shows nothing, and the colours are what there is
        return layered.convert("RGB")
    brightness = np.average(np.asarray(layered.convert("L")), weights=alpha)
    behind = (255, 255, 255, 255) if brightness < 128 else (0, 0, 0, 255)
    return Image.alpha_composite(Image.new("RGBA", image.size, behind), layered).convert("RGB")


def fit(image: Image.Image, size: int) -> np.ndarray:
    """An RGB or grey image as (3 or 1, size, size): the square in its middle, resized where its
    side is another.
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if image.size != (size, size):
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def read_all(
    paths: Sequence[Path], size: int, *, skip_broken: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Image files as uint8 (n, 3, size, size), and which of `paths` they are: all, or those that
    could be read.
    """
    images = np.empty((len(paths), 3, size, size), np.uint8)
    spans: dict[int, Span] = {}
    faults: dict[int, UserError] = {}

    def take(row: int, made: np.ndarray | Span | UserError) -> None:
        if isinstance(made, UserError):
            faults[row] = made
        elif isinstance(made, tuple):
            spans[row] = made
        else:
            images[row] = made

    _each(range(len(paths)), lambda row: _attempt(paths[row], size), take)
    if spans:  # all of them decide what is black and what is white
        span = _joint(list(spans.values()), places.shown(str(paths[min(spans)])))
        deep = sorted(spans)
        again = [paths[row] for row in deep]
        _each(again, lambda path: _attempt(path, size, span), lambda i, made: take(deep[i], made))
    if faults:
        _tell(list(faults.values()), len(paths), skip_broken)
    kept = np.setdiff1d(np.arange(len(paths)), list(faults)).astype(np.int64)
    return images[kept] if faults else images, kept


def span_of(paths: Sequence[Path]) -> Span | None:
    """What `read_all` makes black and white in those image files that have more than 8 bits; None
    where none has.
    """
    spans: list[Span] = []

    def look(path: Path) -> Span | None:
        try:
            with opened(path) as image:
                deep = _is_deep(image)
            made = read(path, 1) if deep else None
        except UserError:  # whoever reads them all says so
            return None
        return made if isinstance(made, tuple) else None

    _each(paths, look, lambda _, span: spans.append(span) if span else None)
    return _range(spans) if spans else None


def read_each(paths: Sequence[Path], size: int, span: Span | None) -> list[np.ndarray | UserError]:
    """Of each image file uint8 (3, size, size) as `read_all` gives it, or why there is none; `span`
    is black and white in the images of more than 8 bits that a network was trained on.
    """

    def one(path: Path) -> np.ndarray | UserError:
        made = _attempt(path, size, span)
        if not isinstance(made, tuple):
            return made
        return UserError(
            f"{places.shown(str(path))}: has more than 8 bits, and the network was not trained on "
            "such images: what is black and white in it is not known"
        )

    with warnings.catch_warnings(), ThreadPoolExecutor(_num_threads()) as threads:
        warnings.simplefilter("ignore")
        return list(threads.map(one, paths))


def _num_threads() -> int:
    return min(8, os.cpu_count() or 1)


def _attempt(path: Path, size: int, span: Span | None = None) -> np.ndarray | Span | UserError:
    try:
        return read(path, size, span)
    except UserError as error:
        return error


def _joint(spans: list[Span], first: str) -> Span:
    """What is black and what is white in images of more than 8 bits."""
    low, high = _range(spans)
    notes.say(
        f"{len(spans):,} images have more than 8 bits (the first: {first}): their pixels, {low:g} "
        f"to {high:g}, become 0 to 255"
    )
    return low, high


def _range(spans: list[Span]) -> Span:
    low, high = min(low for low, _ in spans), max(high for _, high in spans)
    if low == high:  # nothing to scale by: as if all 16 bits were used
        return min(low, 0.0), max(high, FULL if high > 1 else 1.0)
    return low, high


def _tell(faults: list[UserError], num: int, skip_broken: bool) -> None:
    """UserError for images that cannot be read, or a warning where they may be left out."""
    first = "; ".join(map(str, faults[:SHOWN])) + ("; ..." if len(faults) > SHOWN else "")
    text = first if len(faults) == 1 else f"{len(faults)} of {num} images cannot be read: {first}"
    if not skip_broken or len(faults) == num:
        hint = "replace them, or leave them out with data.skip_broken = true"
        raise UserError(text, DATA, faults[0].hint if len(faults) == 1 else hint)
    notes.warn(f"{len(faults)} of {num} images cannot be read and are left out: {first}")


def tell_dull(images: np.ndarray, name: Callable[[int], str], where: str) -> None:
    """Warns of images (N, 3, S, S) that show nothing, since all their pixels are (almost) the same,
    and of a set without a light pixel; `name` says which image stands in a row.
    """
    lightest = images.max((2, 3))
    flat = np.flatnonzero((lightest - images.min((2, 3)) <= FLAT).all(1))
    if flat.size:
        first = ", ".join(name(row) for row in flat[:3].tolist())
        notes.warn(
            f"{where}: {flat.size:,} of {len(images):,} images are of (almost) one colour, the "
            f"first {first}"
        )
    if len(images) and lightest.max() < DARK:
        notes.warn(
            f"{where}: no pixel of {len(images):,} images is above {lightest.max()} of 255: was "
            "their range cut when they were stored?"
        )


def size_of(path: Path) -> str:
    """Width and height of an image file by its header; empty where it has none."""
    try:
        with opened(path) as image:
            return f"{image.width} x {image.height}"
    except UserError:
        return ""


def sizes(paths: Sequence[Path]) -> dict[str, int]:
    """How many images have which width and height, the most frequent first."""
    looks: list[str] = []
    _each(paths, size_of, lambda _, size: looks.append(size))
    return dict(Counter(size for size in looks if size).most_common())


def fit_all(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, 1 or 3, H, W) -> (N, 3, size, size)."""
    if images.shape[1:] == (3, size, size):
        return images
    if images.shape[2:] != (size, size):
        images = _resized(images, size)
    return np.ascontiguousarray(np.broadcast_to(images, (len(images), 3, size, size)))


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, C, H, W) -> (N, C, size, size), with one channel or three."""

    def resized(row: int) -> np.ndarray:
        pixels = images[row, 0] if images.shape[1] == 1 else images[row].transpose(1, 2, 0)
        return fit(Image.fromarray(np.ascontiguousarray(pixels)), size)

    fitted = np.empty((*images.shape[:2], size, size), np.uint8)
    _each(range(len(images)), resized, fitted.__setitem__)
    return fitted


def _each(values: Sequence[T], make: Callable[[T], R], take: Callable[[int, R], None]) -> None:
    """Makes something of each value in threads, since Pillow works outside Python's lock, and takes
    it in order.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(_num_threads()) as threads:
        warnings.simplefilter("ignore")  # of odd metadata, and of sizes, which are checked here
        with console.progress("images", len(values)) as show:
            for start in range(0, len(values), BLOCK):
                made = threads.map(make, values[start : start + BLOCK])
                for row, one in enumerate(made, start):
                    take(row, one)
                show(min(start + BLOCK, len(values)), "")
