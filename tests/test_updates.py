"""The two kinds of step, by hand."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from tiny import adversarial, gan_batches
from torch import nn

from cgankd.data import images
from cgankd.data.gan_batches import DiscriminatorBatch, GanBatch
from cgankd.preset import Training
from cgankd.training.updates import Supervised, learning_rate_factor, make_optimizer

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
    update.begin(6)
    assert update.optimizer.param_groups[0]["lr"] == pytest.approx(
        0.2 * 0.5 * (1 + math.cos(math.pi * 0.75))
    )


CPU = torch.device("cpu")


def test_optimisers_are_made_with_their_settings():
    parameters = [nn.Parameter(torch.zeros(2))]
    sgd = make_optimizer(
        parameters, Training(steps=1, learning_rate=0.3, momentum=0.7, weight_decay=0.01), CPU
    )
    assert isinstance(sgd, torch.optim.SGD)
    assert [sgd.defaults[key] for key in ("lr", "momentum", "weight_decay", "nesterov")] == [
        0.3,
        0.7,
        0.01,
        False,
    ]
    adam = make_optimizer(
        parameters, Training(steps=1, optimizer="adam", learning_rate=1e-3, betas=[0.5, 0.99]), CPU
    )
    assert type(adam) is torch.optim.Adam
    assert adam.defaults["betas"] == (0.5, 0.99)


# One adversarial step


def gan_batch(discriminator_steps: int = 1, num: int = 6) -> GanBatch:
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


Z = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
JUDGED = [2, 0, 1, 2, 0, 1]  # as what a `gan_batch` has its fakes judged


@pytest.mark.parametrize("loss", ["hinge", "vanilla"])
def test_a_step_reports_the_weighted_losses_and_moves_both_networks(machine, loss):
    cost = {"hinge": lambda score: F.relu(1 - score), "vanilla": lambda score: F.softplus(-score)}
    update = adversarial(machine, flip=False, diffaugment=[], loss=loss)
    twin = adversarial(machine, flip=False, diffaugment=[])
    made = gan_batch()
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
    torch.optim.Adam(twin.discriminator.parameters(), 1e-3, (0.0, 0.9), fused=True).step()
    scores = twin.discriminator(twin.generator(torch.randn(6, 4), made.labels), made.labels)
    expected = -scores.mean() if loss == "hinge" else cost[loss](scores).mean()
    assert losses["generator"].item() == pytest.approx(expected.item(), rel=1e-5)
    twin.generator.zero_grad()
    expected.backward()
    torch.optim.Adam(twin.generator.parameters(), 2e-3, (0.0, 0.9), fused=True).step()
    for network, other in (
        (update.generator, twin.generator),
        (update.discriminator, twin.discriminator),
    ):
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, other.state_dict()[name], msg=name)


def test_the_discriminator_steps_once_per_batch_of_its_own_and_the_generator_once(machine):
    update = adversarial(machine)
    for step in range(3):
        update(gan_batch(discriminator_steps=4), step)
    counts = {
        name: value.item() for name, value in update.state().items() if name.endswith(".step")
    }
    assert {value for name, value in counts.items() if name.startswith("discriminator")} == {12}
    assert {value for name, value in counts.items() if name.startswith("generator")} == {3}


def test_the_discriminator_has_gradients_again_after_the_generators_step(machine):
    update = adversarial(machine)
    update(gan_batch(), 0)
    assert all(parameter.requires_grad for parameter in update.discriminator.parameters())
    assert not any(parameter.requires_grad for parameter in update.condition.parameters())


@pytest.mark.parametrize("name", ["biggan", "sngan"])
def test_the_average_moves_by_its_decay_and_copies_buffers(machine, name):
    update = adversarial(machine, name, ema_decay=0.75, ema_start=2)
    made = gan_batches(name)
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
    monkeypatch.setattr(images, "flip", lambda images: flipped.append(len(images)) or images)
    adversarial(machine, flip=False, diffaugment=[])(gan_batch(), 0)
    assert flipped == []
    adversarial(machine, flip=True, diffaugment=[])(gan_batch(discriminator_steps=2), 0)
    assert flipped == [6, 6]


def test_a_state_that_comes_back_lies_in_memory_as_its_weight_does(machine):
    """A fused step reads both side by side: another order would be wrong without an error."""
    update, again = adversarial(machine), adversarial(machine)
    update(gan_batch(), 0)
    again.load({name: value.clone().contiguous() for name, value in update.state().items()})
    for made in (update, again):
        torch.manual_seed(1)
        made(gan_batch(), 1)
    expected = update.state()
    assert all(torch.equal(value, expected[name]) for name, value in again.state().items())


def test_for_diversity_a_generator_step_draws_pairs_of_labels_and_says_how_alike_they_are(
    machine, monkeypatch
):
    update = adversarial(machine, diffaugment=[], diversity=2.0, variance=100.0)
    drawn = []
    draw = update._draw
    monkeypatch.setattr(
        update, "_draw", lambda *given: drawn.append((given[1], draw(*given))) or drawn[-1][1]
    )
    losses = update(gan_batch(num=5), 0)
    labels, (images, _) = drawn[-1]
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    one, other = images.chunk(2)
    found = (one - other).square().mean().item() / 2
    assert 0 < found < 4
    assert losses["alike"].item() == pytest.approx(2 * (1 - found / 100), rel=1e-6)
    assert "alike" not in adversarial(machine)(gan_batch(), 0)


def test_reused_fakes_are_those_of_the_last_discriminator_step_whose_gradients_reach_the_generator(
    machine, monkeypatch
):
    update = adversarial(machine, diffaugment=[], flip=False, reuse_fakes=True)
    before = copy.deepcopy(update.generator)
    drawn, judged = [], []
    monkeypatch.setattr(torch, "randn", lambda *size, **_: drawn.append(Z[: size[0]]) or Z)
    update.discriminator.register_forward_hook(lambda _, given, scores: judged.append(given))
    batch = gan_batch(discriminator_steps=2)
    losses = update(batch, 0)
    assert len(drawn) == 2  # a discriminator step each, and none of the generator's own
    (_, _), (seen, seen_as), (learnt, learnt_as) = judged
    torch.testing.assert_close(learnt, seen[6:])
    labels = batch.discriminator_batches[-1].fake_labels
    assert (learnt_as.tolist(), seen_as[6:].tolist()) == (labels.tolist(), JUDGED)
    # By hand: of the same fakes, by the discriminator as it stands now; in training its singular
    # vectors would move once more.
    before(Z, batch.discriminator_batches[0].fake_labels)
    loss = -update.discriminator.eval()(before(Z, labels), labels).mean()
    torch.testing.assert_close(losses["generator"], loss.detach())
    loss.backward()
    for name, weight in update.generator.named_parameters():
        gradient = update.generator_optimizer.state[weight]["exp_avg"]  # its first beta is 0
        expected = before.get_parameter(name).grad
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6, msg=name)


def test_reused_fakes_come_in_pairs_where_diversity_asks_for_them(machine, monkeypatch):
    update = adversarial(machine, diversity=2.0, variance=100.0, reuse_fakes=True)
    drawn = []
    draw = update._draw
    monkeypatch.setattr(update, "_draw", lambda *given: drawn.append(given[1]) or draw(*given))
    losses = update(gan_batch(discriminator_steps=2), 0)
    assert [labels.tolist() for labels in drawn] == [[1, 2, 0, 1, 2, 0]] * 2
    assert losses["alike"].item() > 0


def test_diversity_makes_the_generator_draw_images_that_differ_more(machine):
    def spread(diversity: float) -> float:
        update = adversarial(
            machine, diffaugment=[], diversity=diversity, variance=1.0, ema_start=99
        )
        for step in range(12):
            torch.manual_seed(step)
            update(gan_batch(), step)
        torch.manual_seed(0)
        return update.average(torch.randn(64, 4), torch.zeros(64).long()).var(0).mean().item()

    assert spread(10.0) > 1.5 * spread(0.0)


def test_the_auxiliary_term_is_the_squared_error_of_the_label_that_is_read(machine):
    def read(fakes):
        read_in.append(fakes.detach())
        return fakes.mean((1, 2, 3))[:, None]

    read_in = []
    plain = adversarial(machine, "sngan")
    update = adversarial(machine, "sngan", auxiliary=20.0, read=read)
    batch = gan_batches("sngan")(0)
    torch.manual_seed(1)
    expected = plain(batch, 0)
    torch.manual_seed(1)
    found = update(batch, 0)
    assert set(found) - set(expected) == {"label"}
    assert found["generator"] == expected["generator"], "before either generator has moved"

    # In the images as the generator draws them: the discriminator alone sees them changed.
    again = adversarial(machine, "sngan")
    drawn = []
    again.generator.register_forward_hook(lambda _, given, fakes: drawn.append(fakes.detach()))
    torch.manual_seed(1)
    again(batch, 0)
    torch.testing.assert_close(read_in, drawn[-1:])
    error = drawn[-1].mean((1, 2, 3)) - batch.labels
    assert found["label"].item() == pytest.approx(20 * error.square().mean().item(), rel=1e-5)
    weights = [network.generator.state_dict() for network in (plain, update)]
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_labels_read_at_every_third_step_weigh_three_times_as_much(machine):
    def read(fakes):
        return fakes.mean((1, 2, 3))[:, None]

    def losses(every: int, step: int) -> dict[str, torch.Tensor]:
        update = adversarial(machine, "sngan", auxiliary=2.0, auxiliary_every=every, read=read)
        torch.manual_seed(1)
        return update(gan_batches("sngan")(0), step)

    assert [step for step in range(7) if "label" in losses(3, step)] == [2, 5]
    assert all("label" in losses(1, step) for step in range(2))
    assert losses(3, 2)["label"].item() == pytest.approx(3 * losses(1, 2)["label"].item())
