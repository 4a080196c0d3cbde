"""Fashion-MNIST: IDX files are read as they were published, and refused where they are anything
else.
"""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torchvision
from sets import refused, settings

from cgankd import sources
from cgankd.errors import UserError
from cgankd.sources import catalogue, fashion_mnist, inspection


def idx(*shape: int, values: bytes | None = None, magic: int | None = None) -> bytes:
    """The bytes of an IDX file."""
    kind = 0x0800 | len(shape) if magic is None else magic
    body = bytes(int(np.prod(shape))) if values is None else values
    return struct.pack(f">{1 + len(shape)}I", kind, *shape) + body


def drawn(num: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, 28, 28), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Forty training images of ten classes, compressed, and twenty test images, unpacked."""
    place = tmp_path / "fashion"
    place.mkdir()
    for part, num in (("train", 40), ("t10k", 20)):
        labels = bytes(row % 10 for row in range(num))
        for what, data in (
            ("images-idx3", idx(num, 28, 28, values=drawn(num, num).tobytes())),
            ("labels-idx1", idx(num, values=labels)),
        ):
            name = place / f"{part}-{what}-ubyte"
            if part == "train":
                name.with_name(f"{name.name}.gz").write_bytes(gzip.compress(data))
            else:
                name.write_bytes(data)
    return place


def asked(folder: Path, **changes):
    return settings("fashion-mnist", folder, **{"num_train": 20, "num_validation": 10, **changes})


def test_images_of_side_32_are_the_originals_with_a_black_margin_in_three_channels(folder):
    source = sources.load(asked(folder, size=32), 0)
    found = source.images[source.rows["test"]]
    for channel in range(3):
        np.testing.assert_array_equal(found[:, channel, 2:30, 2:30], drawn(20, 20))
    assert found.sum() == 3 * drawn(20, 20).sum(dtype=np.int64), "the margin is black"
    assert source.labels[source.rows["test"]].tolist() == [row % 10 for row in range(20)]


def test_images_of_another_side_are_resized_from_edge_to_edge(folder):
    white = np.full((1, 28, 28), 255, np.uint8)
    np.testing.assert_array_equal(fashion_mnist.squares(white, 16), np.full((1, 3, 16, 16), 255))
    source = sources.load(asked(folder, size=16), 0)
    blocks = drawn(20, 20).reshape(20, 4, 7, 4, 7).mean((2, 4))  # a quarter of either side each
    found = source.images[source.rows["test"]][:, 0].reshape(20, 4, 4, 4, 4).mean((2, 4))
    assert np.corrcoef(blocks.ravel(), found.ravel())[0, 1] > 0.95


def test_training_and_validation_rows_are_drawn_by_the_seed_evenly_of_the_classes(folder):
    one, same, other = (sources.load(asked(folder), seed) for seed in (0, 0, 1))
    assert np.bincount(one.labels[one.rows["train"]]).tolist() == [2] * 10
    assert np.bincount(one.labels[one.rows["validation"]]).tolist() == [1] * 10
    assert len(one.rows["test"]) == 20
    assert one.digest() == same.digest() != other.digest()
    assert one.label["classes"][9] == "Ankle boot"


def test_what_is_read_is_found_by_its_files_and_recognised(folder):
    files = catalogue.files(asked(folder))
    assert [file.name for file in files] == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ]
    assert inspection.source_of(folder) == "fashion-mnist"
    assert inspection.inspect(folder)["problems"] == []


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("train-images-idx3-ubyte", idx(40, 32, 32), "announces 40 x 32 x 32, expected at most"),
        ("train-images-idx3-ubyte", idx(40, 20, 28), "images of 20 x 28, expected 28 x 28"),
        ("train-images-idx3-ubyte", idx(2**32 - 1, 28, 28, values=b""), "announces 4294967295 x"),
        ("train-images-idx3-ubyte", idx(0, 28, 28), "announces 0 x 28 x 28"),
        ("train-images-idx3-ubyte", idx(40, 28, 28, values=b"\0" * 9), "but holds 9 bytes"),
        ("train-images-idx3-ubyte", idx(1, 28, 28) + b"\0", "announces 1 x 28 x 28 .* holds more"),
        ("train-images-idx3-ubyte", idx(40, 28, 28, magic=0x0D03), "begins with 00000d03"),
        ("train-images-idx3-ubyte", b"", "begins with nothing"),
        ("train-images-idx3-ubyte", idx(40)[:8], "begins with 00000801, expected 00000803"),
        ("train-labels-idx1-ubyte", idx(39), "39 labels of 40 images"),
        ("train-labels-idx1-ubyte", idx(40, values=b"\x0a" * 40), "a label is 10, expected 0 to 9"),
    ],
)
def test_files_of_another_form_are_refused_by_name(folder, name, data, words):
    (folder / f"{name}.gz").unlink()
    (folder / name).write_bytes(data)
    assert name in str(refused(asked(folder), words))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"PK" + data])
def test_a_damaged_archive_is_refused_by_name(folder, damage):
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    assert file.name in str(refused(asked(folder), "damaged"))


def test_no_more_memory_is_asked_for_than_a_header_announces(tmp_path):
    file = tmp_path / "bomb.gz"
    file.write_bytes(gzip.compress(idx(2, 28, 28) + bytes(64 << 20)))
    tracemalloc.start()
    with pytest.raises(UserError, match="holds more"):
        fashion_mnist.read_idx(file, (60_000, 28, 28))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_missing_file_and_a_missing_folder_are_named(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    error = refused(asked(folder), "t10k-labels-idx1-ubyte.gz not found")
    assert "dataset-fashion-mnist" in error.hint
    refused(asked(folder / "nowhere"), "nowhere is no folder")


def test_without_a_path_the_installed_files_are_read_or_else_those_that_are_fetched(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wanted = asked(folder).model_copy(update={"path": None})
    monkeypatch.setattr(fashion_mnist, "INSTALLED", folder)
    installed = sources.load(wanted, 0)
    assert installed.digest() == sources.load(asked(folder), 0).digest()

    def fetch(root: str, *, download: bool) -> None:
        place = Path(root) / "FashionMNIST" / "raw"
        place.mkdir(parents=True)
        for file in folder.iterdir():
            (place / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(fashion_mnist, "INSTALLED", tmp_path / "not installed")
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fetch)
    assert sources.load(wanted, 0).digest() == installed.digest()
    assert [place.name for place in (tmp_path / "cache" / "cgankd").iterdir()] == ["FashionMNIST"]
    monkeypatch.delattr(torchvision.datasets, "FashionMNIST")  # it is not fetched twice
    assert sources.load(wanted, 0).digest() == installed.digest()


def test_without_a_network_the_remedies_are_named(tmp_path, monkeypatch):
    def refuse(*_: object, **options: object) -> None:
        raise RuntimeError("no route to host")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "INSTALLED", tmp_path / "not installed")
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", refuse)
    wanted = asked(tmp_path).model_copy(update={"path": None})
    assert "data.path" in refused(wanted, r"could not be downloaded \(no route").hint
    assert not any((tmp_path / "cache" / "cgankd").iterdir())
