"""The errors a user can act on, and the exit codes of the command."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USAGE = 2  # wrong call or preset
DATA = 65  # missing or bad data, artefact or checkpoint
UNAVAILABLE = 69  # device or optional package not available
DIVERGED = 70  # a loss or a network is not usable
MEMORY = 71  # out of memory
IN_USE = 73  # the output folder is in use or not writable
STORAGE = 74  # disk full or another I/O error
STOPPED = 75  # stopped by a signal; the same command continues


class UserError(Exception):
    """One clear message: what was found and expected, and as `hint` what to do next."""

    def __init__(self, message: str, code: int = DATA, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (str(self), self.code, self.hint)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns a full disk and other failures of writing `path` into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"{path}: no space left to write it ({error.strerror})",
                STORAGE,
                "free some space and run the same command again; nothing finished is lost",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(
                f"{path}: cannot be written ({error.strerror})", IN_USE, "choose another --out"
            ) from error
        raise UserError(
            f"{path}: {error.strerror or error}", STORAGE, "run the same command again"
        ) from error
