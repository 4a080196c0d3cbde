"""The fake pool on disk: written once in immutable shards, read as views for any rho, with numpy
alone.

A pool holds for each label its first n proposals and, past those, accepted ones. Per row: `images`
uint8 (3, S, S), `labels` as asked (int64 classes or float32 in [0, 1]), `proposals` (the number of
the row within its label), `accepted`, `ratios`, `outputs` of the teacher, its `errors` (nats, or
the label's unit) and `relabels`.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cgankd import runs
from cgankd.console import warn
from cgankd.errors import DATA, UserError
from cgankd.runs import hdf5

COLUMNS = {
    "images": (4, "u"),
    "labels": (1, "if"),
    "proposals": (1, "i"),
    "accepted": (1, "b"),
    "ratios": (1, "f"),
    "outputs": (2, "f"),
    "errors": (1, "f"),
    "relabels": (1, "if"),
}
SMALL = tuple(name for name in COLUMNS if name not in ("images", "outputs"))


@dataclass(frozen=True)
class FakeSelection:
    """Which fakes to use and how they are labelled; the published method is View(rho=...,
    num=...).
    """

    rho: float = 1.0  # share that the teacher's error keeps
    subsample: bool = True  # the accepted ones, or the first proposals as the generator gave them
    # "hard": the teacher's label, in its range; "unclipped": its output; "keep": that asked for
    relabel: str = "hard"
    num: int | None = None  # how many to draw; for classes balanced by label
    bins: int = 1  # equal ranges of the label asked for, in each of which rho is kept


def write_shard(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Writes one shard whole."""
    assert set(rows) == set(COLUMNS), f"a shard needs {sorted(COLUMNS)}"
    rows = {**rows, "accepted": rows["accepted"].astype(np.int8)}
    runs.write_bytes(path, hdf5.to_bytes(rows, {}))


def read_shard(path: Path, columns: tuple[str, ...] = SMALL) -> dict[str, np.ndarray]:
    """Columns of a shard; UserError when it is damaged or no shard."""
    with hdf5.Reader(path) as file:
        rows = {
            name: file.read(name, COLUMNS[name][0], COLUMNS[name][1].replace("b", "i"))
            for name in columns
        }
    if len({len(column) for column in rows.values()}) > 1:
        raise UserError(
            f"{path}: its columns have different lengths", DATA, "run `cgankd generate --rebuild`"
        )
    return {
        name: column.astype(bool) if name == "accepted" else column for name, column in rows.items()
    }


class Fakes:
    """Fakes to learn from: how many of which label are drawn for a view is the same for a pool and
    a file.
    """

    columns: dict[str, np.ndarray]

    def candidates(self, view: FakeSelection) -> np.ndarray:
        """The rows among which a view draws, increasing."""
        raise NotImplementedError

    def images(self, rows: np.ndarray) -> np.ndarray:
        """The images (n, 3, S, S) of increasing rows, uint8."""
        raise NotImplementedError

    def rows(self, view: FakeSelection, seed: int = 0) -> np.ndarray:
        """The rows of a view, increasing; `seed` decides only which are drawn when `view.num` is
        smaller.
        """
        kept = self.candidates(view)
        return kept if view.num is None else self._draw(kept, view, seed)

    def labels(self, view: FakeSelection, rows: np.ndarray) -> np.ndarray:
        """The labels of rows as a view gives them."""
        return self.columns["relabels" if view.relabel == "hard" else "labels"][rows]

    def _draw(self, kept: np.ndarray, view: FakeSelection, seed: int) -> np.ndarray:
        """`view.num` of the rows: at random, and for classes the same number of each label."""
        assert view.num is not None
        rng = np.random.default_rng([seed, 0xFA4E])
        labels = self.labels(view, kept)
        if labels.dtype.kind == "f":
            drawn = [rng.permutation(kept)[: view.num]]
        else:
            drawn = self._balanced(kept, labels, view.num, rng)
        found = sum(map(len, drawn))
        if found < view.num:
            warn(f"{found} instead of {view.num} fakes: some labels have too few after filtering")
        return np.sort(np.concatenate(drawn))

    def _balanced(
        self, kept: np.ndarray, labels: np.ndarray, num: int, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Rows of each label the generator was asked for: as many of one as of another, to one."""
        groups = np.unique(self.columns["labels"])
        shares = np.full(len(groups), num // len(groups)) + (
            np.arange(len(groups)) < num % len(groups)
        )
        return [
            rng.permutation(kept[labels == label])[:share]
            for label, share in zip(groups, shares, strict=True)
        ]


class FakeFile(Fakes):
    """Fakes that others made, in the published layout: `fake_images` uint8 (N, 3, S, S),
    `fake_labels` (N,).

    `label` is the label of the real images as their source describes it, `side` their side S;
    UserError where the file's do not fit. Continuous labels stand in their unit and are scaled to
    [0, 1].
    """

    def __init__(self, path: Path, label: dict[str, Any], side: int) -> None:
        self.path = path
        with hdf5.Reader(path) as file:
            shape = file.dataset("fake_images", 4, "u").shape
            labels = file.read("fake_labels", 1, "iuf")
        if shape[1:] != (3, side, side) or len(labels) != shape[0] or not shape[0]:
            raise UserError(
                f"{path}: fake_images {shape} with {len(labels)} labels, expected (N, 3, {side}, "
                f"{side}) with N",
                DATA,
            )
        values = labels.astype(np.float64)
        if label["kind"] == "class":
            kind, low, high = "classes", 0, len(label["classes"]) - 1
            bad, scaled = values != np.rint(values), labels
        else:
            kind, low, high = f"labels in {label['unit']}", label["min"], label["max"]
            bad, scaled = np.zeros(len(values), bool), (values - low) / (high - low)
        bad |= ~((values >= low) & (values <= high))
        if bad.any():
            raise UserError(
                f"{path}: fake_labels row {np.flatnonzero(bad)[0]} is {values[bad][0]:g}, "
                f"expected {kind} from "
                f"{low:g} to {high:g}",
                DATA,
                "write the labels as the real images have them",
            )
        self.columns = {
            "labels": scaled.astype(np.int64 if label["kind"] == "class" else np.float32)
        }

    def candidates(self, view: FakeSelection) -> np.ndarray:
        return np.arange(len(self.columns["labels"]))

    def images(self, rows: np.ndarray) -> np.ndarray:
        with hdf5.Reader(self.path) as file:
            return file.read("fake_images", 4, "u", rows)


@cache
def identify(path: str) -> str:
    """The digest of a file of fakes; UserError when it is missing."""
    if not Path(path).is_file():
        raise UserError(
            f"{path} not found", DATA, "name an HDF5 file with fake_images and fake_labels"
        )
    return runs.file_digest(Path(path))


class Pool(Fakes):
    """A finished pool: its small columns in memory, images read when asked for."""

    def __init__(self, record: Path) -> None:
        self.record = runs.verify_files(record, "generate")
        self.shards = [record.parent / name for name in sorted(self.record["files"])]
        parts = [read_shard(path) for path in self.shards]
        self.ends = np.cumsum([len(part["labels"]) for part in parts])
        self.columns = {name: np.concatenate([part[name] for part in parts]) for name in SMALL}
        self.per_label = int(self.record["per_label"])

    def __len__(self) -> int:
        return len(self.columns["labels"])

    def candidates(self, view: FakeSelection) -> np.ndarray:
        column = self.columns
        chosen = (
            self._accepted()
            if view.subsample
            else np.flatnonzero(column["proposals"] < self.per_label)
        )
        bins = _bins(column["labels"][chosen], view.bins)
        order = np.lexsort((chosen, column["errors"][chosen], bins))
        counts = np.bincount(bins, minlength=view.bins)
        place = np.arange(len(chosen)) - np.repeat(
            np.cumsum(counts) - counts, counts
        )  # within its range
        return np.sort(chosen[order[place < np.rint(view.rho * counts)[bins[order]]]])

    def labels(self, view: FakeSelection, rows: np.ndarray) -> np.ndarray:
        return self._outputs[rows] if view.relabel == "unclipped" else super().labels(view, rows)

    @cached_property
    def _outputs(self) -> np.ndarray:
        """The teacher's outputs (n,) for a continuous label."""
        return np.concatenate(
            [read_shard(path, ("outputs",))["outputs"][:, 0] for path in self.shards]
        )

    def images(self, rows: np.ndarray) -> np.ndarray:
        parts = []
        for path, start, end in zip(self.shards, [0, *self.ends[:-1]], self.ends, strict=True):
            inside = rows[(rows >= start) & (rows < end)] - start
            if len(inside):
                with hdf5.Reader(path) as file:
                    parts.append(file.read("images", 4, "u")[inside])
        if not parts:
            raise UserError(
                "no fakes are left after filtering", DATA, "raise rho or generate.per_label"
            )
        return np.concatenate(parts)

    def _accepted(self) -> np.ndarray:
        """The first accepted rows of each label, as many as were asked for, by the number of their
        proposal.
        """
        return first_accepted(
            self.columns["labels"],
            self.columns["proposals"],
            self.columns["accepted"],
            self.per_label,
        )


def _bins(labels: np.ndarray, num: int) -> np.ndarray:
    """Which of `num` equal ranges of [0, 1] labels (n,) lie in; one holds classes too."""
    return np.minimum((labels.astype(np.float64) * num).astype(np.int64), num - 1).clip(min=0)


def first_accepted(
    labels: np.ndarray, proposals: np.ndarray, accepted: np.ndarray, num: int
) -> np.ndarray:
    """Per label the first `num` accepted rows by proposal number; increasing row numbers."""
    rows = np.flatnonzero(accepted)
    order = rows[np.lexsort((proposals[rows], labels[rows]))]
    starts = np.unique(labels[order], return_index=True)[1]
    place = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    return np.sort(order[place < num])


def export(pool: Pool, view: FakeSelection, path: Path, minimum: float, maximum: float) -> None:
    """Writes a view in the published layout: `fake_images` uint8 (n, 3, S, S), `fake_labels`
    float64 (n,).

    Continuous labels are scaled back to their unit, from `minimum` to `maximum`.
    """
    rows = pool.rows(view)
    labels = pool.labels(view, rows).astype(np.float64)
    scaled = (
        labels
        if pool.columns["labels"].dtype.kind == "i"
        else minimum + labels * (maximum - minimum)
    )
    runs.write_bytes(
        path, hdf5.to_bytes({"fake_images": pool.images(rows), "fake_labels": scaled}, {})
    )
