"""Several processes on one machine: started by the command itself or by another launcher."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import toy

from cgankd import console, fakes, launch, preset, runs
from cgankd.errors import Followed, UserError

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(launcher: list[str], *arguments: object, folder: Path) -> subprocess.Popen[str]:
    call = [sys.executable, *launcher, "-m", "cgankd", *map(str, arguments)]
    return subprocess.Popen(
        call, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def add(file: Path, text: str) -> None:
    """Something to perform, here or elsewhere."""
    with file.open("a") as written:
        written.write(text)


@pytest.mark.parametrize("num", [0, 1, 4])
def test_a_process_of_another_launcher_starts_no_further_ones(tmp_path, monkeypatch, num):
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    launch.launch(add, num, tmp_path / "done", "here")
    assert (tmp_path / "done").read_text() == "here"


def test_another_number_of_processes_than_there_are_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match="--num-processes 2, but started as 4") as caught:
        launch.launch(add, 2, tmp_path / "done", "here")
    assert caught.value.code == 2
    assert not (tmp_path / "done").exists()


def test_one_process_is_this_one_and_it_decides_for_all(tmp_path, monkeypatch):
    launch.launch(add, 1, tmp_path / "done", "here")
    assert (tmp_path / "done").read_text() == "here"
    monkeypatch.delenv("RANK", raising=False)
    assert console.is_first()
    for rank, first in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert console.is_first() == first


def speak(text: str) -> None:
    """Something to perform that makes a note of it."""
    console.say(text)


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [False, True])
def test_processes_are_as_quiet_as_what_starts_them(capfd, monkeypatch, quiet):
    monkeypatch.setattr(console, "_quiet", quiet)
    launch.launch(speak, 2, "this is a note")
    assert capfd.readouterr().err.count("this is a note") == (0 if quiet else 1)


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_two_processes_draw_the_pool_of_one(copied, tmp_path):
    _, root = copied
    shutil.move(root / "generate", tmp_path / "generate")
    code, _, err = finish(
        start([], "generate", "--out", "run", "--num-processes", 2, folder=tmp_path)
    )
    assert code == 0, err
    one, two = (sorted((folder / "generate").glob("pool-*.h5")) for folder in (tmp_path, root))
    assert one
    assert [path.name for path in one] == [path.name for path in two]
    for mine, theirs in zip(one, two, strict=True):
        rows, others = (fakes.read_shard(path, tuple(fakes.COLUMNS)) for path in (mine, theirs))
        assert all((rows[name] == others[name]).all() for name in fakes.COLUMNS)


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_students_of_two_processes_are_those_of_one(copied, tmp_path):
    _, root = copied
    before = {
        path.name: path.read_bytes() for path in (root / "students").rglob("network.safetensors")
    }
    expected = runs.read_json(root / "distill" / "nokd.json")["members"]
    shutil.rmtree(root / "students")
    shutil.rmtree(root / "distill")
    code, _, err = finish(
        start([], "distill", "--out", "run", "--num-processes", 2, folder=tmp_path)
    )
    assert code == 0, err
    assert runs.read_json(root / "distill" / "nokd.json")["members"] == expected
    assert before


@pytest.mark.slow
@pytest.mark.parametrize("reuse", [False, True])  # in which the generator's graph lives longer
def test_sigterm_to_two_processes_saves_and_continues(tmp_path, reuse):
    file = tmp_path / "toy.toml"
    changes = ("gan.steps=60", f"gan.reuse_fakes={str(reuse).lower()}")
    file.write_text(preset.dump(toy.settings("digits", *changes)))
    call = ("train-gan", "-p", file, "--out", "run", "--num-processes", 2)
    process = start([], *call, folder=tmp_path)
    metrics = tmp_path / "run" / "gan" / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 75, err
    assert list((tmp_path / "run" / "gan" / "checkpoints").glob("step-*"))
    code, out, err = finish(start([], *call, folder=tmp_path))
    assert code == 0, err
    assert "continuing at step" in err
    assert out.strip().endswith("generator.safetensors")
    assert runs.read_json(tmp_path / "run" / "gan" / "gan.json")["made_on"]["processes"] == 2


@pytest.mark.slow
def test_a_collapsed_gan_stops_both_processes_with_70(tmp_path):
    file = tmp_path / "toy.toml"
    file.write_text(
        preset.dump(toy.settings("digits", "gan.learning_rate=10.0"))
    )  # every pixel saturates
    call = ("train-gan", "-p", file, "--out", "run", "--num-processes", 2)
    code, _, err = finish(start([], *call, folder=tmp_path))
    assert code == 70, err
    assert err.count("gan: collapsed by step 8: fakes of one label vary") == 1
    assert not runs.read_json(tmp_path / "run" / "gan" / "gan.json")["finished"]


def fail_in_turn(reason: str) -> None:
    """Something to perform in which the second process is the quicker one to stop."""
    if not console.is_first():
        raise Followed("the first process says why", 70)
    time.sleep(3)
    raise UserError(reason, 70)


@pytest.mark.slow
def test_the_process_that_knows_why_is_heard_though_another_stops_before_it():
    with pytest.raises(UserError, match="every pixel is the same") as caught:
        launch.launch(fail_in_turn, 2, "every pixel is the same")
    assert caught.value.code == 70


@pytest.mark.slow
def test_torchrun_starts_the_same_command(tmp_path):
    file = tmp_path / "toy.toml"
    file.write_text(preset.dump(toy.settings("digits", "teacher.steps=60")))
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2"]
    code, out, err = finish(
        start(launcher, "train-teacher", "-p", file, "--device", "cpu", folder=tmp_path)
    )
    assert code == 0, err
    assert out.count("network.safetensors") == 1, "only the first process prints"


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


@pytest.mark.slow
def test_two_machines_end_as_two_processes_of_one(tmp_path):
    """Two groups of one process each, over the loopback, as torchrun starts them on two machines
    that share a folder.
    """
    file = tmp_path / "toy.toml"
    file.write_text(preset.dump(toy.settings("digits", "distill.methods=['nokd']")))
    call = ("run", "-p", file, "--device", "cpu", "--out")
    address = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1"]
    address.append(f"--master-port={free_port()}")
    launchers = [
        ["-m", "torch.distributed.run", *address, f"--node-rank={rank}"] for rank in (0, 1)
    ]
    groups = [start(one, *call, "both", folder=tmp_path) for one in launchers]
    ended = [finish(group) for group in groups]
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert [out.count("report") for _, out, _ in ended] == [1, 0], "only the first process prints"
    code, _, err = finish(start([], *call, "one", "--num-processes", 2, folder=tmp_path))
    assert code == 0, err
    both, one = (tmp_path / name for name in ("both", "one"))
    for name in ("gan/generator", "teacher/resnet8_x0_25/network", "dre/ratio"):
        file = f"{name}.safetensors"
        assert (both / file).read_bytes() == (one / file).read_bytes(), name
    shards = [sorted((root / "generate").glob("pool-*.h5")) for root in (both, one)]
    for mine, theirs in zip(*shards, strict=True):
        rows, others = (fakes.read_shard(path, tuple(fakes.COLUMNS)) for path in (mine, theirs))
        assert all((rows[column] == others[column]).all() for column in fakes.COLUMNS)
    told = [runs.read_json(root / "distill" / "nokd.json")["members"] for root in (both, one)]
    assert told[0] == told[1]


@pytest.mark.slow
def test_the_batch_script_of_the_documents_requeues_what_was_stopped(tmp_path):
    text = (Path(__file__).parent.parent / "presets" / "README.md").read_text()
    script = re.search(r"    #!/bin/sh\n(?:    .*\n|\n)+", text)
    assert script, "the documents have a script"
    lines = textwrap.dedent(script.group()).replace("--num-processes 4", "")  # cores it may lack
    (tmp_path / "job.sh").write_text(lines)
    file = tmp_path / "mine.toml"
    file.write_text(preset.dump(toy.settings("digits", "gan.steps=60")))
    metrics = tmp_path / "runs" / "digits" / "gan" / "metrics.jsonl"
    stubs = {
        "cgankd": f'exec {sys.executable} -m cgankd "$@"',
        "scontrol": 'echo "$@" >> asked',
        # The scheduler's signal, once something is being trained and only the first time.
        "srun": f"""\"$@\" & run=$!
            if [ ! -e asked ]; then
                until [ -s {metrics} ]; do sleep 0.05; done
                kill -USR1 $run
            fi
            wait $run""",
    }
    for name, body in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**ENVIRONMENT, "PATH": path, "SLURM_JOB_ID": "17"}

    def job() -> int:
        done = subprocess.run(["sh", "job.sh"], cwd=tmp_path, env=environment, timeout=200)
        return done.returncode

    assert job() == 75
    assert (tmp_path / "asked").read_text() == "requeue 17\n"
    assert job() == 0
    assert (tmp_path / "asked").read_text() == "requeue 17\n"
    assert (tmp_path / "runs" / "digits" / "report" / "index.html").exists()
