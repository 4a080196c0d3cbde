"""A data set, before and after its rows are split.

N images of side S: images uint8 (N, 3, S, S); labels int64 (N,) classes or float32 (N,) in the
label's unit; types int64 (N,), where the source knows any: a second class, such as a chair's model,
that no network is told.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cgankd import runs
from cgankd.errors import DATA, UserError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """Images, labels, the rows of each split, and the facts of the label that task.py builds on."""

    images: np.ndarray
    labels: np.ndarray
    rows: dict[str, np.ndarray]
    label: dict[str, Any]
    types: np.ndarray | None = None

    @property
    def leaky(self) -> bool:
        """Whether validation rows are training rows too, as in the published protocol."""
        return bool(np.isin(self.rows["validation"], self.rows["train"]).any())

    def digest(self) -> str:
        """Of the content: pixels, labels, splits, the meaning of the label, and the types if there
        are any.
        """
        total = hashlib.sha256(runs.digest(self.label).encode())
        types = [] if self.types is None else [self.types]
        for array in (self.images, self.labels, *(self.rows[split] for split in SPLITS), *types):
            total.update(f"{array.dtype}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def seen(self, split: str) -> dict[str, Any]:
        """What an artefact records of the rows it was trained on."""
        facts = {"split": split, "rows": hashlib.sha256(self.rows[split].tobytes()).hexdigest()}
        return {**facts, "leaky": True} if self.leaky and split == "train" else facts

    def check_unseen(self, seen: dict[str, Any], name: str) -> None:
        """UserError where `name` may have seen validation rows, unless the protocol of this data
        allows just that.
        """
        known = [split for split in SPLITS if self.seen(split) == seen]
        overlap = known and np.isin(self.rows["validation"], self.rows[known[0]]).any()
        if not known or (overlap and not self.leaky):
            raise UserError(
                f"{name} was trained on rows that may include the validation rows, so rho cannot "
                "be chosen on them",
                DATA,
                "build it again on this split with --rebuild",
            )


@dataclass(frozen=True)
class RawData:
    """What a reader finds: labelled images, and which of them may be drawn for what.

    `rows` holds `development`, the rows for training and validation, and where the source fixes
    them `train`, `validation` and `test`. Without `test` the test rows are the development rows
    that are left, with `left_is_test` these too.
    """

    images: np.ndarray
    labels: np.ndarray
    label: dict[str, Any]
    rows: dict[str, np.ndarray]
    types: np.ndarray | None = None
    left_is_test: bool = False
    left_out: dict[str, int] = field(default_factory=dict)  # how many files for which reason

    def with_test(self, test: "RawData") -> "RawData":
        """This with the rows of another file as its test rows: those that are test rows there, else
        all.
        """
        rows = test.rows.get("test", test.rows["development"])
        images = np.concatenate([self.images, test.images[rows]])
        labels = np.concatenate([self.labels, test.labels[rows]])
        types = None
        if self.types is not None and test.types is not None:
            types = np.concatenate([self.types, test.types[rows]])
        return replace(
            self,
            images=images,
            labels=labels,
            types=types,
            rows={**self.rows, "test": np.arange(len(self.images), len(images))},
        )
