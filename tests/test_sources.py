"""The data sets: pixels against the originals, splits, and the digest of the content."""

import numpy as np
import pytest
from scipy.ndimage import rotate
from sklearn.datasets import load_digits

from cgankd import runs, sources
from cgankd.errors import UserError
from cgankd.preset import Data
from cgankd.sources import catalogue, identity


def settings(name: str = "digits", **changes) -> Data:
    return Data(**{"source": name, "size": 8, "num_train": 200, "num_validation": 100, **changes})


@pytest.fixture(scope="module", params=["digits", "digits-angle"])
def source(request):
    return sources.load(settings(request.param), 0)


@pytest.fixture(scope="module")
def angles():
    """The turned digits in the order of scikit-learn."""
    return catalogue.read(settings("digits-angle"), 0)


@pytest.fixture(scope="module")
def digits():
    """The digits in the order of scikit-learn."""
    return catalogue.read(settings(), 0)


def test_splits_are_disjoint_increasing_and_hold_every_row(source):
    parts = [source.rows[split] for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [200, 100, 1497]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1797))
    assert all((np.diff(part) > 0).all() for part in parts)


def test_digits_are_those_of_scikit_learn_in_three_equal_channels(digits):
    original = load_digits()
    assert digits.images.dtype == np.uint8
    for channel in range(3):
        np.testing.assert_array_equal(
            digits.images[:, channel], np.rint(original.images / 16 * 255)
        )
    np.testing.assert_array_equal(digits.labels, original.target)
    assert digits.label == {"kind": "class", "classes": list("0123456789")}


def test_every_class_has_the_same_share_of_training_and_validation():
    source = sources.load(settings(), 0)
    assert (np.bincount(source.labels[source.rows["train"]]) == 20).all()
    assert (np.bincount(source.labels[source.rows["validation"]]) == 10).all()


def test_angles_are_uniform_labels_and_images_are_turned_by_them(angles):
    assert angles.label == {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}
    assert angles.labels.dtype == np.float32
    assert 0 <= angles.labels.min() < 1 < 89 < angles.labels.max() < 90
    assert np.histogram(angles.labels, bins=9, range=(0, 90))[0].min() > 150
    upright = load_digits().images / 16
    for row in (0, 7, 1234):
        turned = rotate(upright[row], float(angles.labels[row]), reshape=False, order=1)
        np.testing.assert_array_equal(angles.images[row, 1], np.rint(np.clip(turned, 0, 1) * 255))


def test_the_type_of_a_turned_digit_is_its_class(angles):
    np.testing.assert_array_equal(angles.types, load_digits().target)
    assert sources.load(settings(), 0).types is None


def test_classes_with_few_images_are_repeated_up_to_the_number_asked_for():
    plain, source = sources.load(settings(), 0), sources.load(settings(min_per_label=33), 0)
    assert np.bincount(source.labels[source.rows["train"]]).tolist() == [33] * 10
    assert set(source.rows["train"]) == set(plain.rows["train"])
    rows, counts = np.unique(source.rows["train"], return_counts=True)
    assert len(rows) == 200
    assert counts.max() > 1, "drawn with replacement, not all the same"
    enough = sources.load(settings(min_per_label=20), 0)
    assert enough.digest() == plain.digest()
    other = sources.load(settings(min_per_label=33), 1)
    assert not np.array_equal(other.rows["train"], source.rows["train"])


def test_angles_count_counter_clockwise(angles):
    upright = load_digits().images
    steep = np.flatnonzero(angles.labels > 85)
    assert len(steep) > 50

    def likeness(quarters: int) -> float:
        turned = np.rot90(upright[steep], quarters, axes=(1, 2))
        return np.corrcoef(turned.ravel(), angles.images[steep, 0].ravel())[0, 1]

    assert likeness(1) > 0.85 > 0.5 > likeness(-1)


def test_larger_sides_keep_the_picture():
    digits = catalogue.read(settings(size=16), 0)
    assert digits.images.shape == (1797, 3, 16, 16)
    halved = digits.images[:, 0].reshape(1797, 8, 2, 8, 2).mean((2, 4))
    original = np.clip(load_digits().images / 16, 0, 1) * 255
    assert np.corrcoef(halved.ravel(), original.ravel())[0, 1] > 0.97


def test_the_same_seed_gives_the_same_content_and_another_seed_other_splits(source):
    name = "digits" if source.label["kind"] == "class" else "digits-angle"
    again, other = sources.load(settings(name), 0), sources.load(settings(name), 1)
    assert again.digest() == source.digest() != other.digest()
    assert not np.array_equal(source.rows["train"], other.rows["train"])


def test_the_digest_covers_pixels_labels_splits_and_meaning(source):
    def changed(**parts) -> str:
        values = {name: getattr(source, name) for name in ("images", "labels", "rows", "label")}
        return sources.Source(**{**values, **parts}).digest()

    pixels, labels = source.images.copy(), source.labels.copy()
    pixels[5, 0, 0, 0] ^= 1
    labels[5] += 1
    rows = {**source.rows, "train": source.rows["train"][:-1]}
    digests = {
        changed(),
        changed(images=pixels),
        changed(labels=labels),
        changed(rows=rows),
        changed(label={"kind": "x"}),
    }
    types = np.zeros(len(labels), np.int64)
    digests |= {changed(types=types), changed(types=types + 1)}
    assert len(digests) == 7


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("digits", {"num_train": 205}, "data.num_train = 205 is no multiple of 10"),
        ("digits", {"num_validation": 7}, "data.num_validation = 7 is no multiple of 10"),
        ("digits", {"num_train": 1700}, "180 images per class .* has 174"),
        ("digits-angle", {"num_train": 1697}, "digits-angle has no images left for the test"),
        ("digits-angle", {"num_train": 1698}, "= 1798, but digits-angle has 1797 images"),
    ],
)
def test_asking_for_more_than_there_is_is_refused(name, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        sources.load(settings(name, **changes), 0)
    assert caught.value.code == 65


def test_the_content_is_identified_once_per_run_and_again_when_the_settings_change(
    tmp_path, monkeypatch
):
    made, load = [], sources.load
    identity.describe.cache_clear()
    monkeypatch.setattr(catalogue, "load", lambda *given: made.append(given) or load(*given))
    run = runs.RunFolder(tmp_path)
    with runs.locked(tmp_path):
        first = sources.identify(settings(), 0, run)
        assert sources.identify(settings(), 0, run) == first == load(settings(), 0).digest()
        assert len(made) == 1
        assert sources.identify(settings(), 1, run) != first
        assert sources.identify(settings(num_train=100), 1, run) != first
        assert len(made) == 3
    assert runs.read_json(run.data)["rows"]["train"]["num"] == 100


def test_a_run_folder_is_not_made_for_the_sake_of_an_identity(tmp_path):
    sources.identify(settings(), 0, runs.RunFolder(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()
