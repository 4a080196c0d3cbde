"""HDF5 files from strangers: nothing but plain arrays of the file itself is reachable."""

import ctypes
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest

from cgankd.errors import UserError
from cgankd.runs import hdf5

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)


def refused(path, words: str, name: str = "images", ndim: int = 4, kinds: str = "u") -> None:
    with pytest.raises(UserError, match=words) as caught, hdf5.Reader(path) as file:
        file.read(name, ndim, kinds)
    assert caught.value.code == 65
    assert str(path) in str(caught.value)


class Opened:
    """Whether anything opens a file, as the kernel sees it."""

    def __init__(self, path) -> None:
        if sys.platform != "linux":
            pytest.skip("needs inotify")
        libc = ctypes.CDLL(None, use_errno=True)
        self.handle = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self.handle, os.fsencode(path), 0x20) > 0  # IN_OPEN

    def __call__(self) -> bool:
        try:
            return bool(os.read(self.handle, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self.handle)


@pytest.fixture
def target(tmp_path):
    """A file that a link points to, and whether it was opened."""
    path = tmp_path / "target.h5"
    path.write_bytes(hdf5.to_bytes({"images": IMAGES}, {}))
    opened = Opened(path)
    yield path, opened
    opened.close()


def test_arrays_and_attributes_come_back_as_they_were_written(tmp_path):
    arrays = {
        "images": IMAGES,
        "errors": np.linspace(0, 1, 40, dtype=np.float32),
        "none": np.empty((0, 3, 8, 8), "u1"),
    }
    (tmp_path / "x.h5").write_bytes(hdf5.to_bytes(arrays, {"name": "ü", "steps": 5, "rho": 0.25}))
    with hdf5.Reader(tmp_path / "x.h5") as file:
        for name, ndim, kinds in (("images", 4, "u"), ("errors", 1, "f"), ("none", 4, "u")):
            found = file.read(name, ndim, kinds)
            assert found.dtype == arrays[name].dtype
            np.testing.assert_array_equal(found, arrays[name])
        np.testing.assert_array_equal(file.read("images", 4, "u", slice(3, 7)), IMAGES[3:7])
        np.testing.assert_array_equal(file.read("images", 4, "u", [1, 5, 30]), IMAGES[[1, 5, 30]])
        assert file.attributes() == {"name": "ü", "steps": 5, "rho": 0.25}


def test_a_file_written_on_the_spot_reads_like_one_built_in_memory(tmp_path):
    hdf5.write(tmp_path / "x.h5", {"images": IMAGES}, {"name": "ü"})
    with hdf5.Reader(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file.read("images", 4, "u"), IMAGES)
        assert file.attributes() == {"name": "ü"}


FULL_DISK = """
import resource, sys, numpy
from pathlib import Path
from cgankd import errors
from cgankd.runs import hdf5
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    hdf5.write(Path(sys.argv[1]), {"images": numpy.ones((2000, 3, 8, 8))}, {})
except errors.UserError as error:
    sys.exit(error.code)
"""


def test_a_disk_that_is_full_leaves_no_part_of_a_file_and_does_not_crash(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "x.h5")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (74, "")
    assert not any(tmp_path.iterdir())


def test_the_same_arrays_give_the_same_bytes():
    assert hdf5.to_bytes({"images": IMAGES}, {"a": 1}) == hdf5.to_bytes(
        {"images": IMAGES}, {"a": 1}
    )


def test_every_array_has_a_checksum_and_chunks_of_at_most_a_mebibyte(tmp_path):
    big = np.zeros((500, 3, 64, 64), np.uint8)
    (tmp_path / "x.h5").write_bytes(hdf5.to_bytes({"images": big, "labels": np.arange(500)}, {}))
    with h5py.File(tmp_path / "x.h5") as file:
        assert all(file[name].fletcher32 for name in file)
        assert np.prod(file["images"].chunks) <= 1 << 20
        assert file["images"].chunks[1:] == (3, 64, 64)


def test_an_external_link_is_refused_and_its_target_not_opened(tmp_path, target):
    path, opened = target
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = h5py.ExternalLink(str(path), "/images")
    refused(tmp_path / "x.h5", "link to another place")
    assert not opened()
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["images"].shape == IMAGES.shape
    assert opened(), "following the link would have been noticed"


def test_a_soft_link_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["hidden/images"] = IMAGES
        file["images"] = h5py.SoftLink("/hidden/images")
    refused(tmp_path / "x.h5", "link to another place")


def test_external_storage_is_refused_and_not_opened(tmp_path):
    raw = tmp_path / "raw.bin"
    raw.write_bytes(bytes(IMAGES.nbytes))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("images", IMAGES.shape, "u1", external=[(str(raw), 0, IMAGES.nbytes)])
    opened = Opened(raw)
    refused(tmp_path / "x.h5", "another file")
    assert not opened()
    opened.close()


def test_a_virtual_data_set_is_refused_and_its_source_not_opened(tmp_path, target):
    path, opened = target
    layout = h5py.VirtualLayout(IMAGES.shape, "u1")
    layout[:] = h5py.VirtualSource(str(path), "images", IMAGES.shape)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_virtual_dataset("images", layout)
    opened()
    refused(tmp_path / "x.h5", "another file")
    assert not opened()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array(["text"] * 3, dtype=object), "is object"),
        (np.zeros(3, [("a", "u1"), ("b", "f4")]), "expected kind u with 4"),
        (np.zeros((2, 3, 8, 8), np.float32), "is float32 with 4 dimensions, expected kind u"),
        (np.zeros((2, 8, 8), np.uint8), "is uint8 with 3 dimensions"),
        (np.uint8(3), "with 0 dimensions"),
    ],
)
def test_arrays_of_another_kind_or_rank_are_refused(tmp_path, array, words):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset(
            "images", data=array, dtype=h5py.string_dtype() if array.dtype == object else None
        )
    refused(tmp_path / "x.h5", words)


def test_a_group_is_no_array(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("images")
    refused(tmp_path / "x.h5", "is a group")


@pytest.mark.parametrize("shape", [(1 << 40, 3, 8, 8), (1 << 26, 3, 8, 8)])
def test_a_file_that_declares_far_more_than_it_holds_is_refused(tmp_path, shape):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("images", shape, "u1", chunks=(64, 3, 8, 8))
    assert (tmp_path / "x.h5").stat().st_size < 1 << 20
    refused(tmp_path / "x.h5", "declares .* and stores 0")


def test_compressed_zeros_cannot_unpack_without_bound(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset(
            "images", (1 << 26, 3, 8, 8), "u1", chunks=(1 << 18, 3, 8, 8), compression=9
        )
        data[:2] = 0
    refused(tmp_path / "x.h5", "declares")


def test_a_single_enormous_chunk_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("images", (1 << 19, 3, 8, 8), "u1", chunks=(1 << 19, 3, 8, 8))
    refused(tmp_path / "x.h5", "chunks of more than")


@pytest.mark.parametrize("number", [4, 5, 6, 305, 32015])
def test_filters_other_than_the_built_in_ones_are_refused(tmp_path, number):
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((2, 3, 8, 8))
    if number == 6:
        created.set_scaleoffset(h5py.h5z.SO_INT, 0)
    else:
        created.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        space = h5py.h5s.create_simple((2, 3, 8, 8))
        h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, created)
    refused(tmp_path / "x.h5", "unknown filters")


def test_an_unknown_name_is_answered_with_those_that_are_there(tmp_path):
    (tmp_path / "x.h5").write_bytes(
        hdf5.to_bytes({"fake_images": IMAGES, "fake_labels": np.arange(40)}, {})
    )
    refused(tmp_path / "x.h5", r"images is missing \(found: fake_images, fake_labels\)")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_off_file_is_refused(tmp_path, share):
    whole = hdf5.to_bytes({"images": IMAGES}, {})
    (tmp_path / "x.h5").write_bytes(whole[: int(share * len(whole))])
    refused(tmp_path / "x.h5", "not a readable HDF5 file|cannot be read")


def test_one_flipped_bit_of_an_array_is_noticed(tmp_path):
    whole = bytearray(hdf5.to_bytes({"images": IMAGES}, {}))
    start = whole.index(IMAGES[20].tobytes())
    whole[start + 17] ^= 4
    (tmp_path / "x.h5").write_bytes(whole)
    refused(tmp_path / "x.h5", "cannot be read")


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x89PNG\r\n\x1a\n" * 100, b"PK\x03\x04" * 1000, pickle.dumps({"a": 1})],
)
def test_what_is_no_hdf5_is_refused(tmp_path, data):
    (tmp_path / "x.h5").write_bytes(data)
    refused(tmp_path / "x.h5", "not a readable HDF5 file")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    refused(tmp_path / "absent.h5", "not found")
    refused(tmp_path, "not found")


def test_too_many_attributes_are_refused_and_arrays_among_them_left_out(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["array"] = np.zeros(3)
        file.attrs["steps"] = 5
    with hdf5.Reader(tmp_path / "x.h5") as file:
        assert file.attributes() == {"steps": 5}
    with h5py.File(tmp_path / "x.h5", "a") as file:
        for index in range(hdf5.MAX_ATTRIBUTES):
            file.attrs[f"a{index}"] = index
    with (
        hdf5.Reader(tmp_path / "x.h5") as file,
        pytest.raises(UserError, match="more than 64 attributes"),
    ):
        file.attributes()
