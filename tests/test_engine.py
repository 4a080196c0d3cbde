"""The training loop: resumed is whole, bit for bit; steps by hand; what stops it and what it
leaves.
"""

import json
import math
import signal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cgankd.data.batches import Batches, Images, ProcessSlice
from cgankd.data.gan_batches import ClassGanBatches, DiscriminatorBatch, GanBatch
from cgankd.data.vicinity import ByLabel, VicinalGanBatches, make_vicinity
from cgankd.errors import UserError
from cgankd.methods.nokd import Nokd
from cgankd.models import GANS, make_network
from cgankd.preset import Training, Width
from cgankd.task import Classification, Regression
from cgankd.training import loop
from cgankd.training.loop import fit
from cgankd.training.machine import Machine
from cgankd.training.session import Session
from cgankd.training.updates import Adversarial, Supervised, learning_rate_factor, make_optimizer

pytestmark = pytest.mark.usefixtures("heard_signals")
TASK = Classification(["a", "b", "c"])
STEPS = 10


@pytest.fixture(scope="module")
def machine():
    return Machine("cpu")


def images(num: int = 30, side: int = 8) -> Images:
    draws = torch.Generator().manual_seed(0)
    return Images(
        torch.randint(256, (num, 3, side, side), dtype=torch.uint8, generator=draws),
        torch.arange(num) % 3,
    )


def supervised(machine: Machine, **training) -> Supervised:
    torch.manual_seed(1)
    network = make_network(
        {
            "name": "cnn",
            "trunk": "resnet8_x0_125",
            "side": 8,
            "outputs": 3,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
        }
    )
    network.head = nn.Sequential(nn.Dropout(0.5), network.head)
    settings = {"steps": STEPS, "weight_decay": 1e-3, "augment": ["crop", "flip"], **training}
    return Supervised(machine, Nokd(TASK, network), Training(**settings))


def adversarial(machine: Machine, name: str = "biggan", shared: int = 0, **changes) -> Adversarial:
    """A tiny GAN for 8x8; a BigGAN with an embedding of width `shared` is for 16x16 and has
    attention.
    """
    torch.manual_seed(2)
    _, make_discriminator = GANS[name]
    sizes = {"size": 16, "attention": 8} if shared else {"size": 8}
    sizes |= {"num_classes": 3} if name == "biggan" else {"embedding": 32}
    condition = (
        {"name": "class-index", "num_classes": 3}
        if name == "biggan"
        else {"name": "label-embedding", "size": 32}
    )
    options = {
        "loss": "hinge",
        "learning_rate": 2e-3,
        "discriminator_learning_rate": 1e-3,
        "betas": (0.0, 0.9),
        "flip": True,
        "ema_decay": 0.9,
        "diffaugment": ["color", "translation", "cutout"],
        "ema_start": 4,
        **changes,
    }
    more = {"latent": 6, "shared": shared} if shared else {"latent": 4}
    generator = make_network({"name": name, "width": 1, **sizes, **more})
    discriminator = make_discriminator(width=1, **sizes)
    return Adversarial(machine, generator, discriminator, make_network(condition), **options)


def batches(size: int = 8) -> Batches:
    return Batches(images(), size, seed=0, stream="test", process=ProcessSlice())


def rounds(name: str, side: int = 8):
    if name == "biggan":
        return ClassGanBatches(images(side=side), 4, 2, TASK, seed=0, process=ProcessSlice())
    continuous = Images(images().pixels, torch.linspace(0, 1, 30))
    by_label = ByLabel(continuous, Regression(0, 1, ""))
    vicinity = make_vicinity(Width(), by_label.values)
    return VicinalGanBatches(by_label, vicinity, 4, 2, sigma=None, seed=0, process=ProcessSlice())


CASES = {
    "sgd": (lambda machine: supervised(machine), batches),
    "adam": (lambda machine: supervised(machine, optimizer="adam", learning_rate=1e-3), batches),
    "biggan": (lambda machine: adversarial(machine, "biggan"), lambda: rounds("biggan")),
    "biggan with attention": (
        lambda machine: adversarial(machine, shared=4),
        lambda: rounds("biggan", 16),
    ),
    "sngan": (lambda machine: adversarial(machine, "sngan"), lambda: rounds("sngan")),
    "sagan": (lambda machine: adversarial(machine, "sagan"), lambda: rounds("sngan")),
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


LONG = ("biggan with attention", "sagan")


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
    train(update, rounds("biggan"), tmp_path, machine, steps=1)
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


# One supervised step by hand


class Line(nn.Module):
    """(w x - y)^2 and a constant term."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))

    def forward(self, x, y):
        return {"square": ((self.w * x - y) ** 2).mean(), "prior": 0.5 * self.w}


def test_a_step_of_sgd_follows_the_sum_of_the_terms(machine):
    training = Training(
        steps=4, learning_rate=0.1, momentum=0.5, weight_decay=0.25, schedule="constant"
    )
    update = Supervised(machine, Line(), training)
    batch = torch.tensor([1.0, 3.0]), torch.tensor([1.0, 5.0])
    losses = update(batch, 0)
    assert {name: value.item() for name, value in losses.items()} == {"square": 1.0, "prior": 1.0}
    # gradient: mean of 2 x (w x - y) = (2 * 1 * 1 + 2 * 3 * 1) / 2 = 4, prior 0.5, decay 0.25 * 2
    first = 4 + 0.5 + 0.5
    assert update.objective.w.item() == pytest.approx(2 - 0.1 * first)
    update(batch, 1)
    w = 2 - 0.1 * first
    gradient = (2 * 1 * (w - 1) + 2 * 3 * (3 * w - 5)) / 2 + 0.5 + 0.25 * w
    assert update.objective.w.item() == pytest.approx(w - 0.1 * (0.5 * first + gradient), rel=1e-5)


def test_what_needs_no_gradient_is_left_alone(machine):
    objective = Line()
    objective.frozen = nn.Parameter(torch.tensor(1.0), requires_grad=False)
    update = Supervised(machine, objective, Training(steps=1, weight_decay=1.0))
    update((torch.ones(1), torch.ones(1)), 0)
    assert objective.frozen.item() == 1.0
    assert len(update.parameters) == 1


def test_the_learning_rate_follows_its_schedule():
    def factors(**settings) -> list[float]:
        return [learning_rate_factor(Training(steps=8, **settings), step) for step in range(8)]

    assert factors(schedule="constant") == [1.0] * 8
    expected = [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert factors(schedule="cosine") == pytest.approx(expected, abs=1e-6)
    steps = factors(schedule="steps", milestones=[0.25, 0.75])
    assert steps == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_the_learning_rate_of_a_step_does_not_depend_on_resuming(machine):
    update = Supervised(machine, Line(), Training(steps=8, learning_rate=0.2))
    update((torch.ones(1), torch.ones(1)), 6)
    assert update.optimizer.param_groups[0]["lr"] == pytest.approx(
        0.2 * 0.5 * (1 + math.cos(math.pi * 0.75))
    )


def test_optimisers_are_made_with_their_settings():
    parameters = [nn.Parameter(torch.zeros(2))]
    sgd = make_optimizer(
        parameters, Training(steps=1, learning_rate=0.3, momentum=0.7, weight_decay=0.01)
    )
    assert isinstance(sgd, torch.optim.SGD)
    assert [sgd.defaults[key] for key in ("lr", "momentum", "weight_decay", "nesterov")] == [
        0.3,
        0.7,
        0.01,
        False,
    ]
    adam = make_optimizer(
        parameters, Training(steps=1, optimizer="adam", learning_rate=1e-3, betas=[0.5, 0.99])
    )
    assert type(adam) is torch.optim.Adam
    assert adam.defaults["betas"] == (0.5, 0.99)


# One adversarial step


def a_round(discriminator_steps: int = 1, num: int = 6) -> GanBatch:
    labels, made = torch.arange(num) % 3, []
    for part in range(discriminator_steps):
        real = torch.rand(num, 3, 8, 8, generator=torch.Generator().manual_seed(part)) * 2 - 1
        weights, fake_weights = torch.linspace(0.5, 1, num), torch.linspace(1, 0.25, num)
        made.append(
            DiscriminatorBatch(
                real, labels, (labels + 1) % 3, (labels + 2) % 3, weights, fake_weights
            )
        )
    return GanBatch(made, labels)


@pytest.mark.parametrize("loss", ["hinge", "vanilla"])
def test_a_step_reports_the_weighted_losses_and_moves_both_networks(machine, loss):
    cost = {"hinge": lambda score: F.relu(1 - score), "vanilla": lambda score: F.softplus(-score)}
    update = adversarial(machine, flip=False, diffaugment=[], loss=loss)
    twin = adversarial(machine, flip=False, diffaugment=[])
    made = a_round()
    torch.manual_seed(3)
    losses = update(made, 0)

    torch.manual_seed(3)
    (batch,) = made.discriminator_batches
    fake = twin.generator(torch.randn(6, 4), batch.fake_labels).detach()
    judged = torch.cat([batch.labels, batch.judged_labels])
    real_scores, fake_scores = twin.discriminator(torch.cat([batch.images, fake]), judged).split(6)
    expected = (batch.weights * cost[loss](real_scores)).mean()
    expected = expected + (batch.fake_weights * cost[loss](-fake_scores)).mean()
    assert losses["discriminator"].item() == pytest.approx(expected.item(), rel=1e-6)
    expected.backward()
    torch.optim.Adam(twin.discriminator.parameters(), 1e-3, (0.0, 0.9)).step()
    scores = twin.discriminator(twin.generator(torch.randn(6, 4), made.labels), made.labels)
    expected = -scores.mean() if loss == "hinge" else cost[loss](scores).mean()
    assert losses["generator"].item() == pytest.approx(expected.item(), rel=1e-5)
    twin.generator.zero_grad()
    expected.backward()
    torch.optim.Adam(twin.generator.parameters(), 2e-3, (0.0, 0.9)).step()
    for network, other in (
        (update.generator, twin.generator),
        (update.discriminator, twin.discriminator),
    ):
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, other.state_dict()[name], msg=name)


def test_the_discriminator_steps_once_per_batch_of_its_own_and_the_generator_once(machine):
    update = adversarial(machine)
    for step in range(3):
        update(a_round(discriminator_steps=4), step)
    counts = {
        name: value.item() for name, value in update.state().items() if name.endswith(".step")
    }
    assert {value for name, value in counts.items() if name.startswith("discriminator")} == {12}
    assert {value for name, value in counts.items() if name.startswith("generator")} == {3}


def test_the_discriminator_has_gradients_again_after_the_generators_step(machine):
    update = adversarial(machine)
    update(a_round(), 0)
    assert all(parameter.requires_grad for parameter in update.discriminator.parameters())
    assert not any(parameter.requires_grad for parameter in update.condition.parameters())


@pytest.mark.parametrize("name", ["biggan", "sngan"])
def test_the_average_moves_by_its_decay_and_copies_buffers(machine, name):
    update = adversarial(machine, name, ema_decay=0.75, ema_start=2)
    made = rounds(name)
    for step in range(5):
        before = {key: value.clone() for key, value in update.average.state_dict().items()}
        update(made(step), step)
        parameters = dict(update.generator.named_parameters())
        assert len(parameters) > 5
        for key, value in update.average.state_dict().items():
            now = update.generator.state_dict()[key]
            if key in parameters and step >= 2:
                torch.testing.assert_close(value, 0.75 * before[key] + 0.25 * now)
            else:  # before its start the average is a copy, and buffers always are
                assert torch.equal(value, now), key
    assert not update.average.training
    assert any("running_mean" in key for key in before)
    z, labels = torch.randn(4, 4), torch.tensor([0, 1, 2, 0]) if name == "biggan" else torch.rand(4)
    assert not torch.equal(
        update.average(z, update.condition(labels)),
        update.generator.eval()(z, update.condition(labels)),
    )


def test_real_images_are_mirrored_only_where_asked(machine, monkeypatch):
    flipped = []
    monkeypatch.setattr(loop.images, "flip", lambda images: flipped.append(len(images)) or images)
    adversarial(machine, flip=False, diffaugment=[])(a_round(), 0)
    assert flipped == []
    adversarial(machine, flip=True, diffaugment=[])(a_round(discriminator_steps=2), 0)
    assert flipped == [6, 6]


# The machine


def test_an_absent_device_is_named():
    if torch.cuda.is_available():
        pytest.skip("has CUDA")
    with pytest.raises(UserError, match="--device cuda: no CUDA device") as caught:
        Machine("cuda")
    assert caught.value.code == 69


def test_facts_are_what_results_depend_on(machine):
    assert machine.facts == {
        "device": "cpu",
        "precision": "fp32",
        "processes": 1,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    assert machine.process == ProcessSlice(0, 1)
    assert machine.agree(False, True) == [False, True]
