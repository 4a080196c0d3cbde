"""RC-49 as a source: the public file, the published splits, and what `data prepare` makes of
either.
"""

import numpy as np
import pytest
import toy
from sets import refused

from cgankd import sources
from cgankd.preset import Data
from cgankd.runs import hdf5
from cgankd.sources import draws, inspection

LABEL = {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees", "step": 0.1}


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    path = tmp_path_factory.mktemp("rc49") / "RC-49_64x64.h5"
    toy.rc49(path)
    return path


def settings(path, **changes) -> Data:
    given = {
        "source": "rc49",
        "path": str(path),
        "size": 16,
        "num_train": 900,
        "num_validation": 450,
    }
    return Data(**{**given, **changes})


@pytest.fixture(scope="module")
def source(public):
    return sources.load(settings(public), 3)


def tenths(source: sources.Source, split: str) -> np.ndarray:
    return np.rint(source.labels[source.rows[split]].astype(np.float64) * 10).astype(int)


def test_odd_angles_are_drawn_evenly_and_all_the_rest_is_the_test(source):
    counts = {split: np.bincount(tenths(source, split), minlength=900) for split in sources.SPLITS}
    odd, even = np.arange(1, 900, 2), np.arange(2, 900, 2)
    for split, each in (("train", 2), ("validation", 1), ("test", 2)):
        assert (counts[split][odd] == each).all()
    assert counts["train"][even].sum() == counts["validation"][even].sum() == 0
    assert (counts["test"][even] == 5).all()
    assert counts["test"].sum() == 450 * 2 + 449 * 5 == len(source.images) - 900 - 450
    assert all((np.diff(rows) > 0).all() for rows in source.rows.values())


def test_the_published_sizes_are_25_images_of_each_odd_angle():
    """With 49 chairs, by their numbers alone."""
    angles = np.tile(np.arange(1, 900), 49)
    pool = np.flatnonzero(angles % 2)
    assert len(angles) == 44_051
    parts = draws.draw(angles, pool, [9000, 2250], np.random.default_rng(0))
    assert [np.unique(np.bincount(angles[part])).tolist() for part in parts] == [[0, 20], [0, 5]]
    assert len(angles) - 11_250 == 32_801


def test_equal_angles_are_the_same_bits_whatever_the_file_rounded(source, public, tmp_path):
    assert source.label == LABEL == sources.known_label(settings(public))
    assert source.labels.dtype == np.float32
    assert len(np.unique(source.labels)) == 899
    with hdf5.Reader(public) as file:
        arrays = {
            name: file.read(name, ndim, "uif")
            for name, ndim in (("images", 4), ("labels", 1), ("types", 1))
        }
        arrays["indx_train"] = file.read("indx_train", 1, "i")
    arrays["labels"] = arrays["labels"].astype(np.float64) + np.random.default_rng(0).uniform(
        -0.009, 0.009, 4600
    )
    hdf5.write(tmp_path / "x.h5", arrays, {})
    assert sources.load(settings(tmp_path / "x.h5"), 3).digest() == source.digest()


def test_chairs_are_numbered_without_the_one_that_is_missing(source):
    assert source.types.dtype == np.int64
    assert np.unique(source.types[source.rows["test"]]).tolist() == [0, 5, 6, 29, 48]
    for row in (0, 2000, 4000):
        assert (source.labels == source.labels[row]).sum() == 5, "one image of each chair"
        assert len(set(source.types[source.labels == source.labels[row]])) == 5


def split_file(path, **changes) -> None:
    """A published file: two images of each of ten odd and nine even angles, one to train on or
    validate.
    """
    draws = np.random.default_rng(0)
    odd, even = np.repeat(np.arange(1, 20, 2), 2) / 10, np.repeat(np.arange(2, 19, 2), 2) / 10
    arrays = {
        "images_odd": draws.integers(0, 256, (20, 3, 16, 16), dtype=np.uint8),
        "labels_odd": odd,
        "images_even": draws.integers(0, 256, (18, 3, 16, 16), dtype=np.uint8),
        "labels_even": even,
        "types_odd": np.tile([0, 49], 10),
        "types_even": np.tile([7, 5], 9),
        "indx_odd_train": np.arange(0, 20, 2),
        "indx_odd_rest": np.arange(1, 20, 2),
        "indx_odd_subtrain": np.arange(0, 16, 2),
        "indx_odd_subvalid": np.arange(16, 20, 2),
    }
    hdf5.write(path, {**arrays, **changes}, {})


def test_the_splits_of_a_published_file_are_kept(tmp_path):
    split_file(tmp_path / "x.h5")
    source = sources.load(settings(tmp_path / "x.h5", num_train=8, num_validation=2), 0)
    assert tenths(source, "train").tolist() == list(range(1, 17, 2))
    assert tenths(source, "validation").tolist() == [17, 19]
    assert tenths(source, "test").tolist() == [*range(1, 20, 2), *np.repeat(np.arange(2, 19, 2), 2)]
    assert source.label == LABEL
    assert np.unique(source.types).tolist() == [0, 5, 6, 48]


def test_a_missing_file_is_named_with_its_layout_and_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = refused(
        Data(source="rc49", num_train=9000, num_validation=2250),
        "rc49: data/RC-49_64x64.h5 not found",
    )
    for word in (
        "indx_train",
        "indx_odd_train",
        "github.com/UBCDingXin/cGAN-KD",
        "data.path",
        "-p rc49-r25 --to",
    ):
        assert word in error.hint
    toy.rc49(tmp_path / "x.h5", (0,))
    (tmp_path / "data").mkdir()
    (tmp_path / "x.h5").rename(tmp_path / "data" / "RC-49_64x64.h5")
    found = sources.load(Data(source="rc49", num_train=300, num_validation=100), 0)
    assert len(found.rows["test"]) == 899 - 400


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels_odd": np.full(20, np.nan)}, "20 of 38 labels are no numbers, the first in row 0"),
        (
            {"labels_even": np.full(18, 95.0)},
            r"18 of 38 labels lie outside \[0, 90\], the first 95 in row 20",
        ),
        (
            {"labels_odd": np.full(20, 0.2), "labels_even": np.full(18, 0.2)},
            "all 38 labels are 0.2: there is nothing",
        ),
        ({"labels_odd": np.arange(19)}, "20 images, but 19 values in labels_odd"),
        ({"labels_even": np.r_[0.2, 0.22, np.full(16, 0.4)]}, "step 0.1, the first 0.22 in row 21"),
        ({"types_even": np.arange(17)}, "18 images, but 17 values in types_even"),
    ],
)
def test_labels_that_will_not_do_are_refused(changes, words, tmp_path):
    split_file(tmp_path / "x.h5", **changes)
    refused(settings(tmp_path / "x.h5", num_train=8, num_validation=2), words)


def test_labels_of_the_public_file_are_checked_in_all_rows(tmp_path):
    whole = {
        "images": np.full((40, 3, 16, 16), 9, np.uint8),
        "types": np.arange(40),
        "indx_train": np.arange(20),
    }
    labels = np.arange(880, 920) / 10
    for row, value, words in (
        (39, np.nan, "1 of 40 labels are no numbers, the first in row 39"),
        (38, 91.94, "no multiples of the step 0.1, the first 91.94 in row 38"),
    ):
        broken = labels.copy()
        broken[row] = value
        hdf5.write(tmp_path / f"{row}.h5", {**whole, "labels": broken}, {})
        refused(settings(tmp_path / f"{row}.h5"), words)
    hdf5.write(tmp_path / "few.h5", {**whole, "labels": labels}, {})
    refused(settings(tmp_path / "few.h5"), "= 1350, but .*few.h5 has 10 images")
    hdf5.write(tmp_path / "none.h5", {**whole, "labels": labels + 10}, {})
    refused(settings(tmp_path / "none.h5"), "there are no images to train on")


def test_inspect_and_verify_know_the_public_and_the_published_files(public, tmp_path):
    facts = inspection.inspect(public)
    assert (facts["source"], facts["problems"], facts["types"]) == ("rc49", [], 5)
    assert facts["images"] == {"development": 2250, "test": 2245}
    assert facts["numbers"]["distinct"] == 899
    assert inspection.lines(facts)[-2].split() == ["types", "5"]
    assert inspection.verify(public, None)["label"] == LABEL
    public_layout = tmp_path / "mine.h5"
    public_layout.write_bytes(public.read_bytes())
    assert inspection.inspect(public_layout)["source"] == "h5", (
        "anyone's file may have these arrays"
    )
    split_file(tmp_path / "x.h5")
    assert inspection.inspect(tmp_path / "x.h5")["source"] == "rc49"
    assert inspection.verify(tmp_path / "x.h5", None)["images"]["test"] == 28
