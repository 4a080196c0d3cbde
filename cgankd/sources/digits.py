"""The handwritten digits that scikit-learn carries, and the same turned by a known angle."""

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources.source import SPLITS, Source

LABEL = {"kind": "class", "classes": [str(digit) for digit in range(10)]}
ANGLE = {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}


def digits(settings: Data, seed: int) -> Source:
    """The 1,797 handwritten digits of the UCI repository that scikit-learn carries, 10 classes."""
    rng = np.random.default_rng([seed, 0xDA7A])
    images, labels = _handwritten(settings.size)
    rows = _stratified(labels, settings, rng)
    return Source(_three_channels(images), labels, rows, LABEL)


def digits_angle(settings: Data, seed: int) -> Source:
    """The same digits, each turned counter-clockwise by one angle of [0, 90) degrees, which is its
    label.
    """
    from scipy.ndimage import rotate

    rng = np.random.default_rng([seed, 0xDA7A])
    images, types = _handwritten(settings.size)
    order = rng.permutation(len(images))
    rows = _split(order, settings)
    angles = rng.uniform(0, 90, len(images)).astype(np.float32)
    turned = [
        rotate(image, float(angle), reshape=False, order=1)
        for image, angle in zip(images, angles, strict=True)
    ]
    return Source(_three_channels(np.stack(turned)), angles, rows, ANGLE, types)


def _handwritten(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey images (1797, size, size) in [0, 1] and their classes."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    data = load_digits()
    images = zoom(
        data.images / 16, (1, size / 8, size / 8), order=1, grid_mode=True, mode="grid-constant"
    )
    return np.clip(images, 0, 1), data.target.astype(np.int64)


def _three_channels(images: np.ndarray) -> np.ndarray:
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(pixels[:, None], 3, axis=1))


def _split(order: np.ndarray, settings: Data) -> dict[str, np.ndarray]:
    """The splits of the shuffled rows `order`, each in increasing order."""
    ends = np.cumsum(settings.numbers)
    if ends[-1] >= len(order):
        raise UserError(
            f"data.num_train + data.num_validation = {ends[-1]}, but {settings.source} has "
            f"{len(order)} images",
            DATA,
            "ask for fewer, so that some are left for the test",
        )
    return {split: np.sort(part) for split, part in zip(SPLITS, np.split(order, ends), strict=True)}


def _stratified(
    labels: np.ndarray, settings: Data, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Splits with the same number of every class."""
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
    shuffled = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
    cuts = [settings.numbers[0] // len(classes), per_class]
    parts = zip(*(np.split(rows, cuts) for rows in shuffled), strict=True)
    return {split: np.sort(np.concatenate(part)) for split, part in zip(SPLITS, parts, strict=True)}
