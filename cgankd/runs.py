"""The run folder: the names in it, atomic files, digests, the record of every artefact, the lock.

An artefact is what a stage makes. Its record is a JSON file that says what it was made from (`recipe`),
whether it is finished, and the digest of its content. A recipe names its inputs by the digest of their
content, so an artefact is up to date exactly when its recipe is the one that would be used now.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cgankd import __version__
from cgankd.errors import DATA, IN_USE, STORAGE, UserError, storage_errors

FORMAT = 2  # raise it when the same recipe would give another artefact
INPUTS = {
    "train-gan": ("data",),
    "train-teacher": ("data",),
    "fit-dre": ("data", "train-gan"),
    "generate": ("train-gan", "train-teacher", "fit-dre"),
    "evaluate": ("data", "train-teacher", "fit-dre", "generate"),
    "select-rho": ("data", "generate"),
    "distill": ("data", "train-teacher", "generate", "select-rho"),
    "report": ("distill",),
}
STAGES = tuple(INPUTS)


class Run:
    """The folder of one run and the places in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.preset = root / "preset.toml"
        self.data = root / "data.json"
        self.gan = root / "gan" / "gan.json"
        self.dre = root / "dre" / "dre.json"
        self.pool = root / "generate" / "pool.json"
        self.evaluation = root / "evaluate" / "evaluate.json"
        self.rho = root / "rho" / "rho.json"
        self.report = root / "report" / "index.html"

    def teacher(self, network: str) -> Path:
        return self.root / "teacher" / network / "teacher.json"

    def student(self, name: str) -> Path:
        return self.root / "students" / name / "student.json"

    def distill(self, method: str) -> Path:
        return self.root / "distill" / f"{method}.json"


# Digests


def digest(value: Any) -> str:
    """The sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Files


@contextmanager
def writing(path: Path) -> Iterator[io.BufferedRandom]:
    """A new file to fill, which stands under `path` once it is whole."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> str:
    """Writes a file that is either absent or whole, and returns its sha256."""
    with writing(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON as `write_bytes` does."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the run folder; UserError when it is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})", DATA, "move it away and run again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}", DATA, "move it away")
    return value


def sweep(folder: Path) -> None:
    """Removes what interrupted writers left in `folder`; call it only under the lock."""
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


# Artefacts


@dataclass(frozen=True)
class Artefact:
    """What `command` makes: the file of its record and all that it is made from."""

    record: Path
    command: str
    recipe: dict[str, Any]
    owns_folder: bool = True

    @cached_property
    def digest(self) -> str:
        return digest({"format": FORMAT, "command": self.command, "recipe": self.recipe})

    @property
    def folder(self) -> Path:
        return self.record.parent

    def state(self) -> str:
        """`missing`, `begun`, `done`, or `other`: there, but made from another recipe."""
        if not self.record.exists():
            return "missing"
        record = read_json(self.record)
        if record.get("digest") != self.digest:
            return "other"
        return "done" if record.get("finished") else "begun"

    def begin(self) -> None:
        """Claims the folder, and removes what a killed writer left in it."""
        sweep(self.folder)
        if self.state() != "begun":
            self._write(finished=False)

    def finish(
        self,
        payload: Iterable[Path] = (),
        *,
        made_on: dict[str, Any],
        origin: dict[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        """Records the artefact as finished: its files, the facts that readers need, and what it was made on.

        `origin` is where imported parts come from. The digest of its content covers files and facts, and not the
        origin, the machine or the time.
        """
        files = {str(path.relative_to(self.folder)): file_digest(path) for path in sorted(payload)}
        made = {**made_on, **environment(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        content = digest({"files": files, "facts": facts})
        imported = {"origin": origin} if origin else {}
        self._write(finished=True, content=content, files=files, made_on=made, **imported, **facts)

    def set_aside(self) -> Path:
        """Moves what stands in this place to a name with its old digest, so that it is not lost."""
        old = str(read_json(self.record).get("digest", "unknown"))[:8]
        source = self.folder if self.owns_folder else self.record
        names = (f"{source.stem}.{old}{suffix}{source.suffix}" for suffix in ["", *(f"-{n}" for n in range(2, 10_000))])
        target = next(path for path in map(source.with_name, names) if not path.exists())
        with storage_errors(target):
            source.rename(target)
        return target

    def difference(self) -> str:
        """Which keys of the recipe differ from those of what stands in this place, for a message."""
        record = read_json(self.record)
        old, new = _flat(record.get("recipe")), _flat(self.recipe)
        changes = [f"{key}: {old.get(key, '-')} -> {new.get(key, '-')}" for key in sorted({*old, *new})
                   if old.get(key) != new.get(key)]  # fmt: skip
        return "; ".join(changes[:4]) + (f"; and {len(changes) - 4} more" if len(changes) > 4 else "")

    def _write(self, **facts: Any) -> None:
        made = {"cgankd": __version__, "format": FORMAT, "command": self.command, "digest": self.digest}
        write_json(self.record, {**made, "recipe": self.recipe, **facts})


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {prefix: str(value)[:40]}
    return {key: text for name, part in value.items()
            for key, text in _flat(part, f"{prefix}.{name}" if prefix else name).items()}  # fmt: skip


def finished(record: Path, command: str) -> dict[str, Any]:
    """The record of a finished artefact; UserError naming `command` when there is none."""
    if not record.exists():
        raise UserError(f"{record} not found", DATA, f"run `cgankd {command}` first")
    value = read_json(record)
    if not value.get("finished"):
        raise UserError(f"{record.parent} is not finished", DATA, f"run `cgankd {command}` to continue it")
    return value


def content_of(record: Path, command: str) -> str:
    """The digest of the content of a finished artefact."""
    return str(finished(record, command).get("content"))


def verify_files(record: Path, command: str) -> dict[str, Any]:
    """As `finished`, having compared every file of the artefact with its recorded digest."""
    value = finished(record, command)
    for name, expected in dict(value.get("files", {})).items():
        path = record.parent / name
        if not path.resolve().is_relative_to(record.parent.resolve()):
            raise UserError(f"{record}: names a file outside its folder: {name}", DATA)
        if not path.is_file() or file_digest(path) != expected:
            found = "has other content than recorded" if path.is_file() else "is missing"
            raise UserError(f"{path} {found}", DATA, f"run `cgankd {command} --rebuild`")
    return value


def environment() -> dict[str, str]:
    """The versions that results depend on, without importing anything."""
    from importlib.metadata import version

    packages = ("torch", "torchvision", "numpy", "h5py", "accelerate")
    return {"python": platform.python_version(), "platform": platform.platform(terse=True),
            **{name: version(name) for name in packages}}  # fmt: skip


# The lock


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the run folder for one writer; a second one gets a UserError that says who has it."""
    from filelock import FileLock, Timeout

    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    holder = root / ".lock.json"
    lock = FileLock(root / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        try:
            who = json.loads(holder.read_text())
        except (OSError, ValueError):
            who = {}
        raise UserError(
            f"{root} is in use by process {who.get('pid', '?')} on {who.get('host', '?')} ({who.get('command', '?')})",
            IN_USE,
            "wait for it, stop it, or choose another --out",
        ) from None
    except (OSError, NotImplementedError) as error:
        raise UserError(f"{root} cannot be locked ({error})", STORAGE, "choose another --out") from error
    try:
        command = " ".join(["cgankd", *sys.argv[1:]])
        write_json(holder, {"pid": os.getpid(), "host": socket.gethostname(), "command": command})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
