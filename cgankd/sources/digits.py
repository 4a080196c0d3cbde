"""The 1,797 handwritten digits of the UCI repository that scikit-learn carries, 10 classes."""

from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources.embedded import files, recognises, three_channels
from cgankd.sources.source import SPLITS, RawData

__all__ = ["files", "handwritten", "label", "read", "recognises"]

CLASSES = [str(digit) for digit in range(10)]


def read(settings: Data, seed: int) -> RawData:
    """The digits, of each class as many to train on, and to validate."""
    rng = np.random.default_rng([seed, 0xDA7A])
    images, classes = handwritten(settings.size)
    rows = _stratified(classes, settings, rng)
    return RawData(three_channels(images), classes, label(settings), rows)


def label(settings: Data) -> dict[str, Any]:
    """What is known of the label before data are read."""
    return {"kind": "class", "classes": CLASSES}


def handwritten(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey images (1797, size, size) in [0, 1] and their classes."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    data = load_digits()
    images = zoom(
        data.images / 16, (1, size / 8, size / 8), order=1, grid_mode=True, mode="grid-constant"
    )
    return np.clip(images, 0, 1), data.target.astype(np.int64)


def _stratified(
    labels: np.ndarray, settings: Data, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Splits with the same number of every class to train on, and to validate."""
    classes, counts = np.unique(labels, return_counts=True)
    for key in ("num_train", "num_validation"):
        if getattr(settings, key) % len(classes):
            raise UserError(
                f"data.{key} = {getattr(settings, key)} is no multiple of {len(classes)} classes",
                DATA,
            )
    per_class = sum(settings.numbers) // len(classes)
    if per_class >= counts.min():
        raise UserError(
            f"{per_class} images per class asked for training and validation, but the rarest "
            f"class has {counts.min()}",
            DATA,
            "lower data.num_train or data.num_validation",
        )
    cuts = [settings.numbers[0] // len(classes), per_class]
    parts: list[list[np.ndarray]] = [[], [], []]
    for digit in classes:
        shuffled = rng.permutation(np.flatnonzero(labels == digit))
        for part, some in zip(parts, np.split(shuffled, cuts), strict=True):
            part.append(some)
    rows = {split: np.sort(np.concatenate(part)) for split, part in zip(SPLITS, parts, strict=True)}
    return {**rows, "development": np.union1d(rows["train"], rows["validation"])}
