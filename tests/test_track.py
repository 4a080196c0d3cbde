"""Trackers: what they are told, and that none of them can harm a run."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from accelerate import tracking

from cgankd import console, pipeline, preset, runs
from cgankd.training.track import Tracker, numbers


class Told:
    """Stands in for one of Accelerate's trackers, and fails at its `limit`-th call."""

    def __init__(self, calls: list[tuple[str, Any]], limit: int = 10**6) -> None:
        self.calls, self.limit = calls, limit

    def __call__(self, **named: Any) -> "Told":
        return self._note("named", named)

    def start(self) -> None:
        print("to stdout")
        self._note("start", None)

    def store_init_configuration(self, settings: dict[str, Any]) -> None:
        self._note("settings", settings)

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        self._note("log", (values, step))

    def log_images(self, values: dict[str, Any]) -> None:
        self._note("images", values)

    def log_artifact(self, path: str, place: str) -> None:
        self._note("file", (path, place))

    def finish(self) -> None:
        self._note("finish", None)

    def _note(self, what: str, given: Any) -> "Told":
        if len(self.calls) + 1 >= self.limit:
            raise ValueError("no connection")
        self.calls.append((what, given))
        return self


@pytest.fixture
def told(monkeypatch):
    """Puts a stand-in in the place of a tracker; what it is told."""

    def stand_in(name: str, limit: int = 10**6) -> list[tuple[str, Any]]:
        calls: list[tuple[str, Any]] = []
        monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, name, Told(calls, limit))
        return calls

    return stand_in


@pytest.fixture
def warned(monkeypatch):
    texts: list[str] = []
    monkeypatch.setattr(console, "warn", texts.append)
    return texts


def tell_all(tracker: Tracker, root: Path) -> None:
    tracker.losses(root / "teacher" / "resnet8", {"step": 3, "label": 0.5})
    tracker.picture("gan/samples", 7, root / "a.png", np.zeros((2, 4, 3), np.uint8))
    tracker.measures("dre", {"mean_ratio": 1.5})
    tracker.close()


@pytest.mark.parametrize(
    ("name", "losses", "step"),
    [
        ("mlflow", {"teacher/resnet8/label": 0.5}, 3),
        ("wandb", {"teacher/resnet8/label": 0.5, "teacher/resnet8/step": 3}, None),
    ],
)
def test_a_tracker_is_told_losses_pictures_and_measures(
    tmp_path, told, warned, capsys, name, losses, step
):
    calls = told(name)
    tell_all(Tracker(name, "train-gan", tmp_path / "run", preset.load("digits")), tmp_path / "run")
    what = [call for call, _ in calls]
    shown = {"wandb": "images", "mlflow": "file"}[name]
    assert what == ["named", "start", "settings", "log", shown, "log", "finish"]
    assert calls[3][1] == (losses, step)
    assert calls[5][1][0]["measures/dre/mean_ratio"] == 1.5
    assert calls[2][1]["gan.network"] == "biggan"
    assert calls[2][1]["distill.methods"] == "['nokd', 'nokd+fake', 'blkd', 'blkd+fake']"
    assert warned == []
    assert capsys.readouterr().out == "", "stdout is for results"


@pytest.mark.parametrize("limit", range(1, 8))
def test_a_tracker_that_fails_is_warned_of_once_and_told_nothing_more(
    tmp_path, told, warned, limit
):
    calls = told("mlflow", limit)
    tell_all(Tracker("mlflow", "train-gan", tmp_path, preset.load("digits")), tmp_path)
    assert len(calls) == limit - 1
    assert warned == ["--track mlflow failed, and nothing more is tracked: no connection"]


def test_a_tracker_that_is_not_installed_is_warned_of(tmp_path, warned, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    tell_all(Tracker("wandb", "train-gan", tmp_path, preset.load("digits")), tmp_path)
    assert len(warned) == 1
    assert "--track wandb failed" in warned[0]
    assert "wandb" in warned[0].partition(":")[2]


def test_the_numbers_of_a_record_are_named_by_their_place_and_rows_are_averaged():
    record = {
        "validation": 3,
        "finished": True,
        "metric": "error",
        "inputs": {"gan": {"steps": 7}},
        "made_on": {"threads": 1},
        "rho": None,
        "members": [
            {"row": "nokd", "test": 4.0, "seed": 0},
            {"row": "nokd", "test": 6.0, "seed": 1},
            {"row": "fake", "test": 1.0, "seed": 0},
        ],
        "table": [{"rho": 0.5, "mean": 2.0}, {"rho": None, "mean": 3.0}],
    }
    assert numbers(record) == {
        "validation": 3.0,
        "members/nokd/test": 5.0,
        "members/nokd/seed": 0.5,
        "members/fake/test": 1.0,
        "members/fake/seed": 0.0,
        "table/0.5/rho": 0.5,
        "table/0.5/mean": 2.0,
        "table/None/mean": 3.0,
    }


@pytest.mark.slow
def test_a_run_that_is_tracked_makes_the_same_as_one_that_is_not(tmp_path, told, warned):
    made = []
    for name, limit in (("plain", 0), ("tracked", 10**6), ("failing", 9)):
        if limit:
            calls = told("mlflow", limit)
        track = {"track": "mlflow"} if limit else {}
        job = toy.job("digits", tmp_path / name, "gan.steps=10", num_processes=1, **track)
        pipeline.build_stage("train-gan", job)
        made.append(runs.read_json(job.run.gan)["content"])
        if name == "tracked":
            steps = [given[1] for what, given in calls if what == "log" and "gan/" in str(given)]
            assert steps == [*range(1, 11)]
            assert [what for what, _ in calls].count("file") == 10
            assert calls[-1] == ("finish", None)
    assert len(set(made)) == 1
    assert len(warned) == 1


@pytest.mark.slow
def test_tensorboard_reads_what_it_is_told(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    job = toy.job("digits", tmp_path / "run", "gan.steps=10", num_processes=1, track="tensorboard")
    pipeline.build_stage("train-gan", job)
    events = EventAccumulator(str(tmp_path / "run" / "track" / "train-gan")).Reload()
    lines = job.run.gan.with_name("metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    found = events.Scalars("gan/generator")
    assert [event.step for event in found] == [row["step"] for row in logged]
    assert [event.value for event in found] == pytest.approx([row["generator"] for row in logged])
    assert [event.step for event in events.Images("gan/samples")][-1] == 10
