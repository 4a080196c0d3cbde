"""Files that are whole or absent, and digests."""

import errno
import hashlib
import os

import pytest

from cgankd import runs
from cgankd.errors import UserError


def test_a_digest_does_not_depend_on_the_order_of_keys_and_is_that_of_compact_json():
    assert runs.digest({"b": [2, 3], "a": 1}) == runs.digest({"a": 1, "b": [2, 3]})
    assert runs.digest({"a": 1, "b": [2, 3]}) == hashlib.sha256(b'{"a":1,"b":[2,3]}').hexdigest()
    assert runs.digest({"a": 1}) != runs.digest({"a": 1.0}), (
        "presets turn integers in float places into floats"
    )


def test_a_file_is_replaced_whole_and_its_digest_returned(tmp_path):
    path = tmp_path / "new" / "file"
    for data in (b"one", b"another"):
        assert (
            runs.write_bytes(path, data)
            == hashlib.sha256(data).hexdigest()
            == runs.file_digest(path)
        )
        assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    runs.write_bytes(path, b"old")

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UserError, match="no space left") as caught:
        runs.write_bytes(path, b"new")
    assert caught.value.code == 74
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"7", b"\xff\xfe", b"[" * 100_000], ids=lambda data: repr(data[:4])
)
def test_what_is_no_json_object_is_refused_with_its_name(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.json") as caught:
        runs.read_json(path)
    assert caught.value.code == 65


def test_json_comes_back_as_it_was_written(tmp_path):
    value = {"a": [1, 2.5, None, "ü"], "b": {"c": True}}
    runs.write_json(tmp_path / "x.json", value)
    assert runs.read_json(tmp_path / "x.json") == value


def test_sweeping_removes_only_what_interrupted_writers_left(tmp_path):
    (tmp_path / ".tmp-a").write_text("x")
    (tmp_path / ".tmp-b" / "deep").mkdir(parents=True)
    (tmp_path / "kept").write_text("x")
    (tmp_path / ".lock").write_text("x")
    runs.sweep(tmp_path)
    runs.sweep(tmp_path / "absent")
    assert {path.name for path in tmp_path.iterdir()} == {"kept", ".lock"}
