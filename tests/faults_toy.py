"""A toy chain, and the command itself in forked children: they start in no time, may be killed, and
end as the command ends for a user.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy.ndimage  # noqa: F401 - loaded once, for all children
import sklearn.datasets  # noqa: F401
import torch

import cgankd.cli.commands as commands
import cgankd.stages.distill
import cgankd.stages.fit_dre
import cgankd.stages.generate
import cgankd.stages.select_rho
import cgankd.stages.train_gan
import cgankd.stages.train_teacher  # noqa: F401
from cgankd.job import Job, make_job
from cgankd.training import loop

PRESET = """
name = "toy"
extends = "digits"

[data]
num_train = 40
num_validation = 200

[gan]
width = 1
latent = 6
steps = 24
batch = 8
ema_start = 4

[teacher]
networks = ["resnet8_x0_25"]
steps = 150
batch = 16

[dre]
width = 32
steps = 20
batch = 8
penalty = 10.0
output = "softplus"

[dre.features]
network = "resnet8_x0_25"
size = 32
steps = 12
batch = 8

[generate]
teacher = "resnet8_x0_25"
per_label = 12
block = 16
burn_in = 16

[rho]
grid = [0.5, 1.0]
seeds = [0]

[distill]
methods = ["nokd", "nokd+fake"]
seeds = [0]
steps = 16
batch = 16
pairs = [["resnet8_x0_25", "resnet8_x0_125", "resnet8_x0_0625"]]
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal, and what it said."""

    code: int
    out: str
    err: str


def write_preset(folder: Path) -> Path:
    path = folder / "toy.toml"
    path.write_text(PRESET)
    return path


def start(
    *arguments: object,
    folder: Path,
    setup: Callable[[], Any] | None = None,
    seconds: float = 60.0,
    group: bool = False,
) -> int:
    """Starts `cgankd ARGUMENTS` in `folder`, which saves a checkpoint every so many seconds; its
    process, which leads a group of its own where that is asked for.
    """
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    try:
        if group:
            os.setpgid(0, 0)
        os.chdir(folder)
        for handle, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f".said-{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), handle)
        sys.stdin = sys.__stdin__
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        torch.set_num_threads(1)
        os.fsync = lambda handle: None  # a kill loses nothing that is written
        loop.CHECKPOINT_SECONDS = seconds
        sys.argv = ["cgankd", *map(str, arguments)]
        if setup:
            setup()
        _run()
    finally:
        os._exit(1)


def _run() -> None:
    code: Any = 0
    try:
        commands.main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def end(process: int, folder: Path) -> Ended:
    """Waits for a command."""
    _, status = os.waitpid(process, 0)
    said = [
        (folder / f".said-{name}").read_text(errors="surrogateescape") for name in ("out", "err")
    ]
    return Ended(os.waitstatus_to_exitcode(status), *said)


def call(*arguments: object, folder: Path, **options: Any) -> Ended:
    """Runs `cgankd ARGUMENTS` in `folder` to its end."""
    return end(start(*arguments, folder=folder, **options), folder)


def on(command: str, *arguments: object, out: str = "run") -> list[object]:
    """The arguments of a command on the toy preset."""
    return [command, "-p", "toy.toml", "--out", out, "--device", "cpu", *arguments]


def job(folder: Path, root: Path, *changes: str, **options: Any) -> Job:
    return make_job(root, write_preset(folder), changes, device="cpu", **options)


def without_privileges() -> None:
    """From now on root may do in this process what the owner of a file may, and no more."""
    import ctypes

    version = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None).capset(version, (ctypes.c_uint32 * 6)()) == 0


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to it"
        time.sleep(0.005)


def kill(process: int, number: int = signal.SIGKILL) -> None:
    os.kill(process, number)


def copy_chain(chain: Path, folder: Path) -> Path:
    """A copy of a folder that holds toy.toml and the finished run `run`; the copy of the run."""
    shutil.copy(chain / "toy.toml", folder)
    shutil.copytree(chain / "run", folder / "run")
    return folder / "run"


def contents(root: Path) -> dict[str, bytes]:
    """All that a chain has computed: weights, fakes, and what its records say of students."""
    from cgankd import runs

    found = {
        str(path.relative_to(root)): path.read_bytes()
        for pattern in ("**/*.safetensors", "generate/*.h5")
        for path in sorted(root.glob(pattern))
        if not any("." in part for part in path.relative_to(root).parts[:-1])  # what was set aside
    }
    for path in sorted((root / "distill").glob("*.json")):
        if "." not in path.stem:
            found[path.name] = repr(runs.read_json(path)["members"]).encode()
    return found
