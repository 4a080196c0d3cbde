"""The command as users run it: real processes, their stdout, stderr and exit codes."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy

from cgankd import cli, fakes, preset, runs

COMMANDS = ("train-gan", "train-teacher", "fit-dre", "generate", "evaluate", "select-rho", "distill", "run", "report")


def cgankd(*arguments: object, folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cgankd", *map(str, arguments)], cwd=folder, capture_output=True,
                          text=True, timeout=300, **options)  # fmt: skip


def toy_file(folder: Path, kind: str = "digits") -> Path:
    """A preset file of toy size."""
    path = folder / "toy.toml"
    path.write_text(preset.dump(toy.settings(kind)))
    return path


def write_chain(chain, folder: Path) -> tuple[str, Path]:
    """A copy of the finished chain with its preset, as a user's folder has it."""
    kind, root = chain
    shutil.copytree(root, folder / "run")
    (folder / "run" / "preset.toml").write_text(preset.dump(toy.settings(kind)))
    return kind, folder / "run"


def test_help_names_every_command_and_imports_no_torch(tmp_path):
    done = cgankd("--help", folder=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    code = "import sys, cgankd.cli, cgankd.pipeline, cgankd.plan; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


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
        (["run", "--set", "gan.steps=many"], 2, "gan.steps: Input should be a valid integer (found 'many')"),
        (["run", "--set", "rho.grid=[1.5]"], 2, "rho.grid.0"),
        (["run", "--set", "gan.steps"], 2, "expected table.key=value"),
        (["run", "--device", "tpu"], 2, "tpu"),
        (["distill", "--method", "blkdd"], 2, "did you mean blkd?"),
        (["distill", "--method", "sskd"], 2, "sskd needs the table"),
        (["generate"], 65, "run `cgankd train-gan` first"),
        (["distill", "--method", "blkd"], 65, "run `cgankd train-teacher` first"),
        (["report"], 65, "is no run folder"),
        (["train-gan", "--set", "data.num_train=1790"], 65, "rarest class"),
    ],
)
def test_bad_calls_get_one_message_and_leave_nothing(tmp_path, arguments, code, message):
    done = cgankd(*arguments, folder=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not any(path.name != ".lock" for path in tmp_path.rglob("*") if path.is_file())


def test_the_options_of_the_command_are_the_agreed_ones():
    shared = {"preset", "set", "out", "device", "precision", "num_processes", "deterministic", "seed", "rebuild",
              "json", "quiet", "dry_run"}  # fmt: skip
    own = {"distill": {"method", "student", "rho", "fake", "ablation"}, "generate": {"export"}, "run": {"ablation"},
           **{name: {"weights"} for name in ("train-gan", "train-teacher", "fit-dre")}}  # fmt: skip
    for command in cli.app.registered_commands:
        names = set(command.callback.__annotations__) - {"return"}
        expected = {"folders", "out", "json", "quiet"} if command.name == "report" else shared
        assert names == expected | own.get(command.name, set()), command.name


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    done = cgankd("train-gan", "--out", "mine", folder=tmp_path)
    assert done.returncode == 73
    assert "holds other files" in done.stderr


@pytest.mark.slow
def test_dry_run_prints_the_resolved_preset_and_makes_no_folder(tmp_path):
    done = cgankd("run", "--dry-run", "--set", "gan.steps=7", folder=tmp_path)
    assert done.returncode == 0
    assert "steps = 7" in done.stdout
    assert "train-gan: gan/gan.json: missing" in done.stderr
    assert list(tmp_path.iterdir()) == []
    as_json = json.loads(cgankd("run", "--dry-run", "--json", folder=tmp_path).stdout)
    assert as_json["preset"]["name"] == "digits"


def test_help_into_head_has_no_traceback(tmp_path):
    line = f"{sys.executable} -m cgankd --help | head -1"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_a_second_run_in_a_folder_in_use_is_refused(tmp_path):
    with runs.locked(tmp_path / "runs" / "digits"):
        done = cgankd("train-gan", folder=tmp_path)
    assert done.returncode == 73
    assert f"in use by process {os.getpid()}" in done.stderr


def test_a_gpu_that_is_absent_is_an_error(tmp_path):
    done = cgankd("train-gan", "--device", "cuda", "-p", toy_file(tmp_path), folder=tmp_path,
                  env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})  # fmt: skip
    assert done.returncode == 69
    assert "no CUDA device" in done.stderr


@pytest.mark.slow
def test_finished_stages_answer_in_pipelines(chain, tmp_path):
    _kind, root = write_chain(chain, tmp_path)
    rho = cgankd("select-rho", "--out", root, folder=tmp_path).stdout.strip()
    assert rho == "none" or 0 < float(rho) <= 1
    shell = f'test -f "$({sys.executable} -m cgankd train-gan --out run)" && echo yes'
    assert subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True).stdout == "yes\n"
    results = {}
    for name in ("train-gan", "train-teacher", "fit-dre", "generate", "select-rho", "distill"):
        done = cgankd(name, "--out", root, "--json", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        results[name] = json.loads(done.stdout)["result"]
        assert "nothing to do" in done.stderr
    assert Path(tmp_path / results["generate"]).name == "pool.json"
    assert len(results["distill"]) == 2


@pytest.mark.slow
def test_distill_at_a_given_rho_feeds_report_through_xargs(chain, tmp_path):
    _kind, root = write_chain(chain, tmp_path)
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
    file = toy_file(tmp_path)
    call = [sys.executable, "-m", "cgankd", "train-gan", "-p", str(file), "--set", "gan.steps=400"]
    whole = subprocess.run([*call, "--out", "whole"], cwd=tmp_path, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen([*call, "--out", "cut"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "cut" / "gan" / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, noise = process.communicate(timeout=30)
    assert process.returncode == 75, noise
    assert time.monotonic() - began < 5
    assert "the same command continues" in noise
    assert list((tmp_path / "cut" / "gan" / "checkpoints").glob("step-*"))
    again = subprocess.run([*call, "--out", "cut"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "continuing at step" in again.stderr
    bits = [(tmp_path / run / "gan" / "generator.safetensors").read_bytes() for run in ("whole", "cut")]
    assert bits[0] == bits[1]


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_kill_9_of_the_real_command_in_each_of_its_stages_loses_nothing(chain, tmp_path):
    _kind, whole = chain
    call = [sys.executable, "-m", "cgankd", "run", "-p", str(toy_file(tmp_path)), "--out", "cut", "--quiet"]
    environment = {**os.environ, "CGANKD_CHECKPOINT_SECONDS": "0"}
    cut = tmp_path / "cut"
    for sign in ("gan/checkpoints/step-*", "teacher/*/checkpoints/step-*", "dre/ratio-training/checkpoints/step-*",
                 "generate/bounds.json", "students/*-nokd-*/checkpoints/step-*",
                 "students/*-nokd+fake-seed1-*/checkpoints/step-*"):  # fmt: skip
        process = subprocess.Popen(call, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        while not list(cut.glob(sign)):
            assert process.poll() is None, f"no {sign} was seen"
            time.sleep(0.002)
        process.kill()
        process.wait()
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(whole): path.read_bytes() for path in whole.rglob("*.safetensors")}
    assert len(made) == 10, "generator, condition, teacher, features, ratio, five students"
    assert {path: (cut / path).read_bytes() for path in made} == made
    shards = [path.relative_to(whole) for path in whole.glob("generate/pool-*.h5")]
    assert shards
    for path in shards:
        ours, theirs = fakes.read_shard(cut / path), fakes.read_shard(whole / path)
        assert all((ours[name] == theirs[name]).all() for name in theirs)


@pytest.mark.slow
def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(tmp_path):
    file = toy_file(tmp_path)
    call = [sys.executable, "-m", "cgankd", "train-teacher", "-p", str(file), "--out"]
    plain = subprocess.run([*call, "plain"], cwd=tmp_path, capture_output=True, text=True,
                           env={**os.environ, "CGANKD_PROGRESS_SECONDS": "0.1"})  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    assert "teacher resnet8_x0_25: " in plain.stderr
    assert "/150" in plain.stderr
    parent, child = pty.openpty()
    process = subprocess.Popen([*call, "bar"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=child,
                               env={**os.environ, "TERM": "xterm", "COLUMNS": "120"})  # fmt: skip
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
def test_the_costs_of_a_dry_run_are_readable_where_there_is_no_terminal(tmp_path):
    done = cgankd("distill", "-p", "cifar10-c10k", "--method", "takd+fake", "--dry-run", folder=tmp_path)
    assert done.returncode == 0
    assert all(word in done.stderr for word in ("parameters", "memory (MB)", "shufflenetv2 takd+fake", "11,173,962"))
