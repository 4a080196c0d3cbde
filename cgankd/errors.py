"""The errors a user can act on, and the exit codes of the command."""

import errno
import os
import shutil
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
UNREAD = 141  # whoever read the result has left: as shells tell of a program that SIGPIPE ended

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
)
# What torch and the libraries below it say instead of raising MemoryError.
MEMORY_WORDS = ("DefaultCPUAllocator", "out of memory", "bad_alloc", "Cannot allocate memory")


class UserError(Exception):
    """One clear message: what was found and expected, and as `hint` what to do next."""

    def __init__(self, message: str, code: int = DATA, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (str(self), self.code, self.hint)


class Followed(UserError):
    """Of a process that stops because another one has failed, which says why."""


class Unread(Exception):
    """Whoever reads the result has seen enough. It is no OSError, for which others have a code."""


@contextmanager
def storage_errors(path: Path, needed: int = 0) -> Iterator[None]:
    """Turns a full disk and other failures of writing `path`, of `needed` bytes where that is
    known, into a UserError.
    """
    try:
        yield
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise UserError(f"{str(path)!r}: no path ({error})", IN_USE, "name another") from error
    except OSError as error:
        if error.errno in FULL:
            raise _full(path, needed, error) from error
        if error.errno in REFUSED:
            raise UserError(
                f"{path}: cannot be written ({error.strerror})", IN_USE, "choose another --out"
            ) from error
        raise UserError(
            f"{path}: {error.strerror or error}", STORAGE, "run the same command again"
        ) from error


def _full(path: Path | str, needed: int, error: OSError) -> UserError:
    asked = f"{needed:,} bytes needed, " if needed else ""
    return UserError(
        f"{path}: no space left to write it ({error.strerror}: {asked}{_free(path)})",
        STORAGE,
        "free some space and run the same command again; nothing finished is lost",
    )


def _free(path: Path | str) -> str:
    """How much space there is where a path lies."""
    place = Path(os.path.abspath(path))
    while not os.path.exists(place):
        place = place.parent
    try:
        return f"{shutil.disk_usage(place).free:,} bytes free"
    except OSError:
        return "free space not known"


def explained(error: BaseException) -> UserError | None:
    """What a user can do about an error that nothing below has explained; None for a fault of the
    program, which keeps its traceback.

    What is written is explained where it is written (`storage_errors`), so that what comes here as
    an OSError could not be read.
    """
    if isinstance(error, UserError):
        return error
    if _is_memory(error):
        return UserError(
            "out of memory",
            MEMORY,
            "lower the batch of the stage, e.g. --set gan.batch=32, and run again",
        )
    if isinstance(error, OSError):
        return _unreadable(error)
    if isinstance(error, UnicodeError):
        return UserError(f"a text or a name is not UTF-8 ({error})"[:300], DATA)
    if isinstance(error, RecursionError):
        return UserError("the input is nested too deep to be read", DATA)
    words = str(error)
    if isinstance(error, ValueError) and ("null byte" in words or "null character" in words):
        return UserError("a path holds a null character, which no path can", DATA)
    if isinstance(error, RuntimeError) and "home directory" in words:
        return UserError("there is no home folder", DATA, "set HOME, or write paths in full")
    return None


def _unreadable(error: OSError) -> UserError:
    where = f"{error.filename}: " if error.filename is not None else ""
    if error.errno in FULL:
        return _full(str(error.filename or os.curdir), 0, error)
    if error.errno == errno.EROFS:
        return UserError(f"{where}{error.strerror}", IN_USE, "choose another place")
    if error.errno == errno.EIO:
        return UserError(f"{where}{error.strerror}", STORAGE, "is the disk in order?")
    if error.errno == errno.ENOMEM:
        return UserError(f"{where}{error.strerror}", MEMORY, "lower the batch of the stage")
    return UserError(f"{where}cannot be read ({error.strerror or error})", DATA)


def _is_memory(error: BaseException) -> bool:
    # torch has a class of its own, and importing torch to name it would cost seconds.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in MEMORY_WORDS)
