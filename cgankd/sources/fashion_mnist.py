"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28x28 and grey, in ten classes.

The files are IDX, as they were published: a big-endian header (two zeros, the type of the values,
the number of dimensions, the length of each), then unsigned bytes. Nothing is read of a file beyond
what its header announces, and no header is believed that announces more than was published.

Images of side 32 are the originals with a margin of two black pixels; of any other side they are
resized.
"""

import gzip
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import cache, pictures, places
from cgankd.sources.source import RawData

CLASSES = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]
PUBLISHED = {"train": 60_000, "t10k": 10_000}  # images by the beginning of the files' names
SIDE, PADDED = 28, 32
UNSIGNED_BYTE = 8  # the type of the values
INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # by Debian's dataset-fashion-mnist
DOWNLOADED = "FashionMNIST"
FETCH = (
    "name a folder with the published train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
    "t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz in data.path, or install Debian's "
    "package dataset-fashion-mnist"
)


def read(settings: Data, seed: int) -> RawData:
    """All images: of the training images rows are drawn, the test images are the published ones."""
    folder = _place(settings)
    parts = [_part(folder, name) for name in PUBLISHED]
    num = len(parts[0][0])
    images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    rows = {"development": np.arange(num), "test": np.arange(num, len(images))}
    return RawData(squares(images, settings.size), labels, label(settings), rows)


def files(settings: Data) -> list[Path]:
    """What is read; of a download nothing, since its checksums are checked."""
    folder = _given(settings)
    return [] if folder is None else [_file(folder, *part) for part in _parts()]


def label(settings: Data) -> dict[str, Any]:
    """What is known of the label before data are read."""
    return {"kind": "class", "classes": CLASSES}


def recognises(path: Path) -> bool:
    """Whether a folder holds the training images by their published name."""
    return path.is_dir() and _file(path, "train", "images").is_file()


def squares(images: np.ndarray, size: int) -> np.ndarray:
    """Grey images uint8 (N, 28, 28) -> (N, 3, size, size)."""
    if size == PADDED:
        margin = (PADDED - SIDE) // 2
        images = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))
    return pictures.fit_all(images[:, None], size)


def _given(settings: Data) -> Path | None:
    """The folder that a preset names, else the one that is installed, if any."""
    path = places.images(settings)
    return path or (INSTALLED if INSTALLED.is_dir() else None)


def _place(settings: Data) -> Path:
    """The folder of the files; they are fetched where none is given."""
    folder = _given(settings)
    if folder is None:
        return _downloaded() / "raw"
    if not folder.is_dir():
        raise UserError(f"data.path = {settings.path} is no folder", DATA, FETCH)
    return folder


def _parts() -> list[tuple[str, str]]:
    return [(part, what) for part in PUBLISHED for what in ("images", "labels")]


def _file(folder: Path, part: str, what: str) -> Path:
    """A file of the folder, as it was published or unpacked."""
    plain = folder / f"{part}-{what}-idx{3 if what == 'images' else 1}-ubyte"
    return plain if plain.is_file() else plain.with_name(f"{plain.name}.gz")


def _part(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The images uint8 (N, 28, 28) and the labels int64 (N,) of a part."""
    most = PUBLISHED[name]
    file = _file(folder, name, "images")
    images = read_idx(file, (most, SIDE, SIDE))
    if images.shape[1:] != (SIDE, SIDE):
        shape = " x ".join(map(str, images.shape[1:]))
        raise UserError(f"{file}: images of {shape}, expected {SIDE} x {SIDE}", DATA, FETCH)
    file = _file(folder, name, "labels")
    labels = read_idx(file, (most,))
    if len(labels) != len(images):
        raise UserError(f"{file}: {len(labels)} labels of {len(images)} images", DATA, FETCH)
    if labels.max() >= len(CLASSES):
        raise UserError(
            f"{file}: a label is {labels.max()}, expected 0 to {len(CLASSES) - 1}", DATA, FETCH
        )
    return images, labels.astype(np.int64)


def read_idx(path: Path, most: tuple[int, ...]) -> np.ndarray:
    """The unsigned bytes of an IDX file, which may be compressed, in its shape.

    UserError where it is damaged, empty, or announces more than `most` along a dimension; beyond
    that no memory is asked for.
    """
    if not path.is_file():  # reading a pipe would wait for ever
        raise UserError(f"{path} not found", DATA, FETCH)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _values(file, path, most)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged ({error})", DATA, FETCH) from error


def _values(file: BufferedIOBase, path: Path, most: tuple[int, ...]) -> np.ndarray:
    header = file.read(4 * (1 + len(most)))
    if header[:4] != bytes([0, 0, UNSIGNED_BYTE, len(most)]) or len(header) % 4:
        raise UserError(
            f"{path}: begins with {header[:4].hex() or 'nothing'}, expected "
            f"0000{UNSIGNED_BYTE:02}{len(most):02}: no IDX file of bytes in {len(most)} dimensions",
            DATA,
            FETCH,
        )
    shape = struct.unpack(f">{len(header) // 4 - 1}I", header[4:])
    announced = " x ".join(map(str, shape))
    fits = len(shape) == len(most) and all(map(int.__le__, shape, most))
    if not fits or 0 in shape:
        raise UserError(
            f"{path}: announces {announced or 'nothing'}, expected at most "
            f"{' x '.join(map(str, most))}",
            DATA,
            FETCH,
        )
    size = int(np.prod(shape))
    data = file.read(size + 1)
    if len(data) != size:
        found = "more" if len(data) > size else f"{len(data):,} bytes"
        raise UserError(f"{path}: announces {announced} bytes, but holds {found}", DATA, FETCH)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _downloaded() -> Path:
    """The folder of torchvision's download, which compares the files with their checksums."""

    def fetch(root: str) -> None:
        from torchvision.datasets import FashionMNIST

        FashionMNIST(root, download=True)

    try:
        return cache.fetched(DOWNLOADED, fetch)
    except (OSError, RuntimeError) as error:
        raise UserError(f"Fashion-MNIST could not be downloaded ({error})", DATA, FETCH) from error
