"""The fake pool on disk: written once in immutable shards, read as views for any rho, with numpy
alone.

A pool holds for each label its first n proposals and, past those, accepted ones. Per row: `images`
uint8 (3, S, S), `labels` as asked (int64 classes or float32 in [0, 1]), `proposals` (the number of
the row within its label), `accepted`, `ratios`, `outputs` of the teacher, its `errors` (nats, or
the label's unit) and `relabels`.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cgankd import runs
from cgankd.console import warn
from cgankd.errors import DATA, UserError
from cgankd.label import Label, make_label
from cgankd.runs import hdf5

COLUMNS = {
    "images": (4, "u"),
    "labels": (1, "if"),
    "proposals": (1, "i"),
    "accepted": (1, "b"),
    "ratios": (1, "f"),
    "outputs": (2, "f"),
    "errors": (1, "f"),
    "clipped_errors": (1, "f"),
    "relabels": (1, "if"),
}
SMALL = tuple(name for name in COLUMNS if name not in ("images", "outputs"))


@dataclass(frozen=True)
class FakeSelection:
    """Which fakes to use and how they are labelled; the published method is
    FakeSelection(rho=..., num=...).
    """

    rho: float = 1.0  # share that the teacher's error keeps
    subsample: bool = True  # the accepted ones, or the first proposals as the generator gave them
    # "hard": the teacher's label, in its range; "unclipped": its output; "keep": that asked for;
    # "mean": of "hard" and "keep", whose errors are not the same
    relabel: str = "hard"
    num: int | None = None  # how many to draw; for classes balanced by label
    bins: int = 1  # equal ranges of the label asked for, in each of which rho is kept
    clip: bool = True  # the filter judges the teacher's label as clipped to the range of the label


def write_shard(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Writes one shard whole."""
    assert set(rows) == set(COLUMNS), f"a shard needs {sorted(COLUMNS)}"
    rows = {**rows, "accepted": rows["accepted"].astype(np.int8)}
    runs.write_bytes(path, hdf5.to_bytes(rows, {}))


def read_shard(path: Path, columns: tuple[str, ...] = SMALL) -> dict[str, np.ndarray]:
    """Columns of a shard; UserError when it is damaged or no shard."""
    try:
        with hdf5.Reader(path) as file:
            rows = {
                name: file.read(name, COLUMNS[name][0], COLUMNS[name][1].replace("b", "i"))
                for name in columns
            }
    except UserError as error:
        raise UserError(str(error), DATA, "run `cgankd generate --rebuild`") from error
    if len({len(column) for column in rows.values()}) > 1:
        raise UserError(
            f"{path}: its columns have different lengths", DATA, "run `cgankd generate --rebuild`"
        )
    return {
        name: column.astype(bool) if name == "accepted" else column for name, column in rows.items()
    }


class Fakes:
    """Fakes to learn from: how many of which label are drawn for a selection is the same for a pool
    and a file.
    """

    columns: dict[str, np.ndarray]
    label: Label

    def candidates(self, selection: FakeSelection) -> np.ndarray:
        """The rows among which a selection draws, increasing."""
        raise NotImplementedError

    def images(self, rows: np.ndarray) -> np.ndarray:
        """The images (n, 3, S, S) of increasing rows, uint8."""
        raise NotImplementedError

    def rows(self, selection: FakeSelection, seed: int = 0) -> np.ndarray:
        """The rows of a selection, increasing; `seed` decides only which are drawn when
        `selection.num` is smaller.
        """
        kept = self.candidates(selection)
        return kept if selection.num is None else self._draw(kept, selection, seed)

    def labels(self, selection: FakeSelection, rows: np.ndarray) -> np.ndarray:
        """The labels of rows as a selection gives them."""
        return self.columns["relabels" if selection.relabel == "hard" else "labels"][rows]

    def _draw(self, kept: np.ndarray, selection: FakeSelection, seed: int) -> np.ndarray:
        """`selection.num` of the rows: at random, and for classes the same number of each label."""
        assert selection.num is not None
        rng = np.random.default_rng([seed, 0xFA4E])
        labels = self.labels(selection, kept)
        if not self.label.discrete:
            drawn = [rng.permutation(kept)[: selection.num]]
        else:
            drawn = self._balanced(kept, labels, selection.num, rng)
        found = sum(map(len, drawn))
        if found < selection.num:
            warn(
                f"{found} instead of {selection.num} fakes: some labels have too few after "
                "filtering"
            )
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

    `label` is that of the real images, `side` their side S; UserError where the file's do not fit.
    """

    def __init__(self, path: Path, label: Label, side: int) -> None:
        self.path, self.label = path, label
        with hdf5.Reader(path) as file:
            shape = file.dataset("fake_images", 4, "u").shape
            labels = file.read("fake_labels", 1, "iuf")
        if shape[1:] != (3, side, side) or len(labels) != shape[0] or not shape[0]:
            raise UserError(
                f"{path}: fake_images {shape} with {len(labels)} labels, expected "
                f"(N, 3, {side}, {side}) with N",
                DATA,
            )
        try:
            self.columns = {"labels": label.scaled(labels)}
        except ValueError as error:
            raise UserError(
                f"{path}: fake_labels {error}",
                DATA,
                "write the labels as the real images have them",
            ) from None

    def candidates(self, selection: FakeSelection) -> np.ndarray:
        return np.arange(len(self.columns["labels"]))

    def images(self, rows: np.ndarray) -> np.ndarray:
        with hdf5.Reader(self.path) as file:
            return file.read("fake_images", 4, "u", rows)


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
        self.per_label = int(runs.fact(record, "generate", "per_label", int))
        self.label = make_label(runs.fact(record, "generate", "label", dict))

    def __len__(self) -> int:
        return len(self.columns["labels"])

    def candidates(self, selection: FakeSelection) -> np.ndarray:
        column = self.columns
        if selection.subsample:
            chosen = first_accepted(
                column["labels"], column["proposals"], column["accepted"], self.per_label
            )
        else:
            chosen = np.flatnonzero(column["proposals"] < self.per_label)
        bins = _bins(column["labels"][chosen], selection.bins)
        return chosen[keep_share(self.errors(selection)[chosen], bins, selection.rho)]

    def errors(self, selection: FakeSelection) -> np.ndarray:
        """The teacher's error (n,) on every fake, as the filter of a selection sees it."""
        return self.columns["clipped_errors" if selection.clip else "errors"]

    def labels(self, selection: FakeSelection, rows: np.ndarray) -> np.ndarray:
        if selection.relabel == "unclipped":
            return self._outputs[rows]
        if selection.relabel == "mean":
            return (self.columns["labels"][rows] + self.columns["relabels"][rows]) / 2
        return super().labels(selection, rows)

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


def _bins(labels: np.ndarray, num: int) -> np.ndarray:
    """Which of `num` equal ranges of [0, 1] labels (n,) lie in; one holds classes too."""
    return np.minimum((labels.astype(np.float64) * num).astype(np.int64), num - 1).clip(min=0)


def keep_share(errors: np.ndarray, groups: np.ndarray, rho: float) -> np.ndarray:
    """The filter: which rows (n,) are among the round(rho m) of smallest error of the m rows of
    their group.

    The published code keeps errors below the rho-quantile. Cross entropies tie (they are exactly 0
    where a teacher is sure), and then a quantile keeps too few or none; ranks keep as many as said.
    """
    sizes = np.bincount(groups)[groups]
    return rank_within(groups, errors) < np.rint(rho * sizes)


def rank_within(groups: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """The place (n,) of each row among those of its group, by `keys`, and by row where they tie."""
    order = np.lexsort((np.arange(len(groups)), *reversed(keys), groups))
    ordered = groups[order]
    starts = np.searchsorted(ordered, ordered)  # of the group of each
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - starts
    return rank


def first_accepted(
    labels: np.ndarray, proposals: np.ndarray, accepted: np.ndarray, num: int
) -> np.ndarray:
    """Per label the first `num` accepted rows by proposal number; increasing row numbers."""
    rows = np.flatnonzero(accepted)
    return rows[rank_within(labels[rows], proposals[rows]) < num]


def export(pool: Pool, selection: FakeSelection, path: Path) -> None:
    """Writes a selection in the published layout: `fake_images` uint8 (n, 3, S, S), `fake_labels`
    float64 (n,), continuous ones in their unit.
    """
    rows = pool.rows(selection)
    labels = pool.label.unscaled(pool.labels(selection, rows))
    columns = {"fake_images": pool.images(rows), "fake_labels": labels}
    runs.write_bytes(path, hdf5.to_bytes(columns, {}))
