"""Files that are either whole or absent, JSON that notices a change, and digests."""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cgankd.errors import DATA, IN_USE, STORAGE, UserError, storage_errors

MARK = ".cgankd"  # the first file of a run folder, by which it is known as one
SEAL = "seal"  # the key of a JSON file that holds the digest of all others

# The run folders that this process writes in, with the number of their mark on the disk.
_written: dict[Path, int] = {}


def digest(value: Any) -> str:
    """The sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_within(root: Path) -> None:
    """From now on this process makes folders below `root` only while it stands as it is."""
    with storage_errors(root):
        _written[root] = (root / MARK).stat().st_ino


def forget(root: Path) -> None:
    """This process writes in `root` no longer."""
    _written.pop(root, None)


def is_written(root: Path) -> bool:
    """Whether this process may write in a run folder."""
    return root in _written


def make_folder(folder: Path) -> None:
    """Makes a folder. UserError where its run folder is gone, which would be made anew in part, or
    where a link leads out of it.
    """
    root = next((root for root in _written if folder.is_relative_to(root)), None)
    with storage_errors(folder):
        if root is not None:
            _check_stands(root)
            inside = [folder, *folder.parents]
            for place in inside[: inside.index(root)]:
                if place.is_symlink():
                    raise UserError(
                        f"{place} is a link, and nothing is written through links in a run folder",
                        IN_USE,
                        "put the folder itself there, or remove the link",
                    )
        folder.mkdir(parents=True, exist_ok=True)


def _check_stands(root: Path) -> None:
    try:
        stands = (root / MARK).stat().st_ino == _written[root]
    except OSError:
        stands = False
    if not stands:
        raise UserError(
            f"{root} was moved, deleted or replaced while it was written",
            STORAGE,
            "put it back and run the same command again",
        )


@contextmanager
def writing(path: Path, needed: int = 0) -> Iterator[io.BufferedRandom]:
    """A new file to fill, with `needed` bytes where that is known, which stands under `path` once
    it is whole.
    """
    make_folder(path.parent)
    with storage_errors(path, needed):
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> str:
    """Writes a file that is either absent or whole, and returns its sha256."""
    with writing(path, len(data)) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes JSON as `write_bytes` does, with a seal: the digest of all that it says."""
    write_bytes(path, (json.dumps(sealed(value), indent=1) + "\n").encode())


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The same with a seal: the digest of all else that it says."""
    plain = json.loads(json.dumps(value))  # as it will be read
    plain.pop(SEAL, None)
    return {**plain, SEAL: digest(plain)}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that `write_json` has written; UserError when it is none, or says anything else
    than was written.
    """
    try:
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, found {type(value).__name__}")
        seal = value.pop(SEAL, None)
        found = digest(value)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"not readable as JSON ({error})") from error
    if seal != found:
        raise _damaged(path, "changed since it was written, or written by another version")
    return value


def _damaged(path: Path, found: str) -> UserError:
    return UserError(f"{path}: {found}"[:500], DATA, "put back a copy of it, or move it away")


def sweep(folder: Path) -> None:
    """Removes what interrupted writers left in `folder`; call it only under the lock."""
    for path in folder.glob(".tmp-*"):
        remove(path)


def remove(path: Path) -> None:
    """Removes a file, a link, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
