"""Real kills, real signals to a group, a real full disk and a real want of memory: the code says
what it was, and the same command goes on with the same bits.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import faults_toy as toy
import h5py
import pytest
import torch

from cgankd import runs
from cgankd.errors import UserError
from cgankd.runs import hdf5
from cgankd.training import checkpoint, loop, track

pytestmark = pytest.mark.slow
TEACHER = toy.on("train-teacher", "-s", "teacher.steps=150")
LONG = toy.on("train-teacher", "-s", "teacher.steps=100000")


@pytest.fixture
def folder(tmp_path):
    toy.write_preset(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an unbroken training of the teacher makes."""
    folder = tmp_path_factory.mktemp("whole")
    toy.write_preset(folder)
    assert toy.call(*TEACHER, folder=folder).code == 0
    return toy.contents(folder / "run")


def steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("run/teacher/*/checkpoints/step-*"))


def spawn(*arguments: object, folder: Path, **options) -> subprocess.Popen:
    """The command in a session of its own, which saves a checkpoint after every step."""
    environment = {**os.environ, "CGANKD_CHECKPOINT_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "cgankd", *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def children(process: int) -> list[int]:
    """The processes that a process has started, and those of these."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [child for one in map(int, found) for child in (one, *children(one))]


def ranks(process: int) -> list[int]:
    """The processes of a launcher that compute."""

    def computes(child: int) -> bool:
        return b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()

    return [child for child in children(process) if computes(child)]


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_the_same_command_ends_with_the_same_bits(folder, whole, number):
    process = toy.start(*TEACHER, folder=folder, seconds=1e9)
    log = folder / "run" / "teacher" / "resnet8_x0_25" / "metrics.jsonl"
    toy.wait_for(lambda: log.is_file() and log.stat().st_size > 0)
    toy.kill(process, number)
    ended = toy.end(process, folder)
    assert ended.code == 75
    (saved,) = steps(folder)
    assert f"stopped at step {int(saved.name[5:])} of 150" in ended.err
    assert toy.call(*TEACHER, folder=folder).code == 0
    assert toy.contents(folder / "run") == whole


def test_a_second_signal_leaves_at_once(folder):
    def slow() -> None:
        checkpoint.write = lambda *given: time.sleep(60)

    process = toy.start(*LONG, folder=folder, seconds=1e9, setup=slow)
    log = folder / "run" / "teacher" / "resnet8_x0_25" / "metrics.jsonl"
    toy.wait_for(log.is_file)
    time.sleep(0.2)
    toy.kill(process, signal.SIGTERM)
    time.sleep(0.5)
    began = time.monotonic()
    toy.kill(process, signal.SIGTERM)
    assert toy.end(process, folder).code == 143
    assert time.monotonic() - began < 5


def test_a_kill_after_the_grace_leaves_a_whole_checkpoint_or_none(folder, whole):
    rng = random.Random(0)
    for _ in range(6):
        process = toy.start(*TEACHER, folder=folder, seconds=0.0)
        time.sleep(rng.uniform(0.3, 0.8))
        toy.kill(process, signal.SIGTERM)
        time.sleep(rng.uniform(0.0, 0.02))
        toy.kill(process)
        toy.end(process, folder)
        for saved in steps(folder):
            assert runs.read_json(saved / "manifest.json")["step"] == int(saved.name[5:])
    assert toy.call(*TEACHER, folder=folder).code == 0
    assert toy.contents(folder / "run") == whole


def test_an_interrupt_reaches_a_command_in_the_background_of_a_shell(folder):
    words = " ".join(f"'{word}'" for word in LONG)
    line = f"{sys.executable} -m cgankd {words} & echo $!; wait $!; echo $?"
    environment = {**os.environ, "CGANKD_CHECKPOINT_SECONDS": "0"}
    shell = subprocess.Popen(
        ["sh", "-c", line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process = int(shell.stdout.readline())
    toy.wait_for(lambda: bool(steps(folder)))
    os.kill(process, signal.SIGINT)
    out, err = shell.communicate(timeout=60)
    assert out.split()[-1] == "75"
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_of_two_processes_saves_once(folder, number):
    process = spawn(*LONG, "--num-processes", "2", folder=folder)
    toy.wait_for(lambda: bool(steps(folder)), 90)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Traceback" not in err
    assert err.count("error: ") == 1
    newest = steps(folder)[-1]
    assert f"stopped at step {int(newest.name[5:])} of" in err


@pytest.mark.parametrize("wait", [0.3, 1.0, 2.0, 3.0, 4.5])
def test_a_signal_while_processes_are_importing_prints_no_traceback(folder, wait):
    process = spawn(*LONG, "--num-processes", "2", folder=folder)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 75, err
    assert "Traceback" not in err


# Processes


def test_a_process_that_is_killed_ends_all_with_its_code_and_one_message(folder):
    process = spawn(*LONG, "--num-processes", "2", folder=folder)
    toy.wait_for(lambda: bool(steps(folder)), 90)
    started = ranks(process.pid)
    assert len(started) == 2
    os.kill(started[1], signal.SIGKILL)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 137, err
    assert "process 1 of 2 ended with exit code 137" in err
    assert "Traceback" not in err
    saved = steps(folder)[-1]
    assert runs.read_json(saved / "manifest.json")["step"] == int(saved.name[5:])


def test_processes_whose_launcher_is_killed_leave_soon(folder):
    process = spawn(*LONG, "--num-processes", "2", folder=folder)
    toy.wait_for(lambda: bool(steps(folder)), 90)
    started = ranks(process.pid)
    process.kill()
    process.communicate(timeout=60)

    def is_gone(one: int) -> bool:
        status = Path(f"/proc/{one}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"

    toy.wait_for(lambda: all(map(is_gone, started)), 10)


def test_accelerate_launch_that_starts_one_process_of_several_is_refused(folder):
    def launched() -> None:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_MIXED_PRECISION": "no"}

    ended = toy.call(*TEACHER, folder=folder, setup=launched)
    assert ended.code == 69
    assert "asked for several processes, and got one" in ended.err


# Memory and disk


def little_memory() -> None:
    """64 MiB more than this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def test_want_of_memory_has_its_code_and_names_what_to_lower(folder):
    command = toy.on("train-gan", "-s", "gan.batch=4096", "-s", "gan.width=16")
    ended = toy.call(*command, folder=folder, setup=little_memory)
    assert ended.code == 71, ended.err
    assert "error: out of memory" in ended.err
    assert "gan.batch" in ended.err
    assert "Traceback" not in ended.err


def test_want_of_memory_in_one_of_two_processes_is_said_once(folder):
    limit = 6 << 30
    command = toy.on("train-gan", "-s", "gan.batch=65536", "-s", "gan.width=64")
    process = spawn(
        *command,
        "--num-processes",
        "2",
        folder=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode == 71, err
    assert err.count("out of memory") == 1
    assert "Traceback" not in err
    assert "{" not in err


def small_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_disk_that_is_full_at_a_checkpoint_keeps_the_one_before(folder, whole):
    process = toy.start(*TEACHER, folder=folder, seconds=0.0)
    toy.wait_for(lambda: len(steps(folder)) == checkpoint.KEEP)
    toy.kill(process)
    toy.end(process, folder)
    before = [(path.name, (path / "manifest.json").read_bytes()) for path in steps(folder)]
    ended = toy.call(*TEACHER, folder=folder, seconds=0.0, setup=lambda: small_files(20_000))
    assert ended.code == 74
    assert "bytes needed, " in ended.err
    assert "bytes free" in ended.err
    after = [(path.name, (path / "manifest.json").read_bytes()) for path in steps(folder)]
    assert after == before
    assert not list((folder / "run").rglob(".tmp-*"))
    assert toy.call(*TEACHER, folder=folder).code == 0
    assert toy.contents(folder / "run") == whole


def test_a_disk_that_is_really_full_says_what_it_lacks_and_goes_on_with_more_room(folder, whole):
    disk = folder / "run"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        ended = toy.call(*TEACHER, folder=folder, seconds=0.0)
        assert ended.code == 74
        assert "No space left on device: " in ended.err
        assert "bytes free" in ended.err
        subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
        assert toy.call(*TEACHER, folder=folder).code == 0
        assert toy.contents(disk) == whole
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_under_the_pool_and_under_the_page_is_told_and_mended(folder):
    ended = toy.call(*toy.on("run"), folder=folder)
    assert ended.code == 0
    made = toy.contents(folder / "run")
    for place, size in {"generate": 30_000, "report": 30_000}.items():
        runs.remove(folder / "run" / place)
        ended = toy.call(*toy.on("run"), folder=folder, setup=lambda: small_files(size))  # noqa: B023
        assert ended.code == 74, (place, ended.err)
        assert not list((folder / "run").rglob(".tmp-*"))
        assert toy.call(*toy.on("run"), folder=folder).code == 0
        assert toy.contents(folder / "run") == made


def test_a_log_that_cannot_grow_is_no_reason_to_lose_a_training(tmp_path, capsys):
    session = type("Session", (), {})()
    facts = {"is_main": True, "tracker": track.Untracked()}
    session.folder, session.machine = tmp_path, type("Machine", (), facts)()
    with loop._log(session, 0) as log:
        log({"step": 1, "loss": 0.5})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
        log({"step": 2, "loss": 0.5})
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        log({"step": 3, "loss": 0.5})
    assert [row["step"] for row in loop.rows(tmp_path / "metrics.jsonl")] == [1, 3]
    assert "metrics.jsonl" in capsys.readouterr().err


# Damaged logs, checkpoints, files of strangers


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"step": NaN}',
        b'{"step": 1e999}',
        b'{"step": ' + b"9" * 400 + b"}",
        b'{"step": ' + b"9" * 9000 + b"}",
        b'{"step": "2"}',
        b'{"step": true}',
        b'{"step": 5, "label": NaN}',
        b'{"step": 5, "label": "x"}',
        b'{"step": 149, "lab',
        b"null",
        b"\x00",
    ],
)
def test_no_line_of_a_log_keeps_a_training_from_going_on(folder, whole, line):
    process = toy.start(*TEACHER, folder=folder, seconds=0.0)
    log = folder / "run" / "teacher" / "resnet8_x0_25" / "metrics.jsonl"
    toy.wait_for(lambda: bool(steps(folder)) and log.stat().st_size > 60)
    toy.kill(process)
    toy.end(process, folder)
    log.write_bytes(line + b"\n" + log.read_bytes() + line)
    ended = toy.call(*TEACHER, folder=folder)
    assert ended.code == 0, ended.err
    assert [row["step"] for row in map(json.loads, log.read_text().splitlines())] == [
        *range(1, 151)
    ]
    assert toy.contents(folder / "run") == whole


def test_odd_names_among_checkpoints_are_no_checkpoints(tmp_path):
    state = {"x": torch.arange(3.0)}
    checkpoint.write(tmp_path, 3, state, "d", {})
    for name in ("step-٣", "step-1e5", "step-²", "step-", "step-" + "9" * 30, "step--0000001"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000009").write_text("a file")
    (tmp_path / "step-00000008").symlink_to("nowhere")
    assert checkpoint.newest(tmp_path, "d", {})[0] == 3


@pytest.mark.parametrize("kind", ["shape", "chunk"])
def test_a_file_that_declares_far_more_than_it_holds_is_refused_in_little_memory(folder, kind):
    with h5py.File(folder / "bomb.h5", "w") as file:
        if kind == "shape":
            file.create_dataset("images", (1 << 30, 3, 64, 64), "u1", chunks=(1, 3, 64, 64))
        else:
            file.create_dataset(
                "images", (1, 3, 16384, 21845), "u1", chunks=(1, 3, 16384, 21845), compression=9
            )
        file["labels"] = [0]
    began = time.monotonic()
    ended = toy.call("data", "verify", "bomb.h5", folder=folder, setup=little_memory)
    assert ended.code == 65, ended.err
    assert "which is refused" in ended.err
    assert time.monotonic() - began < 10


def test_a_mutated_record_or_shard_ends_in_our_error_alone(tmp_path):
    """No crash, no other error, and never another content than was written."""
    rng = random.Random(0)
    value = {"finished": True, "files": {"a": "b" * 64}, "members": [{"test": 1.5}] * 3}
    runs.write_json(tmp_path / "x.json", value)
    hdf5.write(tmp_path / "x.h5", {"images": torch.zeros(2, 3, 8, 8).byte().numpy()}, {})
    for name, read in {
        "x.json": runs.read_json,
        "x.h5": lambda path: hdf5.Reader(path).read("images", 4, "u").sum(),
    }.items():
        path = tmp_path / name
        whole = path.read_bytes()
        expected = read(path)
        for _ in range(400):
            data = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path.write_bytes(data[: rng.randint(1, len(data))] if rng.random() < 0.2 else data)
            try:
                found = read(path)
            except UserError:
                continue
            if name == "x.json":
                assert found == expected
