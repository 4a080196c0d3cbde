"""Image files as sources: class folders, CSV and Tiny-ImageNet, whatever shape their
images have.
"""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgankd import console, sources
from cgankd.errors import UserError
from cgankd.preset import Data
from cgankd.sources import cache, pictures


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def draw(
    path: Path, colour: object = (10, 20, 30), size: tuple[int, int] = (12, 9), mode: str = "RGB"
) -> Path:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def settings(source: str, path: Path, **changes) -> Data:
    return Data(
        **{
            "source": source,
            "path": str(path),
            "size": 8,
            "num_train": 4,
            "num_validation": 2,
            **changes,
        }
    )


def refused(asked: Data, words: str) -> UserError:
    with pytest.raises(UserError, match=words) as caught:
        sources.load(asked, 0)
    assert caught.value.code == 65
    return caught.value


# Pictures


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("a.png", "RGB", (10, 20, 30), (10, 20, 30)),
        ("a.png", "L", 77, (77, 77, 77)),
        ("a.png", "1", 1, (255, 255, 255)),
        ("a.png", "RGBA", (10, 20, 30, 40), (10, 20, 30)),
        ("a.png", "LA", (50, 9), (50, 50, 50)),
        ("a.png", "I;16", 0x4D12, (77, 77, 77)),
        ("a.tif", "CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("a.bmp", "RGB", (1, 2, 3), (1, 2, 3)),
    ],
)
def test_every_kind_of_picture_becomes_square_rgb(name, mode, colour, expected, tmp_path):
    image = pictures.read(draw(tmp_path / name, colour, (21, 13), mode), 8)
    assert image.dtype == np.uint8
    assert np.array_equal(image, np.broadcast_to(np.array(expected)[:, None, None], (3, 8, 8)))


def test_a_picture_of_the_right_size_keeps_its_bits(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(pictures.read(tmp_path / "a.png", 8), pixels.transpose(2, 0, 1))


def test_a_photograph_is_turned_upright(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 200
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert pictures.read(tmp_path / "a.png", 8)[0, :, 0].tolist() == [0] * 4 + [200] * 4


def test_a_decompression_bomb_is_not_unpacked(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    start = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
    )
    data = b"IDAT" + zlib.compress(bytes(1000))
    (tmp_path / "a.png").write_bytes(
        start + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    )
    with pytest.raises(UserError, match="not a readable image"):
        pictures.read(tmp_path / "a.png", 8)


def test_formats_that_start_other_programs_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(UserError, match="not a readable image"):
        pictures.read(tmp_path / "a.png", 8)


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
    assert len(warned) == 1
    assert "2 of 10 images cannot be read" in warned[0]
    assert "rose/1.png" in warned[0]
    assert "rose/2.png" in warned[0]


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
    refused(settings("folder", tmp_path / "one"), "1 class folders have no images: .*tulip")
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


# CSV


@pytest.fixture
def table(tmp_path):
    """Writes a CSV beside pictures 0.png to 9.png, whose red is their number."""
    for number in range(10):
        draw(tmp_path / "images" / f"{number}.png", (number, 0, 0))

    def table(*lines: str) -> Path:
        (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "table.csv"

    return table


ROWS = [f"images/{number}.png,{'rose' if number % 2 else 'lily'}" for number in range(10)]


def test_a_csv_of_files_and_classes_is_read(table):
    source = sources.load(settings("csv", table("file,label", *ROWS)), 0)
    assert source.label == {"kind": "class", "classes": ["lily", "rose"]}
    assert np.array_equal(source.labels, source.images[:, 0, 0, 0] % 2)
    assert [len(source.rows[split]) for split in sources.SPLITS] == [4, 2, 4]


def test_the_splits_of_a_csv_are_kept(table):
    parts = ["train"] * 4 + ["validation"] * 2 + ["test"] * 4
    rows = [f"{row},{part}" for row, part in zip(ROWS, parts, strict=True)]
    source = sources.load(settings("csv", table("file,label,split", *rows)), 0)
    found = {split: source.images[source.rows[split], 0, 0, 0].tolist() for split in sources.SPLITS}
    assert found == {"train": [0, 1, 2, 3], "validation": [4, 5], "test": [6, 7, 8, 9]}


def test_the_test_may_stand_in_a_csv_of_its_own(table, tmp_path):
    (tmp_path / "test.csv").write_text(
        "\ufefffile,label\nimages/9.png,rose\nimages/8.png,lily\n", encoding="utf-8"
    )
    asked = settings("csv", table("file,label", *ROWS[:8]), test=str(tmp_path / "test.csv"))
    source = sources.load(asked, 0)
    assert source.images[source.rows["test"], 0, 0, 0].tolist() == [9, 8]
    assert source.labels[source.rows["test"]].tolist() == [1, 0]


def test_classes_that_are_integers_are_ordered_as_integers(table):
    rows = [f"images/{number}.png,{[10, 9][number % 2]}" for number in range(10)]
    source = sources.load(settings("csv", table("file,label", *rows)), 0)
    assert source.label["classes"] == ["9", "10"]
    assert np.array_equal(source.labels, 1 - source.images[:, 0, 0, 0] % 2)


def test_with_a_range_the_labels_of_a_csv_are_numbers(table):
    rows = [f"images/{number}.png,{number / 4}" for number in range(10)]
    source = sources.load(
        settings("csv", table("file,label", *rows), range=[0.0, 2.5], unit="m"), 0
    )
    assert source.label == {"kind": "continuous", "min": 0.0, "max": 2.5, "unit": "m"}
    np.testing.assert_array_equal(source.labels, source.images[:, 0, 0, 0] / 4)


def test_numbers_of_a_csv_with_a_step_are_its_multiples_and_drawn_evenly(table):
    rows = [f"images/{number}.png,{[0.3, 0.1001, 0.7][number % 3]}" for number in range(9)]
    asked = {"range": [0.0, 1.0], "step": 0.1, "num_train": 3, "num_validation": 3}
    source = sources.load(settings("csv", table("file,label", *rows), **asked), 0)
    assert source.label == {"kind": "continuous", "min": 0.0, "max": 1.0, "unit": "", "step": 0.1}
    for split in sources.SPLITS:
        assert np.sort(source.labels[source.rows[split]]).tolist() == [
            np.float32(0.1),
            np.float32(0.3),
            np.float32(0.7),
        ]
    twice = sources.load(settings("csv", table("file,label", *rows), **asked, min_per_label=2), 0)
    assert len(twice.rows["train"]) == 6


def test_a_csv_may_name_types(table, tmp_path):
    rows = [f"{row},{number % 3 + 9}" for number, row in enumerate(ROWS)]
    source = sources.load(settings("csv", table("file,label,type", *rows)), 0)
    assert np.array_equal(source.types, source.images[:, 0, 0, 0] % 3), (
        "9, 10, 11 in their order as integers"
    )
    refused(
        settings("csv", table("file,label,type", *rows, "images/x.png,rose,")),
        "line 12: type is empty",
    )
    (tmp_path / "test.csv").write_text("file,label\nimages/9.png,rose\n")
    asked = settings("csv", table("file,label,type", *rows[:9]), test=str(tmp_path / "test.csv"))
    assert sources.load(asked, 0).types is None, "not all rows have one"


def test_sizes_may_be_left_to_the_data(table):
    auto = {"num_train": "auto", "num_validation": "auto"}
    source = sources.load(settings("csv", table("file,label", *ROWS), **auto), 0)
    assert [len(source.rows[split]) for split in sources.SPLITS] == [6, 2, 2]
    given = [f"{row},{'train' if number < 9 else 'test'}" for number, row in enumerate(ROWS)]
    source = sources.load(settings("csv", table("file,label,split", *given), **auto), 0)
    assert [len(source.rows[split]) for split in sources.SPLITS] == [7, 2, 1]
    assert source.images[source.rows["test"], 0, 0, 0].tolist() == [9]
    refused(
        settings("csv", table("file,label", *ROWS[:2]), **auto),
        "table.csv has 2 images to split, too few",
    )


@pytest.mark.parametrize(
    ("lines", "changes", "words"),
    [
        (["name,label", *ROWS], {}, r"no column file \(found: \['name', 'label'\]\)"),
        (["file,label"], {}, "has no rows"),
        (["file,label", *ROWS, "images/1.png,"], {}, "line 12: label is empty"),
        (["file,label", *ROWS, "../secret.png,rose"], {}, "line 12: '../secret.png' leads out of"),
        (["file,label", *ROWS, "/etc/passwd,rose"], {}, "line 12: '/etc/passwd' leads out of"),
        (["file,label", *ROWS, "images/x.png,rose"], {}, "x.png: not a readable image"),
        (["file,label", *ROWS, ROWS[3]], {}, "3.png stands in line 5 and again in line 12"),
        (
            ["file,label,split", f"{ROWS[0]},valid"],
            {},
            "line 2: split is 'valid', expected train, validation or test",
        ),
        (
            ["file,label", *ROWS],
            {"range": [0.0, 1.0]},
            "line 2: 'lily' is no number, as data.range asks for",
        ),
        (
            ["file,label", "images/0.png,0.5", "images/1.png,1"],
            {},
            "line 2: the label 0.5 is a fraction, not a class",
        ),
        (
            ["file,label,split", *[f"{row},train" for row in ROWS[:8]], "images/8.png,elm,test"],
            {},
            "the test has the class 'elm', which no training row has",
        ),
        (
            ["file,label", "images/0.png,nan", "images/1.png,1"],
            {"range": [0.0, 1.0]},
            "1 of 2 labels are no numbers",
        ),
        (
            ["file,label", "images/0.png,9", "images/1.png,1"],
            {"range": [0.0, 1.0]},
            "1 of 2 labels lie outside",
        ),
        (
            ["file,label", "images/0.png,1", "images/1.png,1"],
            {"range": [0.0, 1.0]},
            "all 2 labels are 1",
        ),
        (["file,label", *ROWS[::2]], {}, "all 5 images are of one class, lily"),
        (
            ["file,label,split", *[f"{row},test" for row in ROWS]],
            {},
            "no images to train on, all are test images",
        ),
        (["file,label", '"images/0.png,rose'], {}, "not readable as CSV"),
    ],
)
def test_a_csv_that_will_not_do_is_refused_in_one_message(lines, changes, words, table):
    refused(settings("csv", table(*lines), **changes), words)


def test_a_file_that_is_no_csv_or_not_there_is_named(tmp_path):
    refused(settings("csv", tmp_path / "none.csv"), "none.csv not found")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    refused(settings("csv", tmp_path / "x.csv"), "not readable as CSV")


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
