"""Errors carry their exit code everywhere, and failures of the disk become errors a user can act
on.
"""

import errno
import pickle

import pytest

from cgankd import errors
from cgankd.errors import UserError, storage_errors


def test_the_exit_codes_are_those_of_the_manual():
    codes = {name: value for name, value in vars(errors).items() if isinstance(value, int)}
    assert codes == {
        "USAGE": 2,
        "DATA": 65,
        "UNAVAILABLE": 69,
        "DIVERGED": 70,
        "MEMORY": 71,
        "IN_USE": 73,
        "STORAGE": 74,
        "STOPPED": 75,
        "UNREAD": 141,
    }


def test_an_error_keeps_its_code_and_hint_on_the_way_between_processes():
    error = pickle.loads(pickle.dumps(UserError("what", 70, "do this")))
    assert (str(error), error.code, error.hint) == ("what", 70, "do this")


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, 74, "no space left"),
        (errno.EDQUOT, 74, "no space left"),
        (errno.EFBIG, 74, "no space left"),
        (errno.EACCES, 73, "cannot be written"),
        (errno.EROFS, 73, "cannot be written"),
        (errno.EIO, 74, "/some/file"),
    ],
)
def test_a_failure_of_the_disk_names_the_file_and_has_its_code(tmp_path, number, code, words):
    with pytest.raises(UserError, match=words) as caught, storage_errors(tmp_path / "some/file"):
        raise OSError(number, "reason")
    assert caught.value.code == code
    assert str(tmp_path / "some/file") in str(caught.value)
    assert caught.value.hint


def test_what_is_no_failure_of_the_disk_is_left_alone(tmp_path):
    with pytest.raises(KeyError), storage_errors(tmp_path):
        raise KeyError("a bug")
    with pytest.raises(UserError) as caught, storage_errors(tmp_path):
        raise UserError("mine", 70)
    assert caught.value.code == 70
