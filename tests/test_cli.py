"""The command as users run it: stdout, stderr and exit codes, of real processes where processes
matter.
"""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toy

from cgankd import console, fakes, preset, runs, signals
from cgankd.cli import commands
from cgankd.plan import STAGES

COMMANDS = ("run", *STAGES, "report", "predict", "score", "export", "bench", "data", "presets")


def cgankd(*arguments: object, folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cgankd", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """The command in this process and in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signals, "install", lambda: None)

    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cgankd", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        return ended.value.code or 0, *capsys.readouterr()

    return called


def toy_file(folder: Path, kind: str = "digits") -> Path:
    """A preset file of toy size."""
    path = folder / "toy.toml"
    path.write_text(preset.dump(toy.settings(kind)))
    return path


def test_help_names_every_command(tmp_path):
    done = cgankd("--help", folder=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


def test_a_misspelt_key_names_the_right_one(tmp_path):
    done = cgankd("run", "--set", "gan.stpes=3", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown key gan.stpes; did you mean steps?" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "-p", "digit"], 2, "did you mean digits?"),
        (["run", "-p", "none.toml"], 2, "preset file none.toml not found"),
        (
            ["run", "--set", "gan.steps=many"],
            2,
            "gan.steps: Input should be a valid integer (found 'many')",
        ),
        (["run", "--set", "rho.grid=[1.5]"], 2, "rho.grid.0"),
        (["run", "--set", "gan.steps"], 2, "expected table.key=value"),
        (["run", "--device", "tpu"], 2, "tpu"),
        (["distill", "--method", "blkdd"], 2, "did you mean blkd?"),
        (["distill", "--method", "sskd"], 2, "sskd needs the table"),
        (
            ["generate"],
            65,
            "run `cgankd train-gan`, `cgankd train-teacher`, `cgankd fit-dre` first",
        ),
        (["distill", "--method", "blkd"], 65, "run `cgankd train-teacher` first"),
        (["report"], 65, "is no run folder"),
        (["train-gan", "--set", "data.num_train=1790"], 65, "rarest class"),
        (
            ["train-gan", "-p", "digits-angle", "--set", "generate.labels=[45, 91]"],
            2,
            "generate.labels: 91 lies outside [0, 90]",
        ),
    ],
)
def test_bad_calls_get_one_message_and_leave_nothing(tmp_path, call, arguments, code, message):
    found, out, err = call(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert not any(path.name != ".lock" for path in tmp_path.rglob("*") if path.is_file())


def test_the_options_of_the_command_are_the_agreed_ones():
    shared = {
        "preset",
        "set",
        "out",
        "device",
        "precision",
        "num_processes",
        "deterministic",
        "compile",
        "eager",
        "seed",
        "rebuild",
        "track",
        "json",
        "quiet",
        "dry_run",
    }
    own = {
        "distill": {"method", "student", "rho", "share", "fake", "ablation", "curve"},
        "generate": {"export", "images", "label_by_teacher"},
        "run": {"ablation"},
        "bench": {"model", "stage", "against", "batch"},
        **{name: {"imports"} for name in ("train-gan", "train-teacher", "fit-dre")},
    }
    alone = {  # without a preset
        "report": {"folders", "out", "json", "quiet"},
        "predict": {"model", "images", "top", "csv", "device", "json", "quiet"},
        "score": {"model", "data", "device", "json", "quiet"},
        "export": {"model", "to", "int8", "json", "quiet"},
    }
    for command in commands.app.registered_commands:
        name = command.name or command.callback.__name__
        names = set(command.callback.__annotations__) - {"return"}
        assert names == alone.get(name, shared | own.get(name, set())), name


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    done = cgankd("train-gan", "--out", "mine", folder=tmp_path)
    assert done.returncode == 73
    assert "holds other files" in done.stderr


@pytest.mark.slow
def test_dry_run_prints_what_would_be_built_with_its_cost_and_makes_no_folder(tmp_path, call):
    code, out, err = call("run", "--dry-run", "--set", "gan.steps=7")
    assert code == 0
    assert out.splitlines()[0] == "train-gan: gan/gan.json: missing"
    assert "memory (MB)" in err
    assert list(tmp_path.iterdir()) == []
    _, out, _ = call("run", "--dry-run", "--set", "gan.steps=7", "--json")
    assert json.loads(out)["preset"]["gan"]["steps"] == 7


@pytest.mark.slow
def test_dry_run_ends_as_the_command_would_and_says_why(call):
    code, out, err = call("distill", "--dry-run")
    assert (code, len(out.splitlines())) == (65, 7)
    assert "`cgankd run` with the same options builds it all" in err
    changes = ["-s", "data.source=folder", "-s", "data.path=nowhere"]
    code, out, err = call("run", "--dry-run", *changes)
    assert code == 65
    assert "nowhere is no folder (expected a folder of class folders" in out.splitlines()[0]
    assert "nowhere is no folder" in err


def test_help_into_head_has_no_traceback(tmp_path):
    line = f"{sys.executable} -m cgankd --help | head -1"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_a_second_run_in_a_folder_in_use_is_refused(tmp_path):
    with runs.locked(tmp_path / "runs" / "digits"):
        done = cgankd("train-gan", folder=tmp_path)
    assert done.returncode == 73
    assert f"in use by process {os.getpid()}" in done.stderr


def test_a_gpu_that_is_absent_is_an_error(tmp_path, call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    code, _, err = call("train-gan", "--device", "cuda", "-p", toy_file(tmp_path))
    assert code == 69
    assert "no CUDA device" in err


@pytest.mark.slow
def test_finished_stages_answer_in_pipelines(copied, tmp_path, call):
    _, root = copied
    rho = call("select-rho", "--out", root)[1].strip()
    assert rho == "none" or 0 < float(rho) <= 1
    shell = f'test -f "$({sys.executable} -m cgankd train-gan --out run)" && echo yes'
    assert (
        subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True).stdout
        == "yes\n"
    )
    results = {}
    for stage in STAGES.values():
        code, out, err = call(stage.name, "--out", root, "--json")
        assert code == 0, err
        results[stage.name] = json.loads(out)["result"]
        assert "nothing to do" in err
    assert Path(tmp_path / results["generate"]).name == "pool.json"
    assert len(results["distill"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_distill_at_a_given_rho_feeds_report_through_xargs(copied, tmp_path):
    _kind, root = copied
    python = f"{sys.executable} -m cgankd"
    shell = f"{python} distill --out run --rho 0.5 --method fake --rebuild | xargs {python} report"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True)
    page = Path(done.stdout.strip())
    assert page.name == "index.html", done.stderr
    assert "<html" in (tmp_path / page).read_text()
    members = runs.read_json(root / "distill" / "nokd+fake.json")["members"]
    assert {member["rho"] for member in members} == {0.5}


@pytest.mark.slow
def test_sigterm_saves_exits_75_and_continues_to_the_same_bits(tmp_path):
    assert toy.build("train-gan", toy.job("digits", tmp_path / "whole", "gan.steps=80")) == 0
    call = [
        sys.executable,
        "-m",
        "cgankd",
        "train-gan",
        "-p",
        str(toy_file(tmp_path)),
        "--set",
        "gan.steps=80",
        "--device",
        "cpu",
        "--out",
        "cut",
    ]
    process = subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "cut" / "gan" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, noise = process.communicate(timeout=30)
    assert process.returncode == 75, noise
    assert time.monotonic() - began < 5
    assert "the same command continues" in noise
    assert list((tmp_path / "cut" / "gan" / "checkpoints").glob("step-*"))
    again = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "continuing at step" in again.stderr
    bits = [
        (tmp_path / run / "gan" / "generator.safetensors").read_bytes() for run in ("whole", "cut")
    ]
    assert bits[0] == bits[1]


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_kill_9_of_the_command_in_each_of_its_stages_loses_nothing(chain, tmp_path):
    """The first and the last are real processes, the others children that start faster."""
    _kind, whole = chain
    arguments = ["run", "-p", str(toy_file(tmp_path)), "--out", "cut", "--device", "cpu", "--quiet"]
    real = [sys.executable, "-m", "cgankd", *arguments]
    cut = tmp_path / "cut"

    def wait_for(sign: str, is_alive: Callable[[], bool]) -> None:
        while not list(cut.glob(sign)):
            assert is_alive(), f"no {sign} was seen"
            time.sleep(0.002)

    process = subprocess.Popen(
        real, cwd=tmp_path, env={**os.environ, "CGANKD_CHECKPOINT_SECONDS": "0"}
    )
    wait_for("gan/checkpoints/step-*", lambda: process.poll() is None)
    process.kill()
    process.wait()
    for sign in (
        "teacher/*/checkpoints/step-*",
        "dre/ratio-training/checkpoints/step-*",
        "generate/bounds.json",
        "students/*-nokd-*/checkpoints/step-*",
        "students/*-nokd+fake-seed1-*/checkpoints/step-*",
    ):
        child = toy.command(tmp_path, *arguments)
        wait_for(sign, child.is_alive)
        child.kill()
        child.join()
    done = subprocess.run(real, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(whole): path.read_bytes() for path in whole.rglob("*.safetensors")}
    alone = {path for path in made if "-alone-" in str(path)}
    assert len(alone) == 2, "students of fakes alone"
    assert len(made) - 2 == 10, "generator, condition, teacher, features, ratio, five students"
    assert {path: (cut / path).read_bytes() for path in made} == made
    shards = [path.relative_to(whole) for path in whole.glob("generate/pool-*.h5")]
    assert shards
    for path in shards:
        ours, theirs = fakes.read_shard(cut / path), fakes.read_shard(whole / path)
        assert all((ours[name] == theirs[name]).all() for name in theirs)


@pytest.mark.slow
def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(tmp_path, call, monkeypatch):
    arguments = ["train-teacher", "-p", str(toy_file(tmp_path)), "--device", "cpu", "--out"]
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.1)
    code, _, err = call(*arguments, "plain")
    assert code == 0, err
    assert "teacher resnet8_x0_25: " in err
    assert "/150" in err
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cgankd", *arguments, "bar"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=child,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(parent)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert "━".encode() in shown
    assert out.decode().strip().endswith("network.safetensors")


@pytest.mark.slow
def test_the_costs_of_a_dry_run_are_readable_where_there_is_no_terminal(call):
    code, _, err = call("distill", "-p", "cifar10-c10k", "--method", "takd+fake", "--dry-run")
    assert code == 65, "there are no data, and nothing to distil from"
    assert all(
        word in err
        for word in ("parameters", "memory (MB)", "shufflenetv2 takd+fake", "11,173,962")
    )
