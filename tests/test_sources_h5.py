"""HDF5 files as sources: every known layout, the protocol, and what is refused."""

import json
import os
import tracemalloc
from itertools import pairwise

import h5py
import numpy as np
import pytest
from sets import refused

from cgankd import runs, sources
from cgankd.errors import UserError
from cgankd.preset import Data
from cgankd.runs import hdf5
from cgankd.sources import catalogue, h5, identity, inspection, pictures
from cgankd.sources.h5 import LAYOUTS

NUM = 40


def images(num: int = NUM, side: int = 8, first: int = 100) -> np.ndarray:
    """Images of one value each, from `first` on."""
    return np.broadcast_to(
        np.arange(first, first + num, dtype=np.uint8)[:, None, None, None], (num, 3, side, side)
    )


CLASSES = np.arange(NUM) % 4


@pytest.fixture
def write(tmp_path):
    """Writes arrays as a file and gives its path."""

    def write(arrays: dict[str, np.ndarray], name: str = "x.h5") -> str:
        (tmp_path / name).write_bytes(hdf5.to_bytes(arrays, {}))
        return str(tmp_path / name)

    return write


def settings(path: str, **changes) -> Data:
    return Data(
        **{"source": "h5", "path": path, "size": 8, "num_train": 20, "num_validation": 8, **changes}
    )


def values(source: sources.Source, split: str) -> list[int]:
    """What the images of a split are filled with."""
    return source.images[source.rows[split], 0, 0, 0].tolist()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.images)
def test_every_known_layout_is_read_with_its_splits(layout, write):
    arrays = {layout.images: images(), layout.labels: CLASSES}
    if layout.train:
        arrays |= {layout.train: np.arange(20)[::-1], layout.validation: np.arange(20, 28)}
    if layout.test:
        arrays[layout.test] = np.arange(28, 34)
    if layout.test_images:
        arrays |= {layout.test_images: images(8, first=200), layout.test_labels: CLASSES[:8]}
    source = sources.load(settings(write(arrays)), 0)
    used = values(source, "train") + values(source, "validation")
    if layout.train:
        assert used == list(range(100, 128))
    else:
        assert len(set(used)) == 28
        assert set(used) < set(range(100, 140))
    rest = sorted(set(range(100, 140)) - set(used))
    appended = list(range(200, 208)) if layout.test_images else []
    inner = list(range(128, 134)) if layout.test else [] if appended else rest
    assert values(source, "test") == inner + appended
    for split in sources.SPLITS:
        held = np.array(values(source, split))
        assert np.array_equal(
            source.labels[source.rows[split]], np.where(held < 200, held - 100, held - 200) % 4
        )
    assert source.label == {"kind": "class", "classes": ["0", "1", "2", "3"]}


def test_the_labels_of_published_fakes_may_be_floats(write):
    source = sources.load(
        settings(write({"fake_images": images(), "fake_labels": CLASSES.astype(np.float64)})), 0
    )
    assert source.labels.dtype == np.int64
    assert np.bincount(source.labels).tolist() == [10, 10, 10, 10]


def test_with_a_range_labels_are_numbers_in_their_unit(write):
    path = write({"images": images(), "labels": np.linspace(-3, 4, NUM)})
    source = sources.load(settings(path, range=[-3.0, 4.0], unit="cells"), 0)
    assert source.labels.dtype == np.float32
    assert source.label == {"kind": "continuous", "min": -3.0, "max": 4.0, "unit": "cells"}
    held = np.array(values(source, "train")) - 100
    np.testing.assert_allclose(source.labels[source.rows["train"]], -3 + held * 7 / 39, rtol=1e-6)


def test_labels_a_tenth_of_a_step_off_become_the_multiple_bit_by_bit(write):
    off = np.tile([-0.0999, 0, 0.05, 0.0999], NUM // 4) * 0.1
    path = write({"images": images(), "labels": np.repeat([0.3, 0.7], NUM // 2) + off})
    source = sources.load(settings(path, range=[0.0, 1.0], step=0.1), 0)
    assert set(source.labels.tolist()) == {np.float32(0.3), np.float32(0.7)}
    refused(
        settings(
            write({"images": images(), "labels": np.linspace(0, 1, NUM)}),
            range=[0.0, 1.0],
            step=0.1,
        ),
        "step",
    )


def test_types_stay_with_their_images(write):
    arrays = {
        "images": images(),
        "labels": CLASSES,
        "types": np.arange(NUM) + 100,
        "images_test": images(8, first=200),
        "labels_test": CLASSES[:8],
    }
    source = sources.load(settings(write({**arrays, "types_test": np.arange(8) + 200})), 0)
    assert np.array_equal(source.types, source.images[:, 0, 0, 0])
    assert sources.load(settings(write(arrays)), 0).types is None, "the test images have none"


def test_grey_images_get_three_equal_channels(write):
    source = sources.load(settings(write({"images": images()[:, :1], "labels": CLASSES})), 0)
    assert source.images.shape == (NUM, 3, 8, 8)
    assert (source.images[:, 0] == source.images[:, 2]).all()


def test_another_size_is_resized_without_aliasing_and_keeps_plain_colours():
    board = np.indices((32, 32)).sum(0) % 2 * 255
    both = np.stack([np.broadcast_to(board, (3, 32, 32)), np.full((3, 32, 32), 37)]).astype(
        np.uint8
    )
    fitted = pictures.fit_all(both, 8)
    assert abs(fitted[0, :, 1:-1, 1:-1].astype(int) - 127).max() <= 3
    assert (fitted[1] == 37).all()


def test_an_oblong_is_cut_to_the_square_in_its_middle():
    oblong = np.zeros((1, 3, 8, 16), np.uint8)
    oblong[..., 4:12] = np.arange(8)
    assert np.array_equal(pictures.fit_all(oblong, 8)[0, 0], np.broadcast_to(np.arange(8), (8, 8)))


def test_draws_are_disjoint_and_in_proportion_to_the_classes(write):
    labels = np.repeat([0, 1, 2], [24, 12, 4])
    source = sources.load(
        settings(write({"images": images(), "labels": labels}), num_train=20, num_validation=10), 1
    )
    counts = [
        np.bincount(source.labels[source.rows[split]], minlength=3).tolist()
        for split in sources.SPLITS
    ]
    assert counts[:2] == [[12, 6, 2], [6, 3, 1]]
    assert np.sum(counts, axis=0).tolist() == [24, 12, 4]


def test_under_the_published_protocol_validation_rows_are_training_rows_too(write):
    path = write({"images": images(), "labels": CLASSES})
    clean, paper = (
        sources.load(settings(path, protocol=protocol), 0) for protocol in ("clean", "paper")
    )
    assert values(paper, "train") == sorted(values(clean, "train") + values(clean, "validation"))
    assert values(paper, "validation") == values(clean, "validation")
    assert (clean.leaky, paper.leaky) == (False, True)
    assert "leaky" not in clean.seen("train")
    assert paper.seen("train")["leaky"] is True
    paper.check_unseen(paper.seen("train"), "gan")
    clean.check_unseen(clean.seen("train"), "gan")
    for source, seen in (
        (clean, paper.seen("train")),
        (paper, clean.seen("train")),
        (clean, clean.seen("validation")),
    ):
        with pytest.raises(
            UserError, match="gan was trained on rows that may include the validation rows"
        ):
            source.check_unseen(seen, "gan")


@pytest.mark.parametrize(
    ("arrays", "changes", "words"),
    [
        ({"pixels": images()}, {}, r"no images with labels \(found: pixels\)"),
        ({"images": images().transpose(0, 2, 3, 1)}, {}, "with the channels last"),
        ({"images": images()[:, :2]}, {}, r"expected \(N, 3, S, S\)"),
        ({"images": images()[:0]}, {}, "images is empty"),
        ({"images": images() / 255}, {}, r"is float64 in \[0.392157, 0.545098\], expected uint8"),
        ({"images": images() // 200}, {}, "no pixel is above 0 of 255"),
        ({"labels": CLASSES[:-1]}, {}, "40 images, but 39 values in labels"),
        ({"labels": CLASSES + 1}, {}, "labels are 1..4, but classes are numbered from 0"),
        (
            {"labels": CLASSES * 2},
            {},
            "labels are 0..6, but 3 classes in between have no images, the first of them 1",
        ),
        ({"labels": CLASSES * 0}, {}, "all 40 images are of one class"),
        ({"labels": CLASSES + 0.5}, {}, "class labels must be integers, found 0.5 in row 0"),
        ({"labels": np.full(NUM, np.nan)}, {}, "40 of 40 labels are no numbers"),
        (
            {},
            {"range": [0.0, 2.5]},
            r"10 of 40 labels lie outside \[0, 2.5\], the first 3 in row 3",
        ),
        (
            {"labels": CLASSES * 0},
            {"range": [0.0, 1.0]},
            "all 40 labels are 0: there is nothing to learn",
        ),
        ({}, {"num_train": 33}, r"= 41, but .*x.h5 has 40 images"),
        ({}, {"num_train": 32}, "has no images left for the test"),
        ({}, {"num_test": 13}, r"data.num_test = 13, but .* has 12 test images"),
        (
            {},
            {"range": [0.0, 3.0], "step": 2.0},
            "20 of 40 labels are no multiples of the step 2, the first 1 in row 1",
        ),
        ({"types": np.arange(39)}, {}, "40 images, but 39 values in types"),
        ({"types": CLASSES / 2}, {}, "types holds fractions, expected whole numbers"),
        ({"indx_test": np.array([0, 40])}, {}, "indx_test holds 0..40, but there are 40 images"),
        ({"indx_test": np.array([1, 1])}, {}, "indx_test names images twice"),
        (
            {"indx_subtrain": np.arange(20), "indx_subvalid": np.arange(19, 27)},
            {},
            "1 rows are both train and validation rows, the first of them 19",
        ),
        (
            {"indx_train": np.arange(30), "indx_test": np.arange(29, 40)},
            {},
            "1 rows are both development and test rows, the first of them 29",
        ),
        (
            {"class_names": np.frombuffer(b"{", np.uint8)},
            {},
            "class_names is no JSON list of names",
        ),
        (
            {"class_names": np.frombuffer(json.dumps(["a", "b", "c"]).encode(), np.uint8)},
            {},
            "label 3 in row 3 is outside 0..2, the 3 classes",
        ),
        (
            {"class_names": np.frombuffer(json.dumps(list("abcde")).encode(), np.uint8)},
            {},
            "1 of 5 classes have no images to train on: e",
        ),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_one_message(arrays, changes, words, write):
    whole = {"images": images(), "labels": CLASSES} if "pixels" not in arrays else {}
    refused(settings(write({**whole, **arrays}), **changes), words)


@pytest.mark.parametrize(
    ("pixels", "plain"),
    [
        (images() / 255, "255 * images"),
        (images() / 127.5 - 1, "127.5 * (images + 1)"),
        (images() * 1.0, "rint(images)"),
        (images().astype(np.int64), "rint(images)"),
        (images().astype(np.uint16) * 257, "images * (255 / 65535)"),
        (images().astype(np.uint16) * 16, "images * (255 / 4095)"),
        ((images() - 100).astype(np.int8), "rint(images)"),
        (images().astype(np.int16).astype(np.int8), "images.astype('int16') + 128"),
        (images().astype(np.int32) - 1000, "images - -900.0"),
        (images() % 2 == 1, "255 * images"),
        (images().astype(np.float32) / 60, "images - "),
    ],
    ids=lambda value: f"{value.dtype} {value.max():g}" if isinstance(value, np.ndarray) else "",
)
def test_pixels_in_another_range_come_with_a_conversion_that_keeps_them_apart(pixels, plain, write):
    path = write({"images": pixels, "labels": CLASSES})
    error = refused(settings(path), "expected uint8 in 0..255")
    assert plain in error.hint
    advice = error.hint.removeprefix("store ")
    stored = eval(advice, {"numpy": np, "images": pixels})  # what the user is told to do
    assert stored.dtype == np.uint8
    before, after = pixels[:, 0, 0, 0].astype(float), stored[:, 0, 0, 0].astype(float)
    steps = np.polyfit(before, after, 1)
    assert abs(np.polyval(steps, before) - after).max() < 1, "nothing is cut off"
    assert steps[0] > 0
    sources.load(settings(write({"images": stored, "labels": CLASSES}, "new.h5")), 0)


def test_a_link_to_another_file_is_refused(write, tmp_path):
    write({"images": images()}, "secret.h5")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = h5py.ExternalLink("secret.h5", "images")
        file["labels"] = CLASSES
    refused(settings(str(tmp_path / "x.h5")), "images is a link to another place, which is refused")


def test_missing_files_and_files_of_another_kind_are_named(tmp_path):
    refused(settings("nowhere.h5"), "data.path = nowhere.h5 not found")
    (tmp_path / "x.h5").write_text("no")
    refused(settings(str(tmp_path / "x.h5")), "not a readable HDF5 file")


def test_test_images_of_another_file_are_those_of_data_test(write):
    path = write({"images": images(), "labels": CLASSES})
    other = write({"images": images(8, first=200), "labels": CLASSES[:8]}, "test.h5")
    assert values(sources.load(settings(path, test=other), 0), "test") == list(range(200, 208))
    refused(settings(path, test="nowhere.h5"), "data.test = nowhere.h5 not found")


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(write, tmp_path, monkeypatch):
    path = write({"images": images(), "labels": CLASSES})
    run, read, load = runs.RunFolder(tmp_path / "run"), [], catalogue.load
    run.root.mkdir()
    monkeypatch.setattr(catalogue, "load", lambda *given: read.append(given) or load(*given))
    found = []
    with runs.locked(run.root):
        for change in (False, False, True):
            if change:
                write({"images": images()[::-1], "labels": CLASSES})
                os.utime(path, (1, 1))  # not the same time, however coarse the clock
            identity.describe.cache_clear()
            found.append(sources.identify(settings(path), 0, run))
    assert [one == two for one, two in pairwise(found)] == [True, False]
    assert len(read) == 2


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ({"source": "digits"}, {"kind": "class", "classes": list("0123456789")}),
        (
            {"source": "digits-angle"},
            {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"},
        ),
        ({"source": "h5", "path": "x.h5"}, None),
        ({"source": "folder", "path": "x"}, None),
        (
            {"source": "csv", "path": "x.csv", "range": [1.0, 2.0], "unit": "m"},
            {"kind": "continuous", "min": 1.0, "max": 2.0, "unit": "m"},
        ),
    ],
)
def test_the_label_is_known_without_reading_where_the_source_or_the_range_says_it(asked, known):
    assert sources.known_label(Data(num_train=10, num_validation=10, **asked)) == known


def test_the_number_of_classes_of_the_published_sets_is_known():
    for name, num in (("cifar10", 10), ("tiny-imagenet", 200)):
        label = sources.known_label(Data(source=name, num_train=10, num_validation=10))
        assert label["kind"] == "class"
        assert len(set(label["classes"])) == num


def test_labels_may_be_a_column(write):
    path = write({"images": images(), "labels": CLASSES[:, None]})
    plain = write({"images": images(), "labels": CLASSES}, "plain.h5")
    first, again = (sources.load(settings(place), 0) for place in (path, plain))
    assert first.digest() == again.digest()


@pytest.mark.parametrize(
    ("labels", "words", "hint"),
    [
        (np.eye(4)[CLASSES], r"labels has shape \(40, 4\), expected one value", "labels.argmax(1)"),
        (np.array([b"cat", b"dog"])[CLASSES % 2], "labels holds text, expected numbers", "unique("),
        (np.array(["cat", "dog"], object)[CLASSES % 2], "labels holds text", "class_names"),
        (CLASSES.astype(complex), "labels holds complex128, expected numbers", "again"),
        (np.int64(3), r"labels has shape \(\), expected 1 or 2 dimensions", "again"),
        (CLASSES[:, None, None], r"labels has shape \(40, 1, 1\), expected 1 or 2", "again"),
    ],
)
def test_labels_of_another_kind_are_explained_in_words(labels, words, hint, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"], file["labels"] = images(), labels
    error = refused(settings(str(tmp_path / "x.h5")), words)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (b"[" * 100_000, "class_names is no JSON list of names"),
        (b'["a", "b", "c", ' + b"[" * 100_000, "class_names is no JSON list of names"),
        (b"\xff\xfe\xfd", "class_names is no JSON list of names"),
        (json.dumps(["a", "b", "a", "c"]).encode(), "several classes have the name 'a'"),
        (json.dumps(["a", "b", " ", "c"]).encode(), "1 of 4 classes have no name"),
        (json.dumps(["a", "b", "\ud800", "c"]).encode(), "cannot be shown"),
        (json.dumps(["a", "b", "\x1b[2J", "c"]).encode(), "cannot be shown"),
    ],
)
def test_names_that_are_none_are_refused(names, words, write):
    arrays = {"images": images(), "labels": CLASSES, "class_names": np.frombuffer(names, np.uint8)}
    refused(settings(write(arrays)), words)


def test_a_file_that_declares_what_it_does_not_store_is_refused_before_it_is_read(tmp_path):
    peak = []
    for name, shape in (("images", (1_000_000, 3, 32, 32)), ("labels", (400_000_000,))):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset(name, shape, "u1", chunks=(1000, *shape[1:]))
            if name == "images":
                file["labels"] = np.zeros(len(file["images"]), np.uint8)
            else:
                file["images"] = images()
        tracemalloc.start()
        facts = inspection.inspect(tmp_path / f"{name}.h5")
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(facts["problems"]) == 1
        assert ("are stored" if name == "images" else "values in labels") in facts["problems"][0]
    assert max(peak) < 64 << 20


def test_images_are_read_and_resized_in_parts(write, monkeypatch):
    path = write({"images": np.repeat(np.repeat(images(), 2, 2), 2, 3), "labels": CLASSES})
    whole = sources.load(settings(path), 0)
    monkeypatch.setattr(h5, "PART", 7 * 3 * 16 * 16)
    assert sources.load(settings(path), 0).digest() == whole.digest()


def test_a_test_file_beside_test_images_is_refused_and_not_ignored(write):
    path = write({"images": images(), "labels": CLASSES, "indx_test": np.arange(30, 40)})
    other = write({"images": images(8, first=200), "labels": CLASSES[:8]}, "test.h5")
    refused(settings(path, test=other), "has test images of its own", code=2)
