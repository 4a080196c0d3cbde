"""The fake pool: the rows of a selection and their labels, by loops over small pools."""

import itertools

import numpy as np
import pytest

from cgankd import fakes, runs
from cgankd.errors import UserError
from cgankd.fakes import FakeFile, FakeSelection, Pool, first_accepted
from cgankd.label import make_label
from cgankd.runs import Artefact, hdf5

CLASSES = {"kind": "class", "classes": ["a", "b", "c"]}
DEGREES = {"kind": "continuous", "min": 10.0, "max": 90.0, "unit": "degrees"}


def made_up(
    num_labels: int = 3, num: int = 20, continuous: bool = False, seed: int = 0
) -> dict[str, np.ndarray]:
    """A pool's rows in mixed order: 20 proposals of each label, about 60 % accepted."""
    draws = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_labels), num)
    proposals = np.tile(np.arange(num), num_labels)
    order = draws.permutation(len(labels))
    labels, proposals, total = labels[order], proposals[order], len(labels)
    relabels = np.where(draws.random(total) < 0.8, labels, draws.integers(num_labels, size=total))
    if continuous:
        labels, relabels = (
            np.float32((labels + 0.5) / num_labels),
            draws.random(total, dtype=np.float32),
        )
    errors = draws.random(total, dtype=np.float32).round(1)  # with ties
    return {
        "images": draws.integers(0, 256, (total, 3, 4, 4), dtype=np.uint8),
        "labels": labels,
        "proposals": proposals,
        "accepted": draws.random(total) < 0.6,
        "ratios": draws.random(total, dtype=np.float32),
        "outputs": draws.random((total, num_labels), dtype=np.float32),
        "errors": errors,
        "clipped_errors": errors.copy(),
        "relabels": relabels,
    }


def pool_of(folder, rows: dict[str, np.ndarray], per_label: int, shards: int = 3) -> Pool:
    artefact = Artefact(folder / "generate" / "pool.json", "generate", {})
    artefact.begin()
    paths = [artefact.folder / f"pool-{index:05d}.h5" for index in range(shards)]
    for path, part in zip(
        paths, np.array_split(np.arange(len(rows["labels"])), shards), strict=True
    ):
        fakes.write_shard(path, {name: column[part] for name, column in rows.items()})
    label = DEGREES if rows["labels"].dtype.kind == "f" else CLASSES
    artefact.finish(paths, made_on={}, per_label=per_label, label=label)
    return Pool(artefact.record)


def accepted_by_loop(rows: dict[str, np.ndarray], per_label: int) -> list[int]:
    found = []
    for label in np.unique(rows["labels"]):
        mine = [
            row
            for row in range(len(rows["labels"]))
            if rows["labels"][row] == label and rows["accepted"][row]
        ]
        found += sorted(mine, key=lambda row: rows["proposals"][row])[:per_label]
    return sorted(found)


def test_rows_come_back_from_the_shards_in_order(tmp_path):
    rows = made_up()
    pool = pool_of(tmp_path, rows, per_label=8)
    assert len(pool) == 60
    for name in fakes.SMALL:
        np.testing.assert_array_equal(pool.columns[name], rows[name])
        assert pool.columns[name].dtype == rows[name].dtype
    chosen = np.array([0, 3, 19, 20, 21, 45, 59])
    np.testing.assert_array_equal(pool.images(chosen), rows["images"][chosen])


@pytest.mark.parametrize("continuous", [False, True])
def test_the_first_accepted_of_each_label_are_used_by_the_number_of_their_proposal(
    tmp_path, continuous
):
    for seed in range(5):
        rows = made_up(continuous=continuous, seed=seed)
        expected = accepted_by_loop(rows, 8)
        found = first_accepted(rows["labels"], rows["proposals"], rows["accepted"], 8)
        assert found.tolist() == expected
    pool = pool_of(tmp_path, rows, per_label=8)
    assert pool.rows(FakeSelection(rho=1.0)).tolist() == expected, "rho = 1 keeps all"


def test_without_any_accepted_there_are_none():
    rows = made_up()
    assert first_accepted(rows["labels"], rows["proposals"], np.zeros(60, bool), 8).tolist() == []


def test_raw_fakes_are_the_first_proposals_accepted_or_not(tmp_path):
    rows = made_up()
    pool = pool_of(tmp_path, rows, per_label=8)
    found = pool.rows(FakeSelection(subsample=False, relabel="keep"))
    assert found.tolist() == [row for row in range(60) if rows["proposals"][row] < 8]
    np.testing.assert_array_equal(
        pool.labels(FakeSelection(subsample=False, relabel="keep"), found), rows["labels"][found]
    )


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.55, 0.9, 0.99, 1.0])
def test_rho_keeps_that_share_of_the_smallest_errors_ties_by_row(tmp_path, rho):
    rows = made_up()
    pool = pool_of(tmp_path, rows, per_label=8)
    all_rows = accepted_by_loop(rows, 8)
    kept = sorted(all_rows, key=lambda row: (rows["clipped_errors"][row], row))[
        : round(rho * len(all_rows))
    ]
    assert pool.rows(FakeSelection(rho=rho)).tolist() == sorted(kept)
    assert len(kept) == round(rho * len(all_rows))


@pytest.mark.parametrize("rho", [0.3, 0.55, 1.0])
def test_within_ranges_of_the_label_each_keeps_its_share_of_the_smallest_errors(tmp_path, rho):
    rows = made_up(num_labels=6, continuous=True)
    rows["clipped_errors"] += rows["labels"]  # one cut for all would keep small labels alone
    pool = pool_of(tmp_path, rows, per_label=8)
    everything, expected = accepted_by_loop(rows, 8), []
    for low in (0.0, 0.25, 0.5, 0.75):
        mine = [row for row in everything if low <= rows["labels"][row] < low + 0.25]
        expected += sorted(mine, key=lambda row: (rows["clipped_errors"][row], row))[
            : round(rho * len(mine))
        ]
    assert pool.rows(FakeSelection(rho=rho, bins=4)).tolist() == sorted(expected)
    assert (pool.rows(FakeSelection(rho=rho)).tolist() == sorted(expected)) == (rho == 1)


def test_filter_and_relabelling_are_apart_and_outputs_may_stay_as_they_are(tmp_path):
    rows = made_up(continuous=True)
    rows["outputs"] = 3 * rows["outputs"][:, :1] - 1  # beyond the range
    rows["relabels"] = rows["outputs"][:, 0].clip(0, 1)
    pool = pool_of(tmp_path, rows, per_label=8)
    for rho in (0.5, 1.0):
        kept = {
            relabel: pool.rows(FakeSelection(rho=rho, relabel=relabel))
            for relabel in ("keep", "hard", "unclipped", "mean")
        }
        assert len({tuple(found.tolist()) for found in kept.values()}) == 1, "labels do not choose"
        for relabel, column in (("keep", "labels"), ("hard", "relabels"), ("unclipped", "outputs")):
            given = pool.labels(FakeSelection(rho=rho, relabel=relabel), kept[relabel])
            np.testing.assert_array_equal(given, rows[column].reshape(60, -1)[kept[relabel], 0])
        assert rho < 1 or given.max() > 1
        mean = pool.labels(FakeSelection(rho=rho, relabel="mean"), kept["mean"])
        both = rows["labels"][kept["mean"]] + rows["relabels"][kept["mean"]]
        np.testing.assert_allclose(mean, both / 2, rtol=1e-6)


def test_a_smaller_rho_keeps_a_subset(tmp_path):
    pool = pool_of(tmp_path, made_up(), per_label=8)
    kept = [set(pool.rows(FakeSelection(rho=rho)).tolist()) for rho in (0.2, 0.4, 0.8, 1.0)]
    assert all(small < large for small, large in itertools.pairwise(kept))


def test_rows_whose_errors_are_all_equal_are_kept_in_the_asked_number(tmp_path):
    rows = {**made_up(), "clipped_errors": np.zeros(60, np.float32)}
    pool = pool_of(tmp_path, rows, per_label=8)
    total = len(accepted_by_loop(rows, 8))
    assert len(pool.rows(FakeSelection(rho=0.5))) == round(0.5 * total)


def test_relabelling_takes_the_teachers_label_and_keeping_that_asked_for(tmp_path):
    rows = made_up()
    pool = pool_of(tmp_path, rows, per_label=8)
    chosen = pool.rows(FakeSelection(rho=0.7))
    np.testing.assert_array_equal(
        pool.labels(FakeSelection(relabel="hard"), chosen), rows["relabels"][chosen]
    )
    np.testing.assert_array_equal(
        pool.labels(FakeSelection(relabel="keep"), chosen), rows["labels"][chosen]
    )
    assert (rows["relabels"][chosen] != rows["labels"][chosen]).any()


def test_a_draw_of_classes_is_balanced_by_the_new_label(tmp_path):
    rows = made_up(num=60)
    pool = pool_of(tmp_path, rows, per_label=30)
    for num in (30, 31, 32):
        selection = FakeSelection(num=num)
        drawn = pool.rows(selection, seed=1)
        counts = np.bincount(pool.labels(selection, drawn), minlength=3)
        assert sorted(counts, reverse=True) == sorted(
            [num // 3 + (i < num % 3) for i in range(3)], reverse=True
        )
        assert (np.diff(drawn) > 0).all()
        assert set(drawn) <= set(pool.rows(FakeSelection()))
    assert (
        pool.rows(selection, seed=1).tolist()
        == drawn.tolist()
        != pool.rows(selection, seed=2).tolist()
    )


def test_a_draw_takes_no_more_of_a_label_than_there_are(tmp_path):
    rows = {**made_up(), "relabels": np.zeros(60, np.int64)}
    rows["relabels"][:6] = 1
    pool = pool_of(tmp_path, rows, per_label=20)
    selection = FakeSelection(num=30)
    everything = pool.labels(FakeSelection(), pool.rows(FakeSelection()))
    expected = [min(10, count) for count in np.bincount(everything, minlength=3)]
    assert (
        np.bincount(pool.labels(selection, pool.rows(selection)), minlength=3).tolist() == expected
    )


def test_a_draw_of_a_continuous_label_is_uniform_over_rows(tmp_path):
    pool = pool_of(tmp_path, made_up(num=60, continuous=True), per_label=30)
    everything = pool.rows(FakeSelection())
    drawn = [pool.rows(FakeSelection(num=30), seed) for seed in range(200)]
    assert all(len(set(rows)) == 30 and set(rows) <= set(everything) for rows in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=180)[everything]
    expected = 200 * 30 / len(everything)
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)
    assert pool.rows(FakeSelection(num=10_000)).tolist() == everything.tolist()


def test_filtering_away_everything_is_refused(tmp_path):
    pool = pool_of(tmp_path, made_up(), per_label=8)
    with pytest.raises(UserError, match="no fakes are left") as caught:
        pool.images(pool.rows(FakeSelection(rho=0.01)))
    assert "rho" in caught.value.hint


def test_an_empty_shard_is_one_too(tmp_path):
    rows = {name: column[:0] for name, column in made_up().items()}
    fakes.write_shard(tmp_path / "empty.h5", rows)
    assert {
        name: len(column) for name, column in fakes.read_shard(tmp_path / "empty.h5").items()
    } == dict.fromkeys(fakes.SMALL, 0)


def test_a_changed_or_missing_shard_is_noticed(tmp_path):
    pool = pool_of(tmp_path, made_up(), per_label=8)
    shard = pool.shards[1]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match=r"pool-00001\.h5 has other content") as caught:
        Pool(tmp_path / "generate" / "pool.json")
    assert caught.value.code == 65
    shard.unlink()
    with pytest.raises(UserError, match=r"pool-00001\.h5 is missing"):
        Pool(tmp_path / "generate" / "pool.json")


def test_a_shard_of_unequal_columns_is_refused(tmp_path):
    rows = made_up()
    rows = {**rows, "errors": rows["errors"][:-1], "accepted": rows["accepted"].astype(np.int8)}
    (tmp_path / "x.h5").write_bytes(hdf5.to_bytes(rows, {}))
    with pytest.raises(UserError, match="columns have different lengths"):
        fakes.read_shard(tmp_path / "x.h5")


def test_a_shard_without_all_columns_is_a_bug(tmp_path):
    with pytest.raises(AssertionError, match="errors"):
        fakes.write_shard(tmp_path / "x.h5", {"images": made_up()["images"]})


def test_an_unfinished_pool_names_its_command(tmp_path):
    Artefact(tmp_path / "pool.json", "generate", {}).begin()
    with pytest.raises(UserError, match="not finished") as caught:
        Pool(tmp_path / "pool.json")
    assert "cgankd generate" in caught.value.hint


def test_the_published_layout_has_images_and_labels_in_their_unit(tmp_path):
    for continuous in (False, True):
        rows = made_up(continuous=continuous)
        pool = pool_of(tmp_path / str(continuous), rows, per_label=8)
        selection = FakeSelection(relabel="keep")
        fakes.export(pool, selection, tmp_path / "fakes.h5")
        chosen = pool.rows(selection)
        with hdf5.Reader(tmp_path / "fakes.h5") as file:
            np.testing.assert_array_equal(file.read("fake_images", 4, "u"), rows["images"][chosen])
            labels = file.read("fake_labels", 1, "f")
        assert labels.dtype == np.float64
        expected = (
            10 + 80 * rows["labels"][chosen].astype(np.float64)
            if continuous
            else rows["labels"][chosen]
        )
        np.testing.assert_allclose(labels, expected, rtol=1e-12)


def test_records_and_selections_survive_a_second_reading(tmp_path):
    pool = pool_of(tmp_path, made_up(), per_label=8)
    record = runs.read_json(tmp_path / "generate" / "pool.json")
    assert set(record["files"]) == {f"pool-{index:05d}.h5" for index in range(3)}
    again = Pool(tmp_path / "generate" / "pool.json")
    assert again.rows(FakeSelection(rho=0.5)).tolist() == pool.rows(FakeSelection(rho=0.5)).tolist()


def test_a_shortfall_is_reported(tmp_path, capsys):
    rows = {**made_up(), "relabels": np.zeros(60, np.int64)}
    pool_of(tmp_path, rows, per_label=20).rows(FakeSelection(num=30))
    assert "warning" in capsys.readouterr().err


# Files of others


def file_of(path, labels, shape=(3, 4, 4), dtype=np.uint8):
    images = np.zeros((len(labels), *shape), dtype)
    path.write_bytes(hdf5.to_bytes({"fake_images": images, "fake_labels": np.asarray(labels)}, {}))
    return path


def test_a_file_of_fakes_has_the_labels_that_stand_in_it(tmp_path):
    file = file_of(tmp_path / "a.h5", [2.0, 0.0, 1.0, 1.0])
    held = FakeFile(file, make_label(CLASSES), 4)
    assert held.columns["labels"].dtype == np.int64
    selection = FakeSelection(subsample=False, relabel="keep")
    assert held.labels(selection, held.rows(selection)).tolist() == [2, 0, 1, 1]
    held = FakeFile(file_of(tmp_path / "b.h5", [10.0, 50.0, 90.0]), make_label(DEGREES), 4)
    assert held.columns["labels"].tolist() == [0.0, 0.5, 1.0], "scaled from their unit"
    assert len(held.rows(FakeSelection(subsample=False, relabel="keep", num=2))) == 2


@pytest.mark.parametrize(
    ("labels", "label", "shape", "words"),
    [
        ([0, 3], CLASSES, (3, 4, 4), "row 1 is 3, expected classes from 0 to 2"),
        ([0.5, 1], CLASSES, (3, 4, 4), "row 0 is 0.5, expected classes"),
        ([0, -1], CLASSES, (3, 4, 4), "row 1 is -1"),
        (
            [10.0, float("nan")],
            DEGREES,
            (3, 4, 4),
            "row 1 is nan, expected labels in degrees from 10 to 90",
        ),
        ([0, 1], CLASSES, (4, 4, 3), r"\(2, 4, 4, 3\) with 2 labels, expected \(N, 3, 4, 4\)"),
        ([0, 1], CLASSES, (3, 8, 8), r"\(2, 3, 8, 8\)"),
    ],
)
def test_a_file_of_fakes_that_does_not_fit_is_refused(tmp_path, labels, label, shape, words):
    with pytest.raises(UserError, match=words) as caught:
        FakeFile(file_of(tmp_path / "a.h5", labels, shape), make_label(label), 4)
    assert caught.value.code == 65
