"""One thread per process: results depend on the number of threads, and many small tests run faster
so.
"""

import io
import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import faults_toy
import pytest
import torch
import toy
from filelock import FileLock
from torch import nn

from cgankd import console, runs, signals, sources
from cgankd.runs import RunFolder
from cgankd.training.machine import Machine

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """Files are written as ever, but this process does not wait until they are on the platter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture
def heard_signals():
    """Signals are heard as in the command, and forgotten after the test."""
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    signals.install()
    yield
    with suppress(InterruptedError), signals.deferred():
        raise InterruptedError  # as work that stops for a signal that nothing has stopped for yet
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def invoke(tmp_path, monkeypatch, capfd):
    """A command in this process and in an empty folder: its exit code, stdout and stderr."""
    from cgankd.cli import commands

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signals, "install", lambda: None)
    monkeypatch.setattr(console, "_quiet", False)  # whoever asked for quiet before

    def run(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cgankd", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            commands.main()
        return int(left.value.code or 0), *capfd.readouterr()

    return run


@pytest.fixture(scope="session")
def machine():
    """One process on the CPU."""
    return Machine("cpu")


@pytest.fixture
def without_initial_values(monkeypatch):
    """Networks of published size are made in no time."""
    for name in (
        "kaiming_uniform_",
        "kaiming_normal_",
        "xavier_uniform_",
        "uniform_",
        "normal_",
        "ones_",
        "zeros_",
    ):
        monkeypatch.setattr(nn.init, name, lambda weight, *given, **options: weight)


@pytest.fixture
def write_preset(tmp_path):
    """Writes mine.toml, on top of the preset digits, and gives its path."""

    def write(text: str | bytes, extends: str = 'extends = "digits"\n') -> Path:
        path = tmp_path / "mine.toml"
        path.write_bytes(text if isinstance(text, bytes) else (extends + text).encode())
        return path

    return write


@pytest.fixture
def finished_run(tmp_path, monkeypatch):
    """A run whose stages are finished, with contents that are just words; of the data is known what
    they depend on, and none are read.
    """
    monkeypatch.setattr(
        sources, "identify", lambda data, seed, run: json.dumps([data.model_dump(), seed])
    )
    run = RunFolder(tmp_path / "finished")
    contents = {
        run.gan: "gan",
        run.dre: "dre",
        run.pool: "pool",
        run.search: "rho",
        run.teacher("resnet8"): "teacher",
        run.teacher("resnet8_x2"): "other teacher",
    }
    for record, content in contents.items():
        runs.write_json(record, {"finished": True, "content": content, "best_rho": 0.7, "rho": 0.7})
    return run


def built_once(factory, name, build):
    """The folder `name`, built by the first worker that asks for it; tests that change it copy it
    first.
    """
    base = factory.getbasetemp()
    # Workers have a folder each in one that is theirs together.
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{root}.lock"):
        if not Path(f"{root}.done").exists():
            shutil.rmtree(root, ignore_errors=True)  # a worker may have failed half-way
            build(root)
            Path(f"{root}.done").touch()
    return root


@pytest.fixture(scope="session", params=["digits", "digits-angle"])
def chain(request, tmp_path_factory):
    """The kind and the folder of a whole toy chain that nothing has disturbed."""
    kind = request.param
    root = built_once(
        tmp_path_factory, f"chain-{kind}", lambda root: toy.build_all(toy.job(kind, root))
    )
    return kind, root


@pytest.fixture(scope="session")
def command_chain(tmp_path_factory):
    """A folder with the preset and the run that `cgankd run` has finished."""

    def build(folder):
        folder.mkdir()
        faults_toy.write_preset(folder)
        ended = faults_toy.call(*faults_toy.on("run"), folder=folder)
        assert ended.code == 0, ended.err

    return built_once(tmp_path_factory, "chain-command", build)


@pytest.fixture
def run(command_chain, tmp_path, monkeypatch):
    """A copy of the run that the command has finished, to be damaged, in the current folder."""
    monkeypatch.chdir(tmp_path)
    faults_toy.copy_chain(command_chain, tmp_path)
    return Path("run")


@pytest.fixture
def copied(chain, tmp_path):
    """The kind and the folder of a finished chain that may be changed."""
    kind, root = chain
    shutil.copytree(root, tmp_path / "run")
    return kind, tmp_path / "run"
