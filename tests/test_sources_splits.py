"""Which rows are drawn for what: in proportion to the labels, however few there are."""

import numpy as np
import pytest
from sets import AUTO, classes, heard, noise, refused, settings

from cgankd import sources
from cgankd.preset import Data
from cgankd.sources import draws


def drawn(labels: np.ndarray, numbers: list[int], seed: int) -> list[np.ndarray]:
    """The rows of each draw, and those that are left."""
    rows = np.arange(len(labels))
    parts = draws.draw(labels, rows, numbers, np.random.default_rng(seed))
    return [*parts, np.setdiff1d(rows, np.concatenate(parts))]


def counts(labels: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    """How many of each label are in each part: (labels, parts)."""
    return np.stack([np.bincount(labels[part], minlength=labels.max() + 1) for part in parts], 1)


def some_sizes(seed: int) -> tuple[np.ndarray, list[int]]:
    """Groups of any sizes, and how many rows two or three draws take of them."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, rng.choice([2, 4, 30, 200]) + 1, rng.integers(1, 40))
    cuts = np.sort(rng.integers(0, sizes.sum() + 1, rng.integers(1, 3)))
    return sizes, np.diff([0, *cuts, sizes.sum()]).tolist()


@pytest.mark.parametrize("seed", range(60))
def test_every_share_is_its_quota_rounded_down_or_up_and_so_along_the_whole_range(seed):
    sizes, numbers = some_sizes(seed)
    shares = draws.shares(sizes, numbers, np.random.default_rng(seed))
    quotas = np.outer(sizes, numbers) / sizes.sum()
    assert shares.sum(0).tolist() == numbers
    assert shares.sum(1).tolist() == sizes.tolist()
    assert (abs(shares - quotas) < 1).all()
    assert abs(np.cumsum(shares - quotas, 0)).max() < 3, "each stretch of labels has its part too"


def test_no_label_is_preferred_when_a_quota_is_rounded():
    sizes, numbers = np.array([3, 1, 7, 2, 2, 5]), [9, 6, 5]
    seeds = map(np.random.default_rng, range(4000))
    mean = np.mean([draws.shares(sizes, numbers, rng) for rng in seeds], 0)
    np.testing.assert_allclose(mean, np.outer(sizes, numbers) / 20, atol=0.04)


@pytest.mark.parametrize(
    ("num", "high", "step", "numbers"),
    [
        (1250, 180, 0.5, [800, 200]),
        (500, 90, 0.1, [300, 100]),
        (400, 100, 1.0, [256, 64]),
        (1000, 10, None, [640, 160]),
        (40, 1, None, [20, 10]),
        (25_000, 1, None, [16_000, 4000]),
    ],
)
def test_each_split_has_the_distribution_that_a_continuous_label_has_in_all(
    num, high, step, numbers
):
    for seed in range(3):
        labels = np.random.default_rng(seed).uniform(0, high, num).astype(np.float32)
        if step:
            labels = (np.rint(labels / step) * step).astype(np.float32)
        parts = drawn(labels, numbers, seed)
        assert [len(part) for part in parts] == [*numbers, num - sum(numbers)]
        for part in parts:
            below = np.searchsorted(np.sort(labels[part]), np.sort(labels), "right") / len(part)
            everywhere = np.searchsorted(np.sort(labels), np.sort(labels), "right") / num
            assert abs(below - everywhere).max() < 3.5 / len(part), "within a few rows at any label"


def test_another_seed_draws_others_and_the_same_seed_the_same():
    labels = np.random.default_rng(0).uniform(0, 1, 60).astype(np.float32)
    for given in (labels, np.arange(60) % 7):
        first, again, other = (drawn(given, [30, 12], seed) for seed in (1, 1, 2))
        assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
        assert not any(np.array_equal(*pair) for pair in zip(first, other, strict=True))


def test_which_of_many_small_classes_are_tested_is_a_matter_of_the_seed():
    labels = np.repeat(np.arange(200), 3)
    tested = np.zeros(200)
    for seed in range(40):
        found = counts(labels, drawn(labels, [384, 96], seed))
        assert found.sum(0).tolist() == [384, 96, 120]
        assert (found[:, 0] >= 1).all()
        assert found.max(0).tolist() == [2, 1, 1]
        tested += found[:, 2]
    assert 8 < tested.min() <= tested.max() < 40, "24 times each on average"


@pytest.mark.parametrize("seed", range(40))
def test_every_class_is_trained_on_and_one_of_three_rows_is_in_every_draw(seed):
    sizes, numbers = some_sizes(seed)
    if seed < 10:
        sizes, numbers = np.array([[300, 3], [3, 300], [60, 3, 3, 3], [9, 2, 1]][seed % 4]), []
        numbers = [round(0.7 * sizes.sum()), round(0.15 * sizes.sum())]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    found = counts(labels, drawn(labels, numbers[:2], seed))
    for draw, num in enumerate(found.sum(0)):
        due = sizes >= (3 if draw else 1)
        represented = np.count_nonzero(found[due, draw])
        assert represented == min(num, np.count_nonzero(due)), "all, or as many as there are rows"


def test_fewer_test_rows_than_classes_are_of_as_many_classes():
    labels = np.repeat(np.arange(10), [40, *[4] * 9])
    for seed in range(10):
        (part, _) = drawn(labels, [6], seed)
        assert len(set(labels[part])) == 6


def test_sizes_left_to_the_data_have_room_for_every_class_of_three(tmp_path, monkeypatch):
    warned = heard(monkeypatch, "warn")
    folder = classes(tmp_path / "set", 3, tuple("abcdefgh"))
    source = sources.load(settings("folder", folder, **AUTO), 0)
    for split in sources.SPLITS:
        assert sorted(source.labels[source.rows[split]]) == list(range(8))
    assert not warned
    noise(folder / "i" / "0.png", 9)
    noise(folder / "i" / "1.png", 99)
    sources.load(settings("folder", folder, **AUTO), 0)
    assert [text.split(": ")[1:] for text in warned] == [
        [f"no {split} image is of 1 of the 9 classes", "i"] for split in ("validation", "test")
    ], "the ninth has two images, and both are trained on"


def test_a_test_that_lacks_classes_is_told_with_their_names(tmp_path, monkeypatch):
    warned = heard(monkeypatch, "warn")
    folder = classes(tmp_path / "set", 4)
    noise(tmp_path / "test" / "b" / "x.png", 7)
    sources.load(
        settings("folder", folder, test=str(tmp_path / "test"), num_train=6, num_validation=2), 0
    )
    assert warned == [f"{folder}: no test image is of 1 of the 2 classes: a"]


def test_the_angles_of_few_turned_digits_are_spread_over_the_range():
    for seed in range(3):
        asked = Data(source="digits-angle", size=8, num_train=30, num_validation=15, num_test=15)
        source = sources.load(asked, seed)
        for split, num in (("train", 30), ("validation", 15), ("test", 15)):
            angles = source.labels[source.rows[split]]
            assert len(angles) == num
            assert abs(angles.mean() - 45) < 3


# Copies


def test_test_images_that_are_trained_on_are_refused_whatever_their_names_are(
    tmp_path, monkeypatch
):
    warned = heard(monkeypatch, "warn")
    folder = classes(tmp_path / "set")
    both = {"test": str(folder), "num_train": 16, "num_validation": 8}
    error = refused(
        settings("folder", folder, **both), "24 of 24 test images are images to train on"
    )
    assert "data.allow_overlap = true" in error.hint
    copies = tmp_path / "copies"
    for path in folder.rglob("*.png"):
        copy = copies / path.parent.name / f"copy-{path.name}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    refused(settings("folder", folder, **{**both, "test": str(copies)}), "24 of 24 test images")
    assert not warned
    allowed = sources.load(settings("folder", folder, **both, allow_overlap=True), 0)
    assert len(allowed.rows["test"]) == 24
    assert "24 of 24 test images" in warned[0]


def test_a_few_copies_are_counted_and_let_pass(tmp_path, monkeypatch):
    warned = heard(monkeypatch, "warn")
    folder, test = classes(tmp_path / "set"), classes(tmp_path / "test", 40, ("b", "a"))
    asked = settings("folder", folder, test=str(test), num_train=16, num_validation=8)
    for path in test.rglob("*.png"):  # pictures of their own
        noise(path, 5, int(path.stem), ord(path.parent.name))
    sources.load(asked, 0)
    assert not warned
    for name in "ab":
        (test / name / "00.png").write_bytes((folder / name / "00.png").read_bytes())
    sources.load(asked, 0)
    (text,) = warned
    assert "2 of 80 test images are images to train on or to validate with too" in text
    for name in "ab":
        for number in (1, 2):
            copy = (folder / name / f"0{number}.png").read_bytes()
            (test / name / f"0{number}.png").write_bytes(copy)
    refused(asked, "6 of 80 test images")
