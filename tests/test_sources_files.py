"""Image files as sources: class folders and Tiny-ImageNet, with what is left out of them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sets import classes, draw, heard, noise, refused, settings

from cgankd import console, sources
from cgankd.preset import Data
from cgankd.sources import cache, inspection, pictures


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# Class folders


@pytest.fixture
def flowers(tmp_path):
    """Five roses of sides 8 to 12 and five grey tulips, and a file that is no image."""
    for number in range(5):
        draw(tmp_path / "flowers" / "rose" / f"{number}.png", (200, number, 0), (8 + number, 9))
        draw(tmp_path / "flowers" / "tulip" / f"{number}.jpg", 100 + number, (9, 8 + number), "L")
    (tmp_path / "flowers" / "tulip" / "notes.txt").write_text("no image")
    draw(tmp_path / "flowers" / "tulip" / ".hidden.png")
    return tmp_path / "flowers"


def test_a_folder_of_class_folders_is_read_with_its_names(flowers):
    source = sources.load(settings("folder", flowers), 0)
    assert source.label == {"kind": "class", "classes": ["rose", "tulip"]}
    assert source.images.shape == (10, 3, 8, 8)
    assert np.bincount(source.labels).tolist() == [5, 5]
    assert (source.images[source.labels == 0, 0] == 200).all()
    grey = source.images[source.labels == 1]
    assert sorted(grey[:, 0, 0, 0].tolist()) == [100, 101, 102, 103, 104]
    assert (grey[:, 0] == grey[:, 2]).all()
    assert [len(source.rows[split]) for split in sources.SPLITS] == [4, 2, 4]


def test_broken_images_are_named_or_left_out_and_counted(flowers, monkeypatch):
    whole = (flowers / "rose" / "1.png").read_bytes()
    (flowers / "rose" / "1.png").write_bytes(whole[:40])
    (flowers / "rose" / "2.png").write_bytes(b"")
    error = refused(settings("folder", flowers), "rose/1.png: not a readable image")
    assert "data.skip_broken = true" in error.hint
    warned: list[str] = []
    monkeypatch.setattr(console, "warn", warned.append)
    source = sources.load(settings("folder", flowers, skip_broken=True), 0)
    assert np.bincount(source.labels).tolist() == [3, 5]
    (text,) = [text for text in warned if "cannot be read" in text]
    assert "2 of 10 images cannot be read" in text
    assert "rose/1.png" in text
    assert "rose/2.png" in text


def test_test_images_may_stand_in_a_folder_of_their_own(flowers, tmp_path):
    for name in ("rose", "tulip"):
        draw(tmp_path / "test" / name / "a.png", (1, 2, 3))
    source = sources.load(
        settings("folder", flowers, test=str(tmp_path / "test"), num_train=6, num_validation=4), 0
    )
    assert source.labels[source.rows["test"]].tolist() == [0, 1]
    assert (source.images[source.rows["test"], 2] == 3).all()
    draw(tmp_path / "few" / "tulip" / "a.png")
    few = sources.load(
        settings("folder", flowers, test=str(tmp_path / "few"), num_train=6, num_validation=4), 0
    )
    assert few.labels[few.rows["test"]].tolist() == [1], "a test may lack classes"
    draw(tmp_path / "test" / "lily" / "a.png")
    refused(
        settings("folder", flowers, test=str(tmp_path / "test")),
        "has classes that data.path lacks: lily",
    )


def test_a_folder_of_another_kind_is_refused(tmp_path):
    refused(settings("folder", tmp_path / "none"), "none is no folder")
    draw(tmp_path / "one" / "rose" / "1.png")
    refused(settings("folder", tmp_path / "one"), "holds 1 folders, but a class is a folder")
    (tmp_path / "one" / "tulip").mkdir()
    refused(
        settings("folder", tmp_path / "one"),
        r"class folder .*tulip has no images \(found: nothing\)",
    )
    for part in ("test", "train"):
        draw(tmp_path / "parts" / part / "rose" / "1.png")
    error = refused(
        settings("folder", tmp_path / "parts"), "test holds folders in the place of images"
    )
    assert "data.path = " in error.hint


def test_decoded_images_are_kept_until_a_file_changes(flowers, monkeypatch):
    monkeypatch.setattr(cache, "MIN_FILES", 1)
    read, decode = [], pictures.read_all
    monkeypatch.setattr(
        pictures, "read_all", lambda *given, **options: read.append(1) or decode(*given, **options)
    )
    first, again = (sources.load(settings("folder", flowers), 0) for _ in range(2))
    assert first.digest() == again.digest()
    assert len(read) == 1
    draw(flowers / "rose" / "0.png", (77, 0, 0))
    os.utime(flowers / "rose" / "0.png", (1, 1))
    assert 77 in sources.load(settings("folder", flowers), 0).images[:, 0]
    assert len(read) == 2
    (kept,) = cache.folder().glob("*.h5")
    kept.write_bytes(kept.read_bytes()[:1000])
    assert 77 in sources.load(settings("folder", flowers), 0).images[:, 0]
    assert len(read) == 3


# Tiny-ImageNet


@pytest.fixture
def tiny(tmp_path):
    """The official layout with two classes of four training and two validation images, one of them
    grey.
    """
    root = tmp_path / "tiny-imagenet-200"
    for name, red in (("n02", 200), ("n01", 100)):
        for number in range(4):
            draw(root / "train" / name / "images" / f"{name}_{number}.JPEG", (red, 0, 0), (64, 64))
    draw(root / "val" / "images" / "val_0.JPEG", 50, (64, 64), "L")
    for number in (1, 2, 3):
        draw(root / "val" / "images" / f"val_{number}.JPEG", (10, 10, 10), (64, 64))
    (root / "wnids.txt").write_text("n02\nn01\n")
    lines = [f"val_{number}.JPEG\tn0{1 + number % 2}\t0\t0\t62\t62\n" for number in range(4)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


def test_tiny_imagenet_trains_on_train_and_tests_on_its_validation_images(tiny):
    source = sources.load(settings("tiny-imagenet", tiny, size=64, num_train=6), 0)
    assert source.label == {"kind": "class", "classes": ["n01", "n02"]}
    assert [len(source.rows[split]) for split in sources.SPLITS] == [6, 2, 4]
    red = source.images[:8, 0].mean((1, 2))
    assert np.array_equal(source.labels[:8], np.where(red > 150, 1, 0))
    assert source.labels[source.rows["test"]].tolist() == [0, 0, 1, 1]
    assert abs(source.images[source.rows["test"][0]].astype(int) - 50).max() <= 1


def test_a_tiny_imagenet_that_is_not_whole_is_refused_with_where_to_get_it(tiny, tmp_path):
    error = refused(
        settings("tiny-imagenet", tmp_path / "none"), "tiny-imagenet: data.path = .*none not found"
    )
    assert "tiny-imagenet-200.zip" in error.hint
    refused(
        Data(source="tiny-imagenet", size=64, num_train=6, num_validation=2), "data.path is missing"
    )
    annotations = tiny / "val" / "val_annotations.txt"
    annotations.write_text("val_0.JPEG\tn09\t0\t0\t1\t1\n")
    refused(settings("tiny-imagenet", tiny), "line 1: 'n09' is no class of wnids.txt")
    annotations.write_text("../../wnids.txt\tn01\t0\t0\t1\t1\n")
    refused(settings("tiny-imagenet", tiny), "line 1: '../../wnids.txt' leads out of")
    (tiny / "wnids.txt").write_text("n01\n../../etc\n")
    refused(settings("tiny-imagenet", tiny), "'../../etc' is no name of a class")
    (tiny / "wnids.txt").write_text("n01\nn03\n")
    refused(settings("tiny-imagenet", tiny), "n03/images holds no images")
    (tiny / "wnids.txt").unlink()
    os.mkfifo(tiny / "wnids.txt")
    refused(settings("tiny-imagenet", tiny), "wnids.txt is no regular file")


# What is left out, and what cannot be shown


def test_what_of_a_folder_is_not_read_is_said_and_listed(tmp_path, monkeypatch):
    said = heard(monkeypatch, "say")
    folder = classes(tmp_path / "set")
    noise(folder / "a" / "inner" / "x.png", 1)
    noise(folder / "stray.png", 2)
    (folder / "b" / "x.heic").write_bytes(b"x")
    source = sources.load(settings("folder", folder), 0)
    assert len(source.images) == 24
    (text,) = said
    for word in ("24 images, left out", "1 in inner folders", "1 .heic", "1 outside of the class"):
        assert word in text
    left_out = inspection.inspect(folder)["left out"]
    assert left_out["in inner folders"] == left_out["outside of the class folders"] == 1


def test_a_class_folder_of_other_files_names_them(tmp_path):
    folder = classes(tmp_path / "set")
    (folder / "c").mkdir()
    for number in range(3):
        (folder / "c" / f"{number}.heic").write_bytes(b"x")
    refused(settings("folder", folder), "set/c has no images .found: 3 .heic .*pillow-heif")


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\x1b[31mb", b"a\nb", "a\u202eb".encode()])
def test_a_class_that_cannot_be_shown_is_refused_when_the_data_are_read(name, tmp_path):
    folder = classes(tmp_path / "set")
    os.rename(folder / "a", os.fsencode(folder) + b"/" + name)
    error = refused(settings("folder", folder), "the class '.*' holds '.*', which cannot be shown")
    assert str(error).isascii()
    facts = inspection.inspect(folder)
    assert str(error) in facts["problems"][0]
    json.dumps(facts, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "name", ["café", "猫", "🐈\u200d⬛", "\u0646\u06cc\u200c\u0645", "a b", "$x$ <i>"]
)
def test_letters_of_any_language_are_names(name, tmp_path):
    folder = classes(tmp_path / "set", names=("a", name))
    assert name in sources.load(settings("folder", folder), 0).label["classes"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    folder = classes(tmp_path / "set")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    error = refused(settings("folder", folder), "set cannot be read .Permission denied")
    assert "permissions" in error.hint
    assert "Permission denied" in inspection.inspect(folder)["problems"][0]


def test_all_files_of_both_folders_decide_how_deep_pixels_are_scaled(tmp_path):
    for name, high in (("set", 1000), ("test", 4000)):
        for label in "ab":
            for number in range(6):
                place = tmp_path / name / label
                place.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng([high, ord(label), number])
                pixels = rng.integers(0, high + 1, (8, 8)).astype(np.uint16)
                pixels[0] = [0, high] * 4
                Image.fromarray(pixels).save(place / f"{number}.png")
    asked = settings("folder", tmp_path / "set", test=str(tmp_path / "test"), num_train=8)
    source = sources.load(asked, 0)
    assert source.images[source.rows["train"]].max() == 64
    assert source.images[source.rows["test"]].max() == 255
