"""The bench: medians of what is done in turns, and what it says of a preset."""

import json
from dataclasses import replace

import pytest
import torch
import toy

from cgankd import preset, sources, timing
from cgankd.bench import kept, result
from cgankd.bench.plain import Pictures, plain_step
from cgankd.bench.probes import Probes
from cgankd.cli import commands
from cgankd.data.batches import Images
from cgankd.models import architectures, make_network
from cgankd.task import make_task
from cgankd.training.machine import Machine

CPU = torch.device("cpu")
CLASSES = {"kind": "class", "classes": ["a", "b", "c"]}


class Clock:
    """A clock that works move by so many seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def work(self, *seconds: float):
        given = iter(seconds)

        def step() -> None:
            self.now += next(given)

        return step


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: made.now)
    monkeypatch.setattr(timing.time, "process_time", lambda: made.now / 2)
    return made


def test_a_time_is_the_median_of_what_comes_after_the_warm_up(clock):
    slow = clock.work(100, 100, 1, 2, 3, 4, 50)
    fast = clock.work(*[0.5] * 7)
    found = timing.interleaved({"slow": slow, "fast": fast}, CPU, seconds=0)
    assert found["slow"] == timing.Time(wall=3, spread=1, cpu=1.5)
    assert found["fast"] == timing.Time(wall=0.5, spread=0, cpu=0.25)


def test_short_works_are_done_for_as_long_as_asked(clock):
    done = []
    step = clock.work(*[0.25] * 1000)
    timing.interleaved({"one": lambda: done.append(step())}, CPU, seconds=5)
    assert len(done) == timing.WARM + 20


@pytest.mark.parametrize("kind", ["digits", "digits-angle"])
def test_every_stage_that_trains_has_its_probes(kind, tmp_path):
    job = toy.job(kind, tmp_path / "run", "distill.methods=['nokd', 'takd+fake']")
    task, machine = make_task(sources.known_label(job.preset.data)), Machine("cpu")
    probes = Probes(job, task, machine, plain=False)
    found, told = {}, []
    for stage in ("train-gan", "train-teacher", "fit-dre", "generate", "select-rho", "distill"):
        for probe in probes.of(stage):
            probe.step()
            assert probe.stage == stage
            found[stage, probe.name] = (probe.num, probe.steps)
            told += [probe.name] if stage == "distill" else []
            if probe.bare:
                probe.bare()
    assert found["train-gan", job.preset.gan.network] == (1, job.preset.gan.steps)
    assert ("generate", "pool") in found
    seeds = len(job.preset.distill.seeds)
    assert not [stage for stage, _ in found if stage == "select-rho"], "counted with distill"
    names = {name: num for (stage, name), (num, _) in found.items() if stage == "distill"}
    *_, student = job.preset.distill.pairs[0]
    both = len({*job.preset.distill.seeds} | {*job.preset.search.seeds})
    assert names[f"{student} takd"] == seeds
    assert names[f"{student} nokd"] >= both, "those of the search and of distill"
    assert len(told) == len(set(told)), "students that cost the same are one row"


def test_a_head_is_timed_before_its_students(tmp_path):
    job = toy.job("digits", tmp_path / "run", "distill.methods=['sskd']")
    task = make_task(sources.known_label(job.preset.data))
    probes = list(Probes(job, task, Machine("cpu"), plain=False).of("distill"))
    teacher, _, student = job.preset.distill.pairs[0]
    assert [probe.name for probe in probes][:1] == [f"{teacher} head"]
    assert f"{student} sskd" in [probe.name for probe in probes]
    for probe in probes:
        probe.step()


def test_images_of_the_usual_loop_are_cropped_mirrored_and_normalised():
    pixels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    pixels[:, 0, :, :4] = 255
    made = Images(pixels, torch.arange(4))
    training = preset.load("cifar10-c10k").distill
    constants = {"mean": [0.5] * 3, "std": [0.25] * 3}
    pictures = Pictures(made, training, constants)
    image, label = pictures[2]
    assert (image.shape, label) == ((3, 8, 8), 2)
    assert set(image[1].unique().tolist()) == {-2.0}
    assert set(image[0].unique().tolist()) <= {-2.0, 2.0}
    assert len({pictures[0][0][0].flatten().tolist().index(2.0) for _ in range(40)}) > 1


def test_the_usual_loop_learns(machine):
    torch.manual_seed(0)
    labels = torch.arange(64) % 3
    pixels = (80 * labels).to(torch.uint8)[:, None, None, None].repeat(1, 3, 8, 8)
    task, made = make_task(CLASSES), Images(pixels, labels)
    network = make_network(architectures.cnn("resnet8_x0_25", 8, 3, made.normalisation()))
    training = replace_training(steps=50, batch=16, learning_rate=0.1, weight_decay=0.0)
    step = plain_step(task, network, made, training, CPU)
    for _ in range(50):
        step()
    network.eval()
    floats = made.pixels.float() / 127.5 - 1
    assert task.score(network(floats), labels) < 10


def replace_training(**changes):
    return preset.load("digits").distill.model_copy(update={"augment": [], **changes})


@pytest.fixture
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(timing, "WARM", 0)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    monkeypatch.setattr(timing, "_spread", lambda times: 0.0)
    monkeypatch.setattr(
        result, "interleaved", lambda works, device: timing.interleaved(works, device, 0.0)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_bench_says_what_the_preset_will_take_and_dry_run_quotes_it(quick, tmp_path, capsys):
    job = toy.job("digits", tmp_path / "run")
    assert kept.minutes(job) is None
    found = result.bench(job, None, plain=True)
    assert kept.minutes(job) == pytest.approx(found["seconds"] / 60)
    other = replace(job, precision="bf16")
    assert kept.minutes(other) is None
    rows = {row["name"]: row for row in found["rows"]}
    assert found["seconds"] == pytest.approx(sum(row["seconds"] for row in found["rows"]))
    gan = rows["biggan"]
    assert gan["seconds"] == pytest.approx(gan["steps"] * gan["milliseconds"] / 1e3)
    compared = {row["name"] for row in found["rows"] if row["against_plain"]}
    students = {pair[2] for pair in job.preset.distill.pairs}
    assert compared == {*job.preset.teacher.networks, *(f"{name} nokd" for name in students)}
    assert "medians of steps in turns" in capsys.readouterr().err
    assert not job.run.root.exists(), "nothing is built"


def test_the_command_prints_a_line_per_network_or_one_object(quick, tmp_path, capsys):
    toy_preset = tmp_path / "toy.toml"
    toy_preset.write_text(preset.dump(toy.job("digits", tmp_path / "run").preset))
    call = ["bench", "-p", str(toy_preset), "-o", str(tmp_path / "run"), "--stage", "train-gan"]
    commands.app(call, standalone_mode=False)
    stage, name, speed = capsys.readouterr().out.strip().split("\t")
    assert (stage, name) == ("train-gan", "biggan")
    assert float(speed) > 0
    commands.app([*call, "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["command"] == "bench"
    assert told["result"]["rows"][0]["against_plain"] is None
    assert {"torch", "cores", "load", "instructions"} <= set(told["result"]["made_on"])
