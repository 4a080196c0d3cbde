"""UTKFace as a source: which pictures count, the splits of each age, and repeated rows."""

import shutil

import numpy as np
import pytest
import toy
from PIL import Image
from sets import refused

from cgankd import console, runs, sources
from cgankd.errors import UserError
from cgankd.preset import Data
from cgankd.runs import hdf5
from cgankd.sources import identity, inspection, notes

LABEL = {"kind": "continuous", "min": 0.0, "max": 60.0, "unit": "years", "step": 1.0}
AGES = {1: 25, 30: 10, 60: 5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """40 faces in two folders, five of other ages, three of names that are not whole, and what is
    no picture.
    """
    folder = tmp_path_factory.mktemp("utkface") / "UTKFace"
    toy.faces(folder, {**AGES, 61: 2, 116: 2, 0: 1})
    (folder / "part2").mkdir()
    for path in folder.glob("30_*"):
        path.rename(folder / "part2" / path.name)
    picture = next(folder.glob("1_*"))
    for name in (
        "39_1_20170116174525125.jpg.chip.jpg",
        "portrait.jpg",
        "20_0_5_20170116174525125.jpg",
    ):
        shutil.copy(picture, folder / name)
    shutil.copy(picture, folder / ".hidden.jpg")
    (folder / "20_0_1_20170116174525125.txt").write_text("no picture")
    return folder


def settings(path, **changes) -> Data:
    given = {
        "source": "utkface",
        "path": str(path),
        "size": 16,
        "num_train": "auto",
        "num_validation": "auto",
    }
    return Data(**{**given, **changes})


def ages(source: sources.Source, split: str) -> dict[int, int]:
    found, counts = np.unique(source.labels[source.rows[split]], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def test_every_age_is_split_64_16_20(whole):
    source = sources.load(settings(whole), 0)
    assert source.label == LABEL == sources.known_label(settings(whole))
    assert [len(source.rows[split]) for split in sources.SPLITS] == [26, 6, 8]
    assert ages(source, "test") == {1: 5, 30: 2, 60: 1}
    for split, share in (("train", 0.64), ("validation", 0.16)):
        assert all(abs(ages(source, split)[age] - share * num) < 1 for age, num in AGES.items())
    assert not np.array_equal(source.rows["train"], sources.load(settings(whole), 1).rows["train"])


def test_the_pictures_belong_to_their_ages_and_races(whole):
    source = sources.load(settings(whole), 0)
    brightness = source.images.mean((1, 2, 3)) - 9.5
    assert abs(brightness / 3 - source.labels).max() < 1
    assert np.bincount(source.types).tolist() == [8] * 5


def test_what_is_left_out_is_counted_and_said_once(whole, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    notes.say.cache_clear()
    for _ in range(2):
        sources.load(settings(whole), 0)
    left_out = "1 hidden, 1 .txt, 5 of other ages, 3 of other names"
    assert said == [f"{whole}: 40 images, left out {left_out}"]


def test_numbers_asked_for_are_drawn_evenly_of_the_ages(whole):
    source = sources.load(settings(whole, num_train=16, num_validation=8), 0)
    assert ages(source, "train") == {1: 10, 30: 4, 60: 2}
    assert ages(source, "validation") == {1: 5, 30: 2, 60: 1}
    assert len(source.rows["test"]) == 16


def test_ages_with_few_pictures_are_repeated_among_the_training_rows_alone(whole):
    plain, source = (
        sources.load(settings(whole), 0),
        sources.load(settings(whole, min_per_label=12), 0),
    )
    assert ages(source, "train") == {1: max(12, ages(plain, "train")[1]), 30: 12, 60: 12}
    assert set(source.rows["train"]) == set(plain.rows["train"])
    for split in ("validation", "test"):
        assert np.array_equal(source.rows[split], plain.rows[split])
    assert source.digest() != plain.digest()
    assert np.array_equal(
        source.rows["train"], sources.load(settings(whole, min_per_label=12), 0).rows["train"]
    )
    assert not source.leaky
    source.check_unseen(source.seen("train"), "gan")
    with pytest.raises(UserError, match="may include the validation rows"):
        source.check_unseen(plain.seen("train"), "gan")


def test_without_the_validation_rows_the_rest_is_repeated_too(whole, tmp_path):
    asked = settings(whole, min_per_label=12, protocol="paper")
    source = sources.load(asked, 0)
    assert source.leaky
    assert source.seen("train")["leaky"] is True
    assert ages(source, "train")[60] == 12
    assert set(source.rows["train"]) == set(range(32)), "all but the test"
    alone = sources.held_out(source, asked, 0)
    assert not np.isin(alone, source.rows["validation"]).any()
    clean = sources.load(settings(whole, min_per_label=12), 0)
    assert np.array_equal(alone, clean.rows["train"])
    identity.describe.cache_clear()
    known = sources.record(asked, 0, runs.RunFolder(tmp_path / "none"))
    assert known["rows"]["train"]["num"] == len(source.rows["train"])
    assert known["held_out"] == len(alone)


def test_the_splits_of_the_published_file_are_kept(tmp_path):
    arrays = {
        "images": np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16), dtype=np.uint8),
        "labels": np.arange(1, 61),
        "indx_test": np.arange(48, 60),
        "indx_train": np.arange(48),
        "indx_subtrain": np.arange(40),
        "indx_subvalid": np.arange(40, 48),
    }
    hdf5.write(tmp_path / "x.h5", arrays, {})
    source = sources.load(settings(tmp_path / "x.h5"), 0)
    assert [list(ages(source, split)) for split in sources.SPLITS] == [
        list(range(1, 41)),
        list(range(41, 49)),
        list(range(49, 61)),
    ]
    hdf5.write(tmp_path / "old.h5", {**arrays, "labels": np.arange(2, 62)}, {})
    refused(
        settings(tmp_path / "old.h5"),
        r"1 of 60 labels lie outside \[0, 60\], the first 61 in row 59",
    )


def test_missing_data_are_named_with_their_layout_and_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = refused(
        Data(source="utkface", num_train="auto", num_validation="auto"),
        "utkface: data/UTKFace not found",
    )
    for word in (
        "aligned and cropped faces of UTKFace",
        "age_gender_race_date.jpg",
        "indx_train",
        "data.path",
    ):
        assert word in error.hint
    (tmp_path / "data" / "UTKFace").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "data" / "UTKFace" / "70_0_0_2017.jpg")
    refused(
        Data(source="utkface", num_train="auto", num_validation="auto"),
        "holds 1 pictures, but none is named",
    )
    toy.faces(tmp_path / "same", {20: 3})
    refused(settings(tmp_path / "same"), "all 3 labels are 20: there is nothing to learn")


def test_inspect_knows_faces_by_their_names(whole):
    facts = inspection.inspect(whole)
    assert facts["source"] == "utkface"
    assert facts["images"] == {"development": 40}
    assert facts["left out"] == {
        "hidden": 1,
        ".txt": 1,
        "of other ages": 5,
        "of other names": 3,
    }
    assert facts["numbers"] == {"distinct": 3, "min": 1.0, "max": 60.0}
    assert (facts["types"], facts["sizes"], facts["problems"]) == (5, {"20 x 20": 40}, [])
