"""The training loop: resumed is whole, bit for bit; what stops it and what it leaves."""

import json
import math
import signal

import pytest
import torch
from tiny import STEPS, adversarial, batches, gan_batches, supervised

from cgankd.data.images import Augmentation
from cgankd.errors import UserError
from cgankd.training import loop
from cgankd.training.loop import fit
from cgankd.training.machine import Machine
from cgankd.training.session import Session

pytestmark = pytest.mark.usefixtures("heard_signals")


CASES = {
    "sgd": (lambda machine: supervised(machine), batches),
    "adam": (lambda machine: supervised(machine, optimizer="adam", learning_rate=1e-3), batches),
    "compiled": (
        lambda machine: supervised(Machine("cpu", compile=True), Augmentation(["crop"])),
        batches,
    ),
    "biggan": (lambda machine: adversarial(machine, "biggan"), lambda: gan_batches("biggan")),
    "biggan with attention": (
        lambda machine: adversarial(machine, shared=4),
        lambda: gan_batches("biggan", 16),
    ),
    "sngan": (lambda machine: adversarial(machine, "sngan"), lambda: gan_batches("sngan")),
    "sagan": (lambda machine: adversarial(machine, "sagan"), lambda: gan_batches("sngan")),
}


def train(update, made, folder, machine, *, digest: str = "digest", **options) -> dict:
    session = Session(folder, "test", 0, digest, machine)
    fit(update, made, **{"steps": STEPS, "session": session, **options})
    return {name: value.clone() for name, value in update.state().items()}


def stopping(made, *at: int):
    """Batches at which a signal arrives while the step is computed."""

    def batch(step: int):
        if step in at:
            signal.raise_signal(signal.SIGTERM)
        return made(step)

    return batch


def same(one: dict, other: dict) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# Resumed is whole


LONG = ("compiled", "biggan with attention", "sagan")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case in LONG)) for case in CASES]
)
def test_training_stopped_anywhere_continues_to_the_same_bits(tmp_path, machine, case):
    make, data = CASES[case]
    whole = train(make(machine), data(), tmp_path / "whole", machine)
    stops = (0, 5, STEPS - 1)
    for stop in stops:
        with pytest.raises(UserError, match=f"stopped at step {stop + 1} of {STEPS}") as caught:
            train(
                make(machine),
                stopping(data(), *stops[stops.index(stop) :]),
                tmp_path / "cut",
                machine,
            )
        assert caught.value.code == 75
        assert (tmp_path / "cut" / "checkpoints" / f"step-{stop + 1:08d}").is_dir()
    torch.manual_seed(99)
    assert same(train(make(machine), data(), tmp_path / "cut", machine), whole)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


def test_a_run_that_dies_between_checkpoints_repeats_the_lost_steps(tmp_path, machine, monkeypatch):
    make, data = CASES["sgd"]
    whole = train(make(machine), data(), tmp_path / "whole", machine)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # after every step
    made = data()

    def dying(step: int):
        if step == 9:
            raise KeyboardInterrupt
        if step == 6:
            monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 1e9)
        return made(step)

    with pytest.raises(KeyboardInterrupt):
        train(make(machine), dying, tmp_path / "cut", machine)
    assert {path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()} == {
        "step-00000005",
        "step-00000006",
    }
    assert [row["step"] for row in rows(tmp_path / "cut")] == list(range(1, 10))
    assert same(train(make(machine), data(), tmp_path / "cut", machine), whole)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole"), (
        "the rows of lost steps are not there twice"
    )


def test_the_bits_do_not_depend_on_what_was_drawn_before(tmp_path, machine):
    make, data = CASES["sgd"]
    whole = train(make(machine), data(), tmp_path / "a", machine)
    update = make(machine)
    torch.manual_seed(5)
    assert same(train(update, data(), tmp_path / "b", machine), whole)
    different = train(supervised(machine, learning_rate=0.11), data(), tmp_path / "c", machine)
    assert not same(different, whole)


def test_finished_training_is_not_repeated(tmp_path, machine):
    stopped, again = supervised(machine), supervised(machine)
    with pytest.raises(UserError, match=f"stopped at step {STEPS}"):
        train(stopped, stopping(batches(), STEPS - 1), tmp_path, machine)
    taken = []
    assert same(train(again, taken.append, tmp_path, machine), stopped.state())
    assert taken == []


def test_checkpoints_of_other_settings_are_refused(tmp_path, machine):
    with pytest.raises(UserError, match="stopped"):
        train(supervised(machine), stopping(batches(), 3), tmp_path, machine)
    with pytest.raises(UserError, match="other settings") as caught:
        train(supervised(machine), batches(), tmp_path, machine, digest="another")
    assert caught.value.code == 65


def test_a_checkpoint_holds_weights_optimiser_and_average_alone(machine, tmp_path):
    update = adversarial(machine)
    train(update, gan_batches("biggan"), tmp_path, machine, steps=1)
    state = update.state()
    assert {name.split(".")[0] for name in state} == {
        "generator",
        "discriminator",
        "average",
        "generator_optimizer",
        "discriminator_optimizer",
    }
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert {name.split(".")[2] for name in state if "optimizer" in name} == {
        "step",
        "exp_avg",
        "exp_avg_sq",
    }
    assert not any("condition" in name for name in state)


# What is logged, watched and noticed


def test_metrics_are_repaired_before_rows_are_added(tmp_path, machine):
    with pytest.raises(UserError, match="stopped"):
        train(supervised(machine), stopping(batches(), 5), tmp_path, machine)
    log = tmp_path / "metrics.jsonl"
    kept = log.read_text()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6]
    log.write_text(
        kept + '{"step": 7, "label": 1}\nnot json\n[1]\n{"no": "step"}\n{"step": '
        '"x"}\n\0\0\0\n{"step": 8, "la'
    )
    train(supervised(machine), batches(), tmp_path, machine)
    assert log.read_text().startswith(kept)
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, STEPS + 1))
    assert all(
        set(row) == {"step", "label"} and math.isfinite(row["label"]) for row in rows(tmp_path)
    )


def test_a_long_run_logs_at_most_a_few_hundred_rows_and_its_last_step(tmp_path, machine):
    class Counter:
        def begin(self, step):
            pass

        def __call__(self, batch, step):
            return {"loss": torch.tensor(float(step))}

        def state(self):
            return {}

        def align(self):
            pass

    watched = []
    train(Counter(), lambda step: None, tmp_path, machine, steps=401, watch=watched.append)
    logged = [row["step"] for row in rows(tmp_path)]
    assert logged == [*range(2, 401, 2), 401]
    assert [row["loss"] for row in rows(tmp_path)] == [step - 1 for step in logged]
    assert watched == [*range(40, 401, 40)]


def test_what_a_watch_finds_ends_training_in_all_processes_and_is_not_saved(
    tmp_path, machine, monkeypatch
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # after every step

    def watch(step: int) -> None:
        if step == 6:
            raise UserError("nothing is learnt", 70, "do otherwise")

    first, other = machine.alone(), machine.alone()
    said = []
    monkeypatch.setattr(
        first, "agree", lambda *flags: said.append(flags) or list(flags), raising=False
    )
    with pytest.raises(UserError, match=r"^nothing is learnt$") as caught:
        train(
            supervised(machine, steps=20),
            batches(),
            tmp_path / "first",
            first,
            steps=20,
            watch=watch,
        )
    assert (caught.value.code, caught.value.hint) == (70, "do otherwise")
    assert [code for _, _, code in said] == [0] * 5 + [70]
    assert "step-00000006" not in {
        path.name for path in (tmp_path / "first" / "checkpoints").iterdir()
    }

    other.rank, heard, looked = 1, iter(said), []
    monkeypatch.setattr(other, "agree", lambda *flags: list(next(heard)), raising=False)
    with pytest.raises(UserError, match="stopped at step 6: the first process says why") as caught:
        train(
            supervised(machine, steps=20),
            batches(),
            tmp_path / "other",
            other,
            steps=20,
            watch=looked.append,
        )
    assert caught.value.code == 70
    assert looked == []


@pytest.mark.parametrize(("steps", "bad"), [(20, 6), (1000, 7)])
def test_a_loss_that_is_not_finite_stops_with_its_step_and_is_not_saved(
    tmp_path, machine, monkeypatch, steps, bad
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    made = batches()

    def broken(step: int):
        inputs, labels = made(step)
        return (inputs * math.nan if step == bad else inputs), labels

    with pytest.raises(
        UserError, match=f"test: the loss is not finite at step {bad + 1} "
    ) as caught:
        train(supervised(machine, steps=steps), broken, tmp_path, machine, steps=steps)
    assert caught.value.code == 70
    assert f"step-{bad:08d}" in str(caught.value), "the last good checkpoint is named"
    assert "learning rate" in caught.value.hint
    saved = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert saved == {f"step-{bad - 1:08d}", f"step-{bad:08d}"}
    assert all(math.isfinite(row["label"]) for row in rows(tmp_path))


def test_the_first_bad_step_is_named_where_losses_are_looked_at_rarely(tmp_path, machine):
    class Diverging:
        def begin(self, step):
            pass

        def __call__(self, batch, step):
            return {
                "good": torch.tensor(1.0),
                "bad": torch.tensor(math.inf if step in (123, 126) else 1.0),
            }

    with pytest.raises(UserError, match=r"at step 124 \(last good checkpoint: none\)"):
        train(Diverging(), lambda step: None, tmp_path, machine, steps=10_000)


def test_another_machine_goes_on_with_a_warning(tmp_path, machine, capsys):
    with pytest.raises(UserError, match="stopped"):
        train(supervised(machine), stopping(batches(), 3), tmp_path, machine)
    other = machine.alone()
    other.num_processes = 1
    other.precision = "bf16"
    train(supervised(machine), batches(), tmp_path, other)
    assert "not bit-identically: precision fp32 -> bf16" in capsys.readouterr().err
