"""CIFAR-10: the published rows, and where the images come from."""

import numpy as np
import pytest
import torchvision

from cgankd import sources
from cgankd.errors import UserError
from cgankd.preset import Data
from cgankd.runs import hdf5
from cgankd.sources import cifar10


def settings(**changes) -> Data:
    return Data(
        **{"source": "cifar10", "size": 8, "num_train": 8000, "num_validation": 2000, **changes}
    )


def numbered(num: int, start: int = 0) -> np.ndarray:
    """Images of side 8 that carry their number in their first two pixels."""
    images = np.full((num, 3, 8, 8), 99, np.uint8)
    numbers = np.arange(start, start + num)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers // 256, numbers % 256
    return images


def numbers_of(images: np.ndarray) -> np.ndarray:
    return images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 0, 1]


@pytest.fixture
def original(monkeypatch, tmp_path):
    """Stands in for torchvision's files, in a cache folder of its own."""
    parts = {
        True: (numbered(50_000), np.arange(50_000) % 10),
        False: (numbered(10_000, 50_000), np.arange(10_000) % 10),
    }
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "cgankd" / cifar10.BATCHES).mkdir(parents=True)
    monkeypatch.setattr(cifar10, "_load", lambda root, train: parts[train])


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No files, and no network to fetch them."""

    def refuse(*_: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", refuse)


def published(path, *, test: bool, num: int = 100) -> str:
    """A file in the published layout, whose rows 0..79 are sub-train, and 80..99 sub-valid."""
    arrays = {
        "images_train": numbered(num),
        "labels_train": np.arange(num) % 10,
        "subtrain_indx": np.arange(80),
        "subvalid_indx": np.arange(80, 100),
    }
    if test:
        arrays |= {"images_test": numbered(40, 700), "labels_test": np.arange(40) % 10}
    path.write_bytes(hdf5.to_bytes(arrays, {}))
    return str(path)


def test_the_permutation_is_the_published_one():
    train, validation = cifar10.published_rows(40_000, 10_000)
    assert train[:10].tolist() == [
        24397,
        39273,
        6546,
        13504,
        49765,
        31361,
        27741,
        47758,
        22393,
        18289,
    ]
    assert [int(train[:num].sum()) for num in (10_000, 20_000, 40_000)] == [
        249_339_781,
        501_780_441,
        1_000_904_640,
    ]
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(50_000))


def test_the_smaller_published_sets_lie_in_the_larger():
    small, large = (
        np.concatenate(cifar10.published_rows(num * 4 // 5, num // 5)) for num in (10_000, 20_000)
    )
    assert np.array_equal(small, large[:10_000])


def test_the_rows_of_torchvisions_files_are_the_published_ones_whatever_the_seed(original):
    for seed in (0, 7):
        source = sources.load(settings(), seed)
        for split, rows in zip(
            ("train", "validation"), cifar10.published_rows(8000, 2000), strict=True
        ):
            found = numbers_of(source.images[source.rows[split]])
            assert np.array_equal(found, np.sort(rows))
            assert np.array_equal(source.labels[source.rows[split]], found % 10)
        assert np.array_equal(
            numbers_of(source.images[source.rows["test"]]), np.arange(50_000, 60_000)
        )


def test_test_rows_are_drawn_with_the_same_share_of_every_class(original):
    source = sources.load(settings(num_test=500), 3)
    assert np.bincount(source.labels[source.rows["test"]]).tolist() == [50] * 10
    assert numbers_of(source.images[source.rows["test"]]).min() >= 50_000


def test_other_sizes_are_drawn_by_the_seed_with_the_same_share_of_every_class(tmp_path):
    asked = settings(path=published(tmp_path / "c.h5", test=True), num_train=50, num_validation=20)
    source, again, other = (sources.load(asked, seed) for seed in (0, 0, 1))
    assert np.bincount(source.labels[source.rows["train"]]).tolist() == [5] * 10
    assert np.bincount(source.labels[source.rows["validation"]]).tolist() == [2] * 10
    assert source.digest() == again.digest() != other.digest()
    assert source.label == {"kind": "class", "classes": cifar10.CLASSES}


def test_a_file_without_test_images_gets_those_of_data_test_or_of_the_download(tmp_path, original):
    path, test = published(tmp_path / "c.h5", test=False), published(tmp_path / "t.h5", test=True)
    asked = settings(path=path, num_train=80, num_validation=20)
    given = sources.load(asked.model_copy(update={"test": test}), 0)
    assert numbers_of(given.images[given.rows["test"]]).tolist() == list(range(700, 740))
    fetched = sources.load(asked, 0)
    assert numbers_of(fetched.images[fetched.rows["test"]]).tolist() == list(range(50_000, 60_000))


def test_without_any_test_images_both_remedies_are_named(tmp_path, offline):
    path = published(tmp_path / "c.h5", test=False)
    with pytest.raises(
        UserError, match=r"data.test names none, and torchvision's are not to be had"
    ) as caught:
        sources.load(settings(path=path, num_train=80, num_validation=20), 0)
    assert caught.value.code == 65
    assert "images_test, labels_test in data.test" in caught.value.hint
    assert "cifar-10-batches-py" in caught.value.hint


def test_offline_the_message_says_which_file_to_put_where(tmp_path, offline):
    with pytest.raises(
        UserError, match=r"could not be downloaded from .*cifar-10-python.tar.gz \(no route"
    ) as caught:
        sources.load(settings(), 0)
    assert caught.value.code == 65
    assert str(tmp_path / "cache" / "cgankd" / "cifar-10-batches-py") in caught.value.hint
    assert not any((tmp_path / "cache" / "cgankd").iterdir())


def test_files_with_another_checksum_are_not_unpickled(tmp_path):
    folder = tmp_path / cifar10.BATCHES
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"\x80\x04cos\nabort\n(tR.")
    for path in (tmp_path, folder):
        with pytest.raises(
            UserError, match="files are missing, or are not those of CIFAR-10"
        ) as caught:
            sources.load(settings(path=str(path)), 0)
        assert caught.value.code == 65


def test_a_path_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"data.path = nowhere.h5 not found") as caught:
        sources.load(settings(path="nowhere.h5"), 0)
    assert "without data.path CIFAR-10 is downloaded" in caught.value.hint


def test_more_images_than_there_are_cannot_be_asked_for(original):
    with pytest.raises(UserError, match="= 50001, but cifar10 has 50000 images"):
        sources.load(settings(num_train=40_001, num_validation=10_000), 0)
    with pytest.raises(
        UserError, match=r"data.num_test = 10001, but cifar10 has 10000 test images"
    ):
        sources.load(settings(num_test=10_001), 0)
