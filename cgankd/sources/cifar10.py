"""CIFAR-10: torchvision's files, downloaded where no path is given, or an HDF5 in a published
layout.

The training rows of torchvision's files are those of the published C-10K, C-20K and C-50K, whatever
the seed.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import cache, h5, pictures, places
from cgankd.sources.source import RawData

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = "cifar-10-batches-py"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
NUM_TRAIN = 50_000


def read(settings: Data, seed: int) -> RawData:
    """The images of data.path, else of torchvision's download; a file without test images gets
    those of the latter.
    """
    path = places.images(settings)
    if path is None:
        return original(_downloaded(), settings)
    if path.is_dir():
        places.check_no_test(settings, path)
        return original(root_of(path), settings)
    if not path.exists():
        raise UserError(
            f"data.path = {settings.path} not found",
            DATA,
            f"{h5.EXPECTED}, or the folder {BATCHES}; without data.path CIFAR-10 is downloaded",
        )
    raw = h5.labelled(settings, names=CLASSES)
    return raw if "test" in raw.rows else raw.with_test(_test_of_download(path, settings))


def files(settings: Data) -> list[Path]:
    """What is read; of a download nothing, since its checksums are checked."""
    path = places.images(settings)
    if path is None:
        return []
    return sorted((root_of(path) / BATCHES).glob("*")) if path.is_dir() else h5.files(settings)


def label(settings: Data) -> dict[str, Any]:
    """What is known of the label before data are read."""
    return {"kind": "class", "classes": CLASSES}


def recognises(path: Path) -> bool:
    """Whether a folder is torchvision's, or holds it."""
    return (root_of(path) / BATCHES).is_dir()


def published_rows(num_train: int, num_validation: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of sub-train and sub-valid in torchvision's order, shuffled by numpy's legacy
    generator of seed 2020.

    C-N are the first N of the order, so C-10K lies within C-20K; their classes are not balanced.
    """
    order = np.arange(NUM_TRAIN)
    np.random.RandomState(2020).shuffle(order)
    return order[:num_train], order[num_train : num_train + num_validation]


def root_of(path: Path) -> Path:
    """The folder that holds cifar-10-batches-py, of which either may be given."""
    return path.parent if path.name == BATCHES else path


def original(root: Path, settings: Data) -> RawData:
    """All of torchvision's images, the published rows as training and validation rows."""
    parts = [_load(root, train) for train in (True, False)]
    images = pictures.fit_all(np.concatenate([images for images, _ in parts]), settings.size)
    train, validation = published_rows(*settings.numbers)
    rows = {
        "development": np.arange(len(parts[0][0])),
        "train": train,
        "validation": validation,
        "test": np.arange(len(parts[0][0]), len(images)),
    }
    labels = np.concatenate([labels for _, labels in parts])
    return RawData(images, labels, label(settings), rows)


def _load(root: Path, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) and labels of `root`/cifar-10-batches-py.

    torchvision unpickles nothing whose checksum is not that of the original.
    """
    from torchvision.datasets import CIFAR10

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, about the age of the pickles
            data = CIFAR10(root, train=train)
    except RuntimeError as error:
        raise UserError(
            f"{root / BATCHES}: files are missing, or are not those of CIFAR-10",
            DATA,
            f"remove the folder, and unpack {URL} anew in its place",
        ) from error
    return np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)), np.array(data.targets, np.int64)


def _downloaded() -> Path:
    """The folder that holds cifar-10-batches-py; fetched there when it does not yet."""

    def fetch(root: str) -> None:
        from torchvision.datasets import CIFAR10

        CIFAR10(root, download=True)

    try:
        return cache.fetched(BATCHES, fetch).parent
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"CIFAR-10 could not be downloaded from {URL} ({error})",
            DATA,
            f"unpack that file as {cache.folder() / BATCHES}, or name this folder or an HDF5 in "
            "data.path",
        ) from error


def _test_of_download(path: Path, settings: Data) -> RawData:
    try:
        return original(_downloaded(), settings)
    except UserError as error:
        raise UserError(
            f"{path} holds no test images, data.test names none, and torchvision's are not to be "
            f"had: {error}",
            DATA,
            f"name an HDF5 with images_test, labels_test in data.test, or {error.hint}",
        ) from error
