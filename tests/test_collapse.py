"""The watch over a GAN: what it keeps, when it stops the training and with which words."""

import json

import pytest
import tiny
import torch
import toy

from cgankd import runs
from cgankd.errors import UserError
from cgankd.models import make_network
from cgankd.models.biggan import BigGanDiscriminator, BigGanGenerator
from cgankd.models.saved import load_network
from cgankd.stages import train_gan
from cgankd.training import updates
from cgankd.training.collapse import CollapseWatch, Signs
from cgankd.training.machine import Machine

CPU = torch.device("cpu")
TINY = {"name": "biggan", "size": 8, "latent": 4, "width": 1, "num_classes": 3}
HEALTHY = Signs(0.8, 0.5)


# What is kept, and what stops


@pytest.fixture
def watch(tmp_path):
    """A watch over 100 steps, to be asked about a step whose fakes vary so much and whose tenth had
    such losses.
    """
    watched, average = CollapseWatch(tmp_path, steps=100, ema_start=20), make_network(TINY)

    def ask(
        step: int,
        variance: float | None = 0.8,
        contrast: float = 0.5,
        losses: tuple[float, ...] = (1.0,) * 10,
    ) -> None:
        rows = [
            {"step": step - len(losses) + 1 + index, "discriminator": loss}
            for index, loss in enumerate(losses)
        ]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        watched(step, Signs(variance, contrast), average, TINY)

    return ask


def test_a_healthy_average_is_kept_with_its_step(watch, tmp_path):
    for step in (10, 40):
        watch(step)
        assert runs.read_json(tmp_path / "healthy-step.json") == {"step": step}
    assert isinstance(load_network(tmp_path, "healthy", CPU), BigGanGenerator)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"variance": 0.0098}, r"vary 0.0098 times as much as real images \(floor: 0.01\)"),
        ({"contrast": 0.9e-5}, r"dead: its scores .* differ by 9e-06 at most"),
        (
            {"losses": (0.0009,) * 9 + (0.0,)},
            "loss has been below 0.001 for a tenth of the run, last 0",
        ),
    ],
)
def test_a_collapsed_gan_is_stopped_with_its_figure_what_is_kept_and_what_to_do(
    watch, tmp_path, asked, words
):
    watch(40)
    with pytest.raises(UserError, match=f"gan: collapsed by step 50: .*{words}") as caught:
        watch(50, **asked)
    assert caught.value.code == 70
    assert str(caught.value).endswith(
        f"{tmp_path / 'healthy.safetensors'} holds the average of step 40"
    )
    assert all(
        word in caught.value.hint
        for word in ("diffaugment", "learning_rate", "discriminator_steps")
    )
    assert runs.read_json(tmp_path / "healthy-step.json") == {"step": 40}


@pytest.mark.parametrize(
    "asked",
    [
        {"variance": 0.0101},
        {"variance": None},
        {"contrast": 1.1e-5},
        {"losses": (0.0,) * 9 + (0.0011,)},
        {"losses": ()},
    ],
)
def test_what_is_just_not_collapsed_goes_on(watch, tmp_path, asked):
    watch(50, **asked)
    assert runs.read_json(tmp_path / "healthy-step.json") == {"step": 50}


def test_losses_of_earlier_tenths_and_broken_rows_do_not_count(tmp_path):
    rows = [{"step": step, "discriminator": 1.0 if step <= 40 else 0.0} for step in range(1, 51)]
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 50, "cri'
    )
    with pytest.raises(UserError, match="no step before was healthy"):
        CollapseWatch(tmp_path, steps=100, ema_start=0)(50, HEALTHY, make_network(TINY), TINY)


def test_a_young_gan_is_not_judged_and_not_called_healthy(watch, tmp_path):
    for step in (10, 20, 30):
        watch(step, variance=0.0)
    assert not (tmp_path / "healthy.safetensors").exists()
    late = CollapseWatch(tmp_path, steps=100, ema_start=60)
    late(60, Signs(0.0, 0.5), make_network(TINY), TINY)
    with pytest.raises(UserError, match="by step 61"):
        late(61, Signs(0.0, 0.5), make_network(TINY), TINY)


def test_weights_that_are_not_finite_do_not_replace_healthy_ones(watch, tmp_path):
    watch(40)
    before, broken = (tmp_path / "healthy.safetensors").read_bytes(), make_network(TINY)
    with torch.no_grad():
        broken.last.bias[0] = float("nan")
    with pytest.raises(UserError, match=r"last\.bias is not finite"):
        CollapseWatch(tmp_path, steps=100, ema_start=20)(50, HEALTHY, broken, TINY)
    assert (tmp_path / "healthy.safetensors").read_bytes() == before
    assert runs.read_json(tmp_path / "healthy-step.json") == {"step": 40}


# In training


@pytest.fixture
def steps_done(monkeypatch):
    """The number of steps that a GAN has taken, as its last item."""
    done, step_of = [0], updates.Adversarial.__call__

    def counted(self, batch, step):
        done.append(step + 1)
        return step_of(self, batch, step)

    monkeypatch.setattr(updates.Adversarial, "__call__", counted)
    return done


@pytest.fixture
def deaf_after_ten(monkeypatch, steps_done):
    """From the eleventh step on the generator ignores z."""
    draw = BigGanGenerator.forward
    monkeypatch.setattr(
        BigGanGenerator,
        "forward",
        lambda self, z, condition: draw(self, z * (steps_done[-1] <= 10), condition),
    )


def train(root, *changes: str, kind: str = "digits", side: int = 8) -> None:
    sizes = [f"data.size={side}", "gan.discriminator_steps=1"]
    train_gan.run(toy.job(kind, root, *sizes, *changes), Machine("cpu"))


def test_a_generator_that_ignores_z_is_stopped_and_the_average_from_before_stands(
    tmp_path, deaf_after_ten, steps_done
):
    with pytest.raises(
        UserError, match=r"collapsed by step 12: .* vary 0 times .* average of step 10$"
    ) as caught:
        train(tmp_path)
    assert caught.value.code == 70
    assert steps_done[-1] == 12
    assert runs.read_json(tmp_path / "gan" / "healthy-step.json") == {"step": 10}
    steps_done.append(10)
    z = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
    kept = load_network(tmp_path / "gan", "healthy", CPU)(z, torch.full((10,), 3))
    assert kept.var(0).mean() > 1e-3
    assert not runs.read_json(tmp_path / "gan" / "gan.json")["finished"]


def test_a_discriminator_that_is_blind_to_images_is_stopped(tmp_path, monkeypatch, steps_done):
    judge = BigGanDiscriminator.forward

    def blind(self, images, condition):
        return judge(self, images * (steps_done[-1] <= 14), condition)

    monkeypatch.setattr(BigGanDiscriminator, "forward", blind)
    words = r"collapsed by step 16: the discriminator is dead: .* average of step 14$"
    with pytest.raises(UserError, match=words) as caught:
        train(tmp_path)
    assert "gan.discriminator_learning_rate" in caught.value.hint


def test_a_run_that_was_cut_collapses_where_the_whole_one_does(
    tmp_path, deaf_after_ten, steps_done, monkeypatch, heard_signals
):
    def kept(root):
        return {path.name: path.read_bytes() for path in sorted((root / "gan").glob("healthy*"))}

    with pytest.raises(UserError, match="collapsed") as whole:
        train(tmp_path / "whole")
    steps_done.append(0)
    tiny.stop_gan_after(monkeypatch, 9, 11)
    for stop in (9, 11):
        with pytest.raises(UserError, match=f"stopped at step {stop} of 24"):
            train(tmp_path / "cut")
    with pytest.raises(UserError, match="collapsed") as cut:
        train(tmp_path / "cut")
    assert str(cut.value) == str(whole.value).replace("whole", "cut")
    assert kept(tmp_path / "cut") == kept(tmp_path / "whole")
    assert len(kept(tmp_path / "cut")) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "side", "changes", "architecture"),
    [
        (
            "digits",
            16,
            ["gan.shared=4", "gan.attention=8", "gan.latent=9"],
            {
                "name": "biggan",
                "latent": 9,
                "num_classes": 10,
                "shared": 4,
                "attention": 8,
                "tapered": True,
            },
        ),
        ("digits-angle", 8, [], {"name": "sngan", "latent": 6, "embedding": 16, "grey": True}),
    ],
)
def test_a_healthy_gan_is_not_stopped_and_ends_as_one_generator(
    tmp_path, kind, side, changes, architecture
):
    train(tmp_path, *changes, kind=kind, side=side)
    assert runs.read_json(tmp_path / "gan" / "gan.json")["finished"]
    assert runs.read_json(tmp_path / "gan" / "generator.json") == {
        **architecture,
        "size": side,
        "width": 1,
    }
    assert not list((tmp_path / "gan").glob("healthy*"))
    z = torch.randn(10, architecture["latent"], generator=torch.Generator().manual_seed(0))
    condition = torch.full((10,), 3) if kind == "digits" else torch.full((10, 16), 0.3)
    assert load_network(tmp_path / "gan", "generator", CPU)(z, condition).var(0).mean() > 1e-3


@pytest.mark.slow
def test_what_is_trained_does_not_depend_on_being_watched(tmp_path, monkeypatch):
    train(tmp_path / "watched")
    fit = train_gan.fit
    monkeypatch.setattr(train_gan, "fit", lambda *given, watch, **named: fit(*given, **named))
    train(tmp_path / "alone")
    assert not (tmp_path / "alone" / "gan" / "samples").exists()
    watched, alone = (
        tmp_path / name / "gan" / "generator.safetensors" for name in ("watched", "alone")
    )
    assert watched.read_bytes() == alone.read_bytes()
