"""The folder of one run: the places in it, and its lock."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cgankd.errors import IN_USE, STORAGE, UserError, storage_errors
from cgankd.runs.files import write_json


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

    def teacher(self, network: str) -> Path:
        return self.root / "teacher" / network / "teacher.json"

    def student(self, name: str) -> Path:
        return self.root / "students" / name / "student.json"

    def distill(self, method: str) -> Path:
        return self.root / "distill" / f"{method}.json"


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
            f"{root} is in use by process {who.get('pid', '?')} on {who.get('host', '?')} "
            f"({who.get('command', '?')})",
            IN_USE,
            "wait for it, stop it, or choose another --out",
        ) from None
    except (OSError, NotImplementedError) as error:
        raise UserError(
            f"{root} cannot be locked ({error})", STORAGE, "choose another --out"
        ) from error
    try:
        command = " ".join(["cgankd", *sys.argv[1:]])
        write_json(holder, {"pid": os.getpid(), "host": socket.gethostname(), "command": command})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
