"""The best average of a GAN: which it is, that checkpoints hold it, that later stages get it."""

import math
from pathlib import Path

import pytest
import tiny
import torch
import toy

from cgankd import preset, report, runs
from cgankd.errors import UserError
from cgankd.fakes.looks import Look, Looks
from cgankd.models.saved import load_network
from cgankd.stages import train_gan
from cgankd.training import updates
from cgankd.training.kept import KeepBest
from cgankd.training.machine import Machine

CPU = torch.device("cpu")


def same(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return state.keys() == other.keys() and all(
        torch.equal(state[name], other[name]) for name in state
    )


@pytest.fixture
def best() -> KeepBest:
    return KeepBest(tiny.adversarial(Machine("cpu")))


def look(best: KeepBest, step: int, distance: float | None) -> dict[str, torch.Tensor]:
    """The average after a step, which is looked at; its weights are that number."""
    average = best.update.average
    with torch.no_grad():
        average.last.bias.fill_(step)
    state = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    best.look(step, distance, average)
    return state


def restored(best: KeepBest) -> dict[str, torch.Tensor]:
    best.restore(best.update.average)
    return best.update.average.state_dict()


def test_the_nearest_is_kept_and_of_equal_ones_the_first(best):
    assert best.step is None
    states = {
        step: look(best, step, value) for step, value in ((1, 3.0), (2, 1.0), (3, 1.0), (4, 2))
    }
    assert best.step == 2
    assert best.looks == {1: 3, 2: 1, 3: 1, 4: 2}
    assert same(restored(best), states[2])


@pytest.mark.parametrize("distance", [None, math.nan, math.inf])
def test_what_has_no_distance_is_not_compared(best, distance):
    look(best, 1, distance)
    assert best.step is None
    second = look(best, 2, 5.0)
    look(best, 3, distance)
    assert (best.step, same(restored(best), second)) == (2, True)


def test_checkpoints_hold_the_best_so_far_and_load_without_one(best):
    plain = best.update.state()
    assert same(best.state(), plain)
    look(best, 1, 0.1 + 0.2)
    first = look(best, 2, 0.3)
    look(best, 3, 7.0)
    other = KeepBest(tiny.adversarial(Machine("cpu")))
    other.load(best.state())
    assert (other.looks, other.step) == (best.looks, 2)
    assert same(other.state(), best.state())
    assert same(restored(other), first)
    other.load(plain)
    assert (other.looks, other.step) == ({}, None)


# In training


def train(root: Path, *changes: str) -> None:
    sizes = ["data.size=8", "gan.discriminator_steps=1", *changes]
    train_gan.run(toy.job("digits", root, *sizes), Machine("cpu"))


@pytest.fixture
def nearest_at_ten(monkeypatch) -> None:
    """Of the averages of a GAN that is looked at every other step, that of step 10 is the best."""
    done = []

    def at(self, fakes):
        done.append(None)
        step = 2 * len(done)
        return Look(0.8, 1.0 + abs(step % 100 - 10))

    step_of = updates.Adversarial.__call__

    def counted(self, batch, step):
        if step == 0:
            done.clear()
        return step_of(self, batch, step)

    monkeypatch.setattr(updates.Adversarial, "__call__", counted)
    monkeypatch.setattr(Looks, "at", at)


def weights(root: Path) -> bytes:
    return (root / "gan" / "generator.safetensors").read_bytes()


def test_later_stages_get_the_best_average_and_are_told_which(tmp_path, nearest_at_ten, capsys):
    train(tmp_path / "last")
    assert "kept" not in runs.read_json(tmp_path / "last" / "gan" / "gan.json")
    train(tmp_path / "best", "gan.keep='best'")
    train(tmp_path / "ten", "gan.steps=10")
    kept = runs.read_json(tmp_path / "best" / "gan" / "gan.json")["kept"]
    assert kept["step"] == 10
    assert [row["step"] for row in kept["looks"]] == list(range(2, 25, 2))
    assert [row["distance"] for row in kept["looks"]] == [9, 7, 5, 3, 1, 3, 5, 7, 9, 11, 13, 15]
    assert weights(tmp_path / "best") == weights(tmp_path / "ten")
    assert weights(tmp_path / "best") != weights(tmp_path / "last")
    assert "kept is the average of step 10 of 24" in capsys.readouterr().err
    load_network(tmp_path / "best" / "gan", "generator", CPU)


def test_the_last_average_is_compared_too_where_it_was_not_looked_at(tmp_path, monkeypatch):
    distances = iter([5.0, 4.0, 3.0])
    monkeypatch.setattr(Looks, "at", lambda self, fakes: Look(0.8, next(distances, 2.0)))
    train(tmp_path, "gan.keep='best'", "gan.steps=25")
    kept = runs.read_json(tmp_path / "gan" / "gan.json")["kept"]
    assert [row["step"] for row in kept["looks"]] == [*range(2, 25, 2), 25]
    assert kept["step"] == 8, "of equal ones the first"


@pytest.mark.slow
def test_a_run_that_was_cut_keeps_the_same_average(
    tmp_path, nearest_at_ten, monkeypatch, heard_signals
):
    train(tmp_path / "whole", "gan.keep='best'")
    tiny.stop_gan_after(monkeypatch, 5, 13)
    for stop in (5, 13):
        with pytest.raises(UserError, match=f"stopped at step {stop} of 24"):
            train(tmp_path / "cut", "gan.keep='best'")
    train(tmp_path / "cut", "gan.keep='best'")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    cut, whole = (runs.read_json(tmp_path / name / "gan" / "gan.json") for name in ("cut", "whole"))
    assert cut["kept"] == whole["kept"]
    assert cut["content"] == whole["content"]


@pytest.mark.slow
def test_the_page_says_which_average_was_kept(tmp_path):
    train(tmp_path, "gan.keep='best'")
    settings = toy.settings("digits", "data.size=8", "gan.keep='best'")
    (tmp_path / "preset.toml").write_text(preset.dump(settings))
    report.build([tmp_path], tmp_path / "index.html")
    step = runs.read_json(tmp_path / "gan" / "gan.json")["kept"]["step"]
    assert f"Kept is the average of step {step}, whose" in (tmp_path / "report.md").read_text()
    (summary,) = runs.read_json(tmp_path / "report.json")["runs"]
    assert summary["gan"]["kept"]["step"] == step
