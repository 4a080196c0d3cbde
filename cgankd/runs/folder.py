"""The folder of one run: the places in it, and its lock."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cgankd.errors import IN_USE, STORAGE, USAGE, UserError, storage_errors
from cgankd.runs.files import MARK, forget, sweep, write_bytes, write_json, write_within


class RunFolder:
    """The folder of one run and the places in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.preset = root / "preset.toml"
        self.data = root / "data.json"
        self.gan = root / "gan" / "gan.json"
        self.dre = root / "dre" / "dre.json"
        self.pool = root / "generate" / "pool.json"
        self.evaluation = root / "evaluate" / "evaluate.json"
        self.search = root / "rho" / "rho.json"
        self.report = root / "report" / "index.html"
        self.latency = root / "report" / "latency.json"

    def teacher(self, network: str) -> Path:
        return self.root / "teacher" / network.replace("/", "-") / "teacher.json"

    def student(self, name: str) -> Path:
        return self.root / "students" / name / "student.json"

    def students(self, pattern: str) -> list[Path]:
        """The records of those whose names fit, as `fnmatch` does."""
        return sorted(self.root.glob(f"students/{pattern}/student.json"))

    def distill(self, method: str) -> Path:
        return self.root / "distill" / f"{method}.json"

    @property
    def stands(self) -> bool:
        """Whether the folder is one of cgankd: it has the mark or, made by an earlier version or
        copied without hidden files, something that only cgankd writes.
        """
        written = [self.data, self.gan, self.dre, self.pool, *self.root.glob("teacher/*/*.json")]
        return (self.root / MARK).is_file() or any(map(_is_written, written))

    def check(self) -> None:
        """UserError where there is a file, or a folder of something else."""
        if any("\ud800" <= letter <= "\udfff" for letter in str(self.root)):
            # The records and the page name it, and they are text.
            raise UserError(f"--out {self.root}: a name that is not UTF-8", USAGE, "name another")
        with storage_errors(self.root):
            if not self.root.is_dir():
                if self.root.exists() or self.root.is_symlink():
                    raise UserError(f"--out {self.root} is a file", IN_USE, "name a folder")
                return
            others = {path.name for path in self.root.iterdir() if path.name[0] != "."}
        if others - {self.preset.name} and not self.stands:
            raise UserError(
                f"--out {self.root} holds other files", IN_USE, "name a new folder, or a run's"
            )


def _is_written(path: Path) -> bool:
    """Whether cgankd wrote a JSON file, of whatever version and however damaged since."""
    try:
        text = path.read_bytes()[:4096]
    except OSError:
        return False
    return b'"cgankd"' in text or b'"asked"' in text


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the run folder for one writer, and sweeps it; a second writer gets a UserError that
    says who has it.
    """
    from filelock import FileLock, Timeout

    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    holder = root / ".lock.json"
    lock = FileLock(root / ".lock", timeout=0)
    try:
        with storage_errors(root):
            _refuse_links(root)
            try:
                lock.acquire()
            except Timeout:  # an OSError, too
                raise _in_use(root, holder) from None
    except NotImplementedError as error:
        raise UserError(
            f"{root} cannot be locked ({error})", STORAGE, "choose another --out"
        ) from error
    try:
        _mark(root)
        write_within(root)
        for folder, _, _ in os.walk(root):
            sweep(Path(folder))
        command = " ".join(["cgankd", *sys.argv[1:]])
        write_json(holder, {"pid": os.getpid(), "host": socket.gethostname(), "command": command})
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        forget(root)
        lock.release()


def _mark(root: Path) -> None:
    """Makes the folder known as one of cgankd before anything else is in it."""
    mark = root / MARK
    if not mark.is_file() or mark.is_symlink():
        write_bytes(mark, b"A run folder of cgankd.\n")


def _refuse_links(root: Path) -> None:
    if (root / ".lock").is_symlink():
        raise UserError(f"{root / '.lock'} is a link", IN_USE, "remove it")


def _in_use(root: Path, holder: Path) -> UserError:
    try:
        who = json.loads(holder.read_bytes())
        described = [str(who.get(key, "?"))[:200] for key in ("pid", "host", "command")]
    except (OSError, ValueError, RecursionError, AttributeError):
        described = ["?", "?", "?"]
    pid, host, command = described
    return UserError(
        f"{root} is in use by process {pid} on {host} ({command})",
        IN_USE,
        "wait for it, stop it, or choose another --out",
    )
