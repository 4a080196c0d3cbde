"""The run folder: one writer at a time."""

import json
import os

import pytest

from cgankd import runs
from cgankd.errors import UserError


def test_a_second_writer_is_refused_and_told_who_has_the_folder(tmp_path):
    with (
        runs.locked(tmp_path),
        pytest.raises(UserError, match=f"in use by process {os.getpid()} on ") as caught,
    ):
        with runs.locked(tmp_path):
            pytest.fail("two writers")
    assert caught.value.code == 73


def test_a_second_writer_never_gets_in(tmp_path):
    with runs.locked(tmp_path):
        with pytest.raises(UserError), runs.locked(tmp_path):
            pytest.fail("two writers")
        assert json.loads((tmp_path / ".lock.json").read_text())["pid"] == os.getpid(), (
            "the holder stays named"
        )


def test_the_lock_is_free_again_after_an_error_inside(tmp_path):
    with pytest.raises(KeyError), runs.locked(tmp_path):
        raise KeyError
    assert not (tmp_path / ".lock.json").exists()
    with runs.locked(tmp_path):
        assert (tmp_path / ".lock.json").exists()
