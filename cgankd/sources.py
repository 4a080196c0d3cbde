"""The data sets: from a source's name to checked arrays and seeded splits, without torch.

N images of side S: images uint8 (N, 3, S, S); labels int64 (N,) classes or float32 (N,) in the label's unit.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgankd import runs
from cgankd.errors import DATA, UserError
from cgankd.preset import Data

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """Images, labels, the rows of each split, and the facts of the label that task.py builds on."""

    images: np.ndarray
    labels: np.ndarray
    rows: dict[str, np.ndarray]
    label: dict[str, Any]

    def digest(self) -> str:
        """Of the content: pixels, labels, splits and the meaning of the label."""
        total = hashlib.sha256(runs.digest(self.label).encode())
        for array in (self.images, self.labels, *(self.rows[split] for split in SPLITS)):
            total.update(f"{array.dtype}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def seen(self, split: str) -> dict[str, str]:
        """What an artefact records of the rows it was trained on."""
        return {"split": split, "rows": hashlib.sha256(self.rows[split].tobytes()).hexdigest()}

    def check_unseen(self, seen: dict[str, str], name: str) -> None:
        """UserError where what `name` was trained on is not known to leave the validation rows out."""
        known = [split for split in SPLITS if self.seen(split) == seen]
        if not known or np.isin(self.rows["validation"], self.rows[known[0]]).any():
            raise UserError(
                f"{name} was trained on rows that may include the validation rows, so rho cannot be chosen on them",
                DATA,
                "build it again on this split with --rebuild",
            )


def load(settings: Data, seed: int) -> Source:
    """The images of `settings`, split by `seed`; UserError when they do not suffice."""
    make = {"digits": _digits, "digits-angle": _digits_angle}[settings.source]
    return make(settings, np.random.default_rng([seed, 0xDA7A]))


def identify(settings: Data, seed: int, run: runs.Run) -> str:
    """The digest of the content, computed once per run folder and kept in its data.json."""
    asked = {"data": settings.model_dump(), "seed": seed}
    if run.data.exists():
        known = runs.read_json(run.data)
        if known.get("asked") == asked:
            return str(known["content"])
    source = load(settings, seed)
    rows = {split: {"num": len(rows), **source.seen(split)} for split, rows in source.rows.items()}
    known = {"asked": asked, "content": source.digest(), "label": source.label, "rows": rows}
    if run.root.is_dir():
        runs.write_json(run.data, known)
    return str(known["content"])


def _digits(settings: Data, rng: np.random.Generator) -> Source:
    """The 1,797 handwritten digits of the UCI repository that scikit-learn carries, 10 classes."""
    images, labels = _handwritten(settings.size)
    rows = _stratified(labels, settings, rng)
    return Source(_three_channels(images), labels, rows, {"kind": "class", "classes": [str(i) for i in range(10)]})


def _digits_angle(settings: Data, rng: np.random.Generator) -> Source:
    """The same digits, each turned counter-clockwise by one angle of [0, 90) degrees, which is its label."""
    from scipy.ndimage import rotate

    images, _ = _handwritten(settings.size)
    order = rng.permutation(len(images))
    rows = _split(order, settings)
    angles = rng.uniform(0, 90, len(images)).astype(np.float32)
    turned = [rotate(image, float(angle), reshape=False, order=1) for image, angle in zip(images, angles, strict=True)]
    label = {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}
    return Source(_three_channels(np.stack(turned)), angles, rows, label)


def _handwritten(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey images (1797, size, size) in [0, 1] and their classes."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = zoom(digits.images / 16, (1, size / 8, size / 8), order=1, grid_mode=True, mode="grid-constant")
    return np.clip(images, 0, 1), digits.target.astype(np.int64)


def _three_channels(images: np.ndarray) -> np.ndarray:
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(pixels[:, None], 3, axis=1))


def _split(order: np.ndarray, settings: Data) -> dict[str, np.ndarray]:
    """The splits of the shuffled rows `order`, each in increasing order."""
    ends = np.cumsum([settings.num_train, settings.num_validation])
    if ends[-1] >= len(order):
        raise UserError(
            f"data.num_train + data.num_validation = {ends[-1]}, but {settings.source} has {len(order)} images",
            DATA,
            "ask for fewer, so that some are left for the test",
        )
    return {split: np.sort(part) for split, part in zip(SPLITS, np.split(order, ends), strict=True)}


def _stratified(labels: np.ndarray, settings: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Splits with the same share of every class."""
    classes, counts = np.unique(labels, return_counts=True)
    for key in ("num_train", "num_validation"):
        if getattr(settings, key) % len(classes):
            raise UserError(f"data.{key} = {getattr(settings, key)} is no multiple of {len(classes)} classes", DATA)
    per_class = (settings.num_train + settings.num_validation) // len(classes)
    if per_class >= counts.min():
        raise UserError(
            f"{per_class} images per class asked for training and validation, but the rarest class has {counts.min()}",
            DATA,
            "lower data.num_train or data.num_validation",
        )
    shuffled = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
    cuts = [settings.num_train // len(classes), per_class]
    parts = zip(*(np.split(rows, cuts) for rows in shuffled), strict=True)
    return {split: np.sort(np.concatenate(part)) for split, part in zip(SPLITS, parts, strict=True)}
