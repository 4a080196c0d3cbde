"""Vicinities and pairs: the published widths, and every draw against a loop over all images."""

import itertools
import math

import numpy as np
import pytest
import torch

from cgankd.data import vicinity
from cgankd.data.batches import Images, ProcessSlice
from cgankd.data.vicinity import (
    ByLabel,
    Pairs,
    VicinalGanBatches,
    make_vicinity,
    place_in,
    rule_of_thumb,
)
from cgankd.errors import UserError
from cgankd.preset import Width
from cgankd.randomness import generator
from cgankd.task import Regression

ALONE = ProcessSlice()
UNIT = Regression(0.0, 1.0, "")
KINDS = ["hard", "soft"]


def sorted_images(labels, task: Regression = UNIT) -> ByLabel:
    """Images whose every pixel is their row modulo 256, of float32 labels in [0, 1]."""
    labels = torch.as_tensor(labels, dtype=torch.float32)
    pixels = (
        (torch.arange(len(labels)) % 256)
        .to(torch.uint8)
        .view(-1, 1, 1, 1)
        .expand(-1, 3, 1, 1)
        .contiguous()
    )
    return ByLabel(Images(pixels, labels), task)


def uneven(seed: int = 0) -> torch.Tensor:
    """Random labels with a hole, some of them often, among them both ends."""
    draws = np.random.default_rng(seed)
    labels = np.concatenate(
        [draws.uniform(0, 0.4, 60), draws.uniform(0.6, 1, 60), [0.8] * 10, [0.0] * 3, [1.0] * 3]
    )
    return torch.from_numpy(draws.permutation(labels).astype(np.float32))


def gan_batches(
    labels, kind: str, size: int = 64, sigma: float | None = None, seed: int = 0, **width
) -> VicinalGanBatches:
    images = sorted_images(labels)
    made = make_vicinity(Width(kind=kind, **width), images.values)
    return VicinalGanBatches(images, made, size, 1, sigma=sigma, seed=seed, process=ALONE)


def near_by_loop(labels: list[float], target: float, kind: str, kappa: float) -> list[int]:
    """The rows of all images in the vicinity, as it is defined."""
    if kind == "hard":
        return [row for row, label in enumerate(labels) if abs(label - target) <= kappa]
    return [
        row
        for row, label in enumerate(labels)
        if math.exp(-((label - target) ** 2) / kappa**2) >= 1e-3
    ]


# Widths


@pytest.mark.parametrize(("per_label", "sigma"), [(25, 0.0473678), (15, 0.0524630), (5, 0.0653548)])
def test_the_rules_give_the_published_widths_though_labels_are_float32(per_label, sigma):
    angles = torch.tensor([tenths / 10 for tenths in range(1, 900, 2)]).repeat(per_label)
    task = Regression(0.0, 90.0, "degrees", 0.1)
    images = sorted_images(task.scale(angles), task)
    assert (len(images.labels), len(images.values)) == (450 * per_label, 450)
    soft, hard = (make_vicinity(Width(kind=kind), images.values) for kind in ("soft", "hard"))
    assert rule_of_thumb(images.labels) == pytest.approx(sigma, abs=5e-8)
    assert VicinalGanBatches(
        images, soft, 4, 1, sigma=None, seed=0, process=ALONE
    ).sigma == rule_of_thumb(images.labels)
    assert soft.nu == pytest.approx(50_625, rel=1e-9), "in float32 it would be 50,621.5"
    assert soft.radius == pytest.approx(0.0116812, abs=5e-8)
    assert hard.radius == pytest.approx(0.0044444, abs=5e-8)
    low, high = images.near(images.values[200:201], soft.radius)
    assert (high - low).item() == 11 * per_label


def test_a_width_of_its_own_takes_the_place_of_the_rule():
    values = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    assert make_vicinity(Width(kind="hard", kappa=0.03), values) == vicinity.Vicinity(0.03, 0.0)
    soft = make_vicinity(Width(nu=900.0), values)
    assert (soft.nu, soft.radius) == (
        900.0,
        pytest.approx(0.087609, abs=5e-7),
    )  # 5.2565 of 60 years
    assert make_vicinity(Width(kind="hard", gaps=0.5), values).radius == 0.25


def test_a_single_distinct_label_has_no_gaps():
    with pytest.raises(UserError, match="distinct"):
        gan_batches([0.5] * 3, "soft")


# The images of a vicinity


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_vicinity_is_that_of_a_loop_over_all_images(kind, seed):
    labels = uneven(seed)
    made = gan_batches(labels, kind, gaps=0.3)
    distinct = sorted(set(labels.tolist()))
    kappa = 0.3 * max(b - a for a, b in itertools.pairwise(distinct))
    targets = torch.linspace(-0.3, 1.3, 120, dtype=torch.float64)
    low, high = made.images.near(targets, made.vicinity.radius)
    found = [
        sorted(made.images.rows[a:b].tolist())
        for a, b in zip(low.tolist(), high.tolist(), strict=True)
    ]
    assert found == [
        near_by_loop(labels.tolist(), target, kind, kappa) for target in targets.tolist()
    ]
    assert [] in found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_is_what_a_loop_with_the_same_draws_finds(kind):
    labels = uneven()
    made, values = gan_batches(labels, kind, gaps=0.3, size=50), labels.tolist()
    kappa = made.vicinity.radius if kind == "hard" else made.vicinity.nu**-0.5
    for step in range(2):
        target, places, fake, weights, fake_weights = made.choose(step, 0)
        draws = generator(0, "gan labels", step, 0)
        distinct, chosen = (
            sorted(set(values)),
            torch.randint(len(set(values)), (50,), generator=draws),
        )
        noise = torch.randn(50, generator=draws, dtype=torch.float64)
        expected = [
            distinct[number] + made.sigma * eps
            for number, eps in zip(chosen, noise.tolist(), strict=True)
        ]
        while any(again := [not near_by_loop(values, one, kind, kappa) for one in expected]):
            noise = torch.randn(50, generator=draws, dtype=torch.float64).tolist()
            for row in np.flatnonzero(again):
                expected[row] = distinct[chosen[row]] + made.sigma * noise[row]
        np.testing.assert_allclose(target, expected, atol=1e-6)
        shares = torch.rand(50, generator=draws, dtype=torch.float64).tolist()
        uniform = torch.rand(50, generator=draws, dtype=torch.float64).tolist()
        for row, one in enumerate(expected):
            members = sorted(
                near_by_loop(values, one, kind, kappa), key=lambda member: (values[member], member)
            )
            image = members[int(shares[row] * len(members))]
            assert made.images.rows[places[row]] == image
            low, high = max(one - made.vicinity.radius, 0), min(one + made.vicinity.radius, 1)
            asked = low + (high - low) * uniform[row]
            assert fake[row].item() == pytest.approx(asked, abs=1e-6)
            by_hand = [
                math.exp(-(((of - one) / kappa) ** 2)) if kind == "soft" else 1
                for of in (values[image], asked)
            ]
            assert [weights[row], fake_weights[row]] == pytest.approx(by_hand, abs=1e-4)


def test_a_discriminator_batch_holds_what_was_drawn():
    made = gan_batches(uneven(), "soft")
    target, places, fake, weights, fake_weights = made.choose(3, 0)
    (batch,) = made(3).discriminator_batches
    torch.testing.assert_close(
        (batch.images[:, 0, 0, 0] + 1) * 127.5, made.images.rows[places].float()
    )
    assert torch.equal(batch.labels, target.float())
    assert batch.judged_labels is batch.labels, "all are judged as the target"
    assert torch.equal(batch.fake_labels, fake.float())
    assert torch.equal(batch.weights, weights.float())
    assert torch.equal(batch.fake_weights, fake_weights.float())


def test_labels_at_the_very_edge_of_a_vicinity_belong_to_it():
    made = gan_batches([0.0, 0.25, 0.5, 1.0], "hard", gaps=0.5)
    assert made.vicinity.radius == 0.25
    low, high = made.images.near(torch.tensor([0.25, 0.75, 1.25], dtype=torch.float64), 0.25)
    assert (low.tolist(), high.tolist()) == ([0, 2, 3], [3, 4, 4])


def test_targets_are_uniform_over_distinct_labels_with_normal_noise():
    # ten more images of 0.8 are one label among 101: it is drawn as often as any other
    labels = torch.cat([torch.arange(101) / 100, torch.full((10,), 0.8)])
    made = gan_batches(labels, "soft", size=20_000, sigma=1e-3)
    assert len(made.images.values) == 101
    for targets in (made(0).labels.double(), made.choose(0, 0)[0]):
        numbers = (targets * 100).round().long()  # a label is five deviations from a half
        counts = torch.bincount(numbers, minlength=101)
        assert (counts - 20_000 / 101).abs().max() < 5 * math.sqrt(20_000 / 101)
        noise = targets - numbers / 100
        assert noise.std().item() == pytest.approx(1e-3, rel=0.03)
        assert abs(noise.mean().item()) < 5 * 1e-3 / math.sqrt(20_000)
        inside = (noise.abs() < 1e-3).float().mean().item()
        assert inside == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.02), "as of a normal one"


def test_a_place_is_uniform_in_its_range_and_never_outside():
    low, high = (
        torch.tensor([2, 7]).repeat_interleave(9000),
        torch.tensor([5, 8]).repeat_interleave(9000),
    )
    counts = torch.bincount(place_in(low, high, torch.Generator().manual_seed(0)), minlength=10)
    assert counts[[0, 1, 5, 6, 8, 9]].tolist() == [0] * 6
    assert (counts[2:5] - 3000).abs().max() < 5 * math.sqrt(9000 * 2 / 9)
    assert counts[7] == 9000


def test_empty_vicinities_are_drawn_again_with_the_same_label():
    # of the noise about 0 a half meets an image, of that about 0.9 and 1 two thirds
    made = gan_batches([0.0, 0.9, 1.0], "hard", size=20_000, sigma=0.15, kappa=0.1)
    target, places = made.draw(torch.Generator().manual_seed(0))
    assert ((made.images.labels[places] - target).abs() <= 0.1 + 1e-6).all()
    share = (target < 0.5).double().mean().item()
    assert abs(share - 1 / 3) < 5 * math.sqrt(2 / 9 / 20_000), "other labels would make it 0.27"


def test_a_vicinity_that_noise_never_meets_names_its_label_instead_of_going_on_for_ever(
    monkeypatch,
):
    monkeypatch.setattr(vicinity, "MAX_REDRAWS", 50)
    with pytest.raises(
        UserError, match=r"no training image lies within 1e-20 .* label 0.5 plus noise"
    ) as caught:
        gan_batches([0.5, 0.5], "hard", sigma=0.1, kappa=1e-20)(0)
    assert caught.value.code == 2
    assert "gan.vicinity" in caught.value.hint


def test_a_gan_batch_is_a_function_of_seed_and_step_alone():
    first, again = gan_batches(uneven(), "soft"), gan_batches(uneven(), "soft")
    first(0)
    for step in (3, 1):
        assert all(
            torch.equal(a, b)
            for a, b in zip(first.choose(step, 0), again.choose(step, 0), strict=True)
        )
        assert torch.equal(first(step).labels, again(step).labels)
    assert not torch.equal(first(1).labels, first(2).labels)


# Pairs for the density ratio


def pairs(
    labels, size: int, process: ProcessSlice = ALONE, seed: int = 0, width: Width | None = None
) -> Pairs:
    images = sorted_images(labels)
    made = make_vicinity(width, images.values) if width else None
    return Pairs(images, made, size, seed=seed, process=process)


def test_targets_of_pairs_are_uniform_over_distinct_labels_and_images_over_those_of_the_target():
    labels = [0.25] * 9 + [0.5, 1.0, 1.0]
    images, targets, weights = pairs(labels, 24_000)(0)
    rows = ((images[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert torch.equal(torch.tensor(labels)[rows], targets), "always an image of the label itself"
    assert weights.unique().tolist() == [1.0]
    expected = torch.tensor([8000 / 9] * 9 + [8000] + [4000] * 2)
    assert ((rows.bincount() - expected).abs() < 5 * expected.sqrt()).all()


@pytest.mark.parametrize("width", [Width(kind="hard", gaps=2.0), Width(nu=30.0)], ids=KINDS)
def test_pairs_of_a_vicinity_have_its_images_at_the_targets_own_label(width):
    labels = torch.tensor([0.0, 0.1, 0.2, 0.2, 0.3, 0.6])
    made = pairs(labels, 6000, width=width)
    images, targets, weights = made(0)
    rows = ((images[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert set(targets.tolist()) == set(labels.tolist()), "a target has no noise"
    kappa = 2 * 0.3 if width.kind == "hard" else 30**-0.5
    for target in labels.unique():
        near = near_by_loop(labels.tolist(), target.item(), width.kind, kappa + 1e-7)
        counts = rows[targets == target].bincount(minlength=6)
        assert counts.nonzero().flatten().tolist() == near
        assert (counts[near] - counts.sum() / len(near)).abs().max() < 5 * math.sqrt(
            counts.sum() / len(near)
        )
    gaussian = torch.exp(-30 * (labels[rows] - targets) ** 2)
    torch.testing.assert_close(
        weights, gaussian if width.kind == "soft" else torch.ones(6000), atol=1e-5, rtol=0
    )
    tiny = pairs(labels, 64, width=Width(kind="hard", kappa=1e-20))
    assert torch.equal(tiny.low, tiny.images.starts[:-1]), (
        "1e-20 is the label itself, as in the published code"
    )


def test_pairs_are_a_function_of_seed_and_step_and_shared_among_processes():
    whole = [pairs(uneven(), 8, width=Width())(step) for step in range(4)]
    again = pairs(uneven(), 8, width=Width())
    for step in (3, 0, 2):
        assert all(torch.equal(a, b) for a, b in zip(again(step), whole[step], strict=True))
        parts = [
            pairs(uneven(), 8, process=ProcessSlice(rank, 2), width=Width())(step)
            for rank in range(2)
        ]
        for one, (even, odd) in zip(whole[step], zip(*parts, strict=True), strict=True):
            assert torch.equal(torch.stack([even, odd], 1).flatten(0, 1), one)
    assert not torch.equal(whole[0][1], whole[1][1])
    assert not torch.equal(pairs(uneven(), 8, seed=1, width=Width())(0)[1], whole[0][1])
    with pytest.raises(UserError, match="batch of 9 cannot be shared"):
        pairs(uneven(), 9, process=ProcessSlice(0, 2))
