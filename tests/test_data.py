"""Batches: permutations, shares of processes, and vicinities against a loop over all labels."""

import math

import numpy as np
import pytest
import torch

from cgankd.data import Batches, ClassRounds, Images, Mixed, Share, VicinalRounds, images_of, rule_of_thumb
from cgankd.errors import UserError
from cgankd.sources import Source
from cgankd.task import Classification, Regression

ALONE = Share()


def numbered(num: int) -> Images:
    """Images whose every pixel is their number."""
    pixels = torch.arange(num, dtype=torch.uint8).view(num, 1, 1, 1).expand(num, 3, 2, 2).contiguous()
    return Images(pixels, torch.arange(num))


def batches(num: int = 10, size: int = 4, seed: int = 0, share: Share = ALONE, stream: str = "x") -> Batches:
    return Batches(numbered(num), size, seed=seed, stream=stream, share=share)


# Images


def test_the_normalisation_is_mean_and_standard_deviation_of_each_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    pixels[:, 1] //= 2
    found = Images(torch.from_numpy(pixels), torch.arange(50)).normalisation()
    np.testing.assert_allclose(found["mean"], (pixels / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found["std"], (pixels / 255).std((0, 2, 3)), rtol=1e-9)


def test_a_channel_that_never_changes_does_not_divide_by_zero():
    assert Images(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.arange(4)).normalisation()["std"] == [1e-3] * 3


def test_images_add_up_in_order():
    both = numbered(3) + numbered(2)
    assert len(both) == 5
    assert both.labels.tolist() == both.pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1]


def test_labels_of_a_split_are_those_that_networks_take():
    rows = {"train": np.array([0, 2])}
    pixels = np.zeros((3, 3, 2, 2), np.uint8)
    degrees = images_of(Source(pixels, np.float32([9, 45, 90]), rows, {}), "train", Regression(0, 90, "degrees"))
    torch.testing.assert_close(degrees.labels, torch.tensor([0.1, 1.0]))
    classes = images_of(Source(pixels, np.int64([2, 1, 0]), rows, {}), "train", Classification(["a", "b", "c"]))
    assert classes.labels.dtype == torch.int64
    assert classes.labels.tolist() == [2, 0]


# Batches


def test_each_pass_shows_every_image_once_in_an_order_of_its_own():
    made = batches(num=10, size=4)
    rows = torch.cat([made.rows(step) for step in range(10)]).view(4, 10)  # four passes
    assert torch.equal(rows.sort(1).values, torch.arange(10).expand(4, 10))
    assert len({tuple(order) for order in rows.tolist()}) == 4


def test_a_batch_is_a_function_of_seed_stream_and_step_alone():
    made, again = batches(), batches()
    expected = [made.rows(step) for step in range(30)]
    for step in (29, 0, 13, 13, 2, 28):  # in any order, by a fresh process
        assert torch.equal(again.rows(step), expected[step])
    orders = [
        torch.cat([other.rows(step) for step in range(5)]) for other in (made, batches(seed=1), batches(stream="y"))
    ]
    assert not any(torch.equal(orders[a], orders[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("num", [2, 4])
def test_the_shares_of_all_processes_are_the_batch_of_one(num):
    for step in range(12):
        whole = batches(size=8).rows(step)
        parts = [batches(size=8, share=Share(rank, num)).rows(step) for rank in range(num)]
        assert torch.equal(torch.stack(parts, 1).flatten(), whole)


def test_a_batch_larger_than_the_data_repeats_images_evenly():
    counts = torch.bincount(batches(num=3, size=10).rows(7), minlength=3)
    assert counts.sum() == 10
    assert counts.max() - counts.min() <= 1 + 1  # parts of two passes at either end


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(UserError, match="batch of 9 cannot be shared evenly by 2") as caught:
        batches(size=9, share=Share(0, 2))
    assert caught.value.code == 2


def test_images_come_as_floats_with_their_own_labels():
    images, labels = batches(num=200, size=50)(3)
    torch.testing.assert_close(images, (labels.float() / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 3, 2, 2))


def test_mixed_batches_hold_fixed_numbers_of_each_part_in_order():
    real, fake = batches(size=3), batches(size=5, stream="fakes")
    images, labels = Mixed(real, fake)(4)
    assert torch.equal(labels, torch.cat([real(4)[1], fake(4)[1]]))
    assert torch.equal(images, torch.cat([real(4)[0], fake(4)[0]]))


# Rounds of class labels


def test_a_round_of_classes_has_real_images_for_each_critic_step_and_uniform_fake_classes():
    images = Images(numbered(40).pixels, torch.arange(40) % 4)
    rounds = ClassRounds(images, 8, 2, Classification(list("abcd")), seed=0, share=ALONE)
    plain = Batches(images, 8, seed=0, stream="gan", share=ALONE)
    made = [rounds(step) for step in range(100)]
    for step in (0, 7, 50):
        for part, critique in enumerate(made[step].critiques):
            real, labels = plain(2 * step + part)
            assert torch.equal(critique.images, real)
            assert torch.equal(critique.labels, labels)
            assert torch.equal(critique.fake_labels, critique.judged_labels)
            assert critique.weights.tolist() == critique.fake_weights.tolist() == [1.0] * 8
    fakes = torch.cat([critique.fake_labels for round in made for critique in round.critiques])
    assert len(fakes) == 1600
    assert (torch.bincount(fakes, minlength=4) - 400).abs().max() < 5 * math.sqrt(1600 * 0.25 * 0.75)
    assert not torch.equal(made[0].critiques[0].fake_labels, made[0].critiques[1].fake_labels)
    assert not torch.equal(made[0].labels, made[1].labels)


def shared(rounds, step: int) -> list[torch.Tensor]:
    made = rounds(step)
    parts = ("images", "labels", "fake_labels", "judged_labels", "weights", "fake_weights")
    return [getattr(critique, part) for critique in made.critiques for part in parts] + [made.labels]


@pytest.mark.parametrize("kind", ["classes", "hard", "soft"])
def test_the_rounds_of_two_processes_are_the_round_of_one(kind):
    def make(share: Share):
        if kind == "classes":
            images = Images(numbered(40).pixels, torch.arange(40) % 4)
            return ClassRounds(images, 8, 2, Classification(list("abcd")), seed=0, share=share)
        images = Images(numbered(40).pixels, torch.linspace(0, 1, 40))
        return VicinalRounds(images, 8, 2, kind=kind, sigma=None, gaps=2.0, seed=0, share=share)

    for step in (0, 5):
        parts = zip(shared(make(Share(0, 2)), step), shared(make(Share(1, 2)), step), strict=True)
        for whole, (even, odd) in zip(shared(make(ALONE), step), parts, strict=True):
            assert torch.equal(torch.stack([even, odd], 1).flatten(0, 1), whole)


# Rounds of a continuous label


@pytest.mark.parametrize(("per_label", "sigma"), [(25, 0.0473678), (15, 0.0524630), (5, 0.0653548)])
def test_the_rule_of_thumb_gives_the_published_widths(per_label, sigma):
    labels = (torch.arange(1, 900, 2, dtype=torch.float64) / 10 / 90).repeat(per_label)
    assert len(labels) == 450 * per_label
    assert rule_of_thumb(labels) == pytest.approx(sigma, abs=5e-8)
    images = Images(torch.zeros(len(labels), 3, 1, 1, dtype=torch.uint8), labels)
    rounds = VicinalRounds(images, 4, 1, kind="soft", sigma=None, gaps=2.0, seed=0, share=ALONE)
    assert rounds.sigma == pytest.approx(sigma, abs=5e-8)
    assert rounds.nu == pytest.approx(50_625, rel=1e-9)
    assert rounds.radius == pytest.approx(0.0116812, abs=5e-8)
    hard = VicinalRounds(images, 4, 1, kind="hard", sigma=0.1, gaps=2.0, seed=0, share=ALONE)
    assert (hard.sigma, hard.radius) == (0.1, pytest.approx(0.0044444, abs=5e-8))


def vicinal(kind: str, size: int = 64) -> VicinalRounds:
    """Rounds on random labels with a hole, whose pixels tell the label."""
    draws = np.random.default_rng(0)
    labels = np.concatenate([draws.uniform(0, 0.4, 60), draws.uniform(0.6, 1, 60), [0.8] * 10]).astype(np.float32)
    labels = labels[draws.permutation(len(labels))]
    pixels = np.rint(labels * 255).astype(np.uint8)[:, None, None, None].repeat(3, 1)
    images = Images(torch.from_numpy(pixels), torch.from_numpy(labels))
    return VicinalRounds(images, size, 1, kind=kind, sigma=None, gaps=0.3, seed=0, share=ALONE)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_the_vicinity_is_that_of_a_loop_over_all_labels(kind):
    rounds = vicinal(kind)
    labels = rounds.images.labels.double().tolist()
    kappa = 0.3 * max(b - a for a, b in zip(sorted(set(labels)), sorted(set(labels))[1:], strict=False))
    targets = torch.linspace(-0.3, 1.3, 300, dtype=torch.float64)
    low, high = rounds._range(targets)
    empty = 0
    for target, first, end in zip(targets.tolist(), low.tolist(), high.tolist(), strict=True):
        if kind == "hard":
            near = [row for row, label in enumerate(labels) if abs(label - target) <= kappa]
        else:
            near = [row for row, label in enumerate(labels) if math.exp(-((label - target) ** 2) / kappa**2) >= 1e-3]
        assert list(range(first, end)) == near
        empty += not near
    assert empty > 10, "the test covers empty vicinities"


def test_labels_at_the_very_edge_of_a_vicinity_belong_to_it():
    images = Images(torch.zeros(4, 3, 1, 1, dtype=torch.uint8), torch.tensor([0.0, 0.25, 0.5, 1.0]))
    rounds = VicinalRounds(images, 4, 1, kind="hard", sigma=None, gaps=0.5, seed=0, share=ALONE)
    assert rounds.radius == 0.25
    low, high = rounds._range(torch.tensor([0.25, 0.75, 1.25], dtype=torch.float64))
    assert (low.tolist(), high.tolist()) == ([0, 2, 3], [3, 4, 4])


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_vicinal_critique_is_what_its_definition_says(kind):
    rounds = vicinal(kind)
    kappa = rounds.nu**-0.5
    for step in range(20):
        (critique,) = rounds(step).critiques
        target, label = critique.labels.double(), critique.images[:, 0, 0, 0].double() / 2 + 0.5
        fake = critique.fake_labels.double()
        assert torch.equal(critique.labels, critique.judged_labels), "all are judged as the target"
        # real images come from the vicinity; pixels know their label to half a grey level
        assert ((label - target).abs() <= rounds.radius + 1 / 500).all()
        assert ((fake - target).abs() <= rounds.radius + 1e-6).all()
        assert ((fake >= 0) & (fake <= 1)).all()
        if kind == "hard":
            assert critique.weights.tolist() == critique.fake_weights.tolist() == [1.0] * 64
        else:
            expected = torch.exp(-(((fake - target) / kappa) ** 2)).float()
            torch.testing.assert_close(critique.fake_weights, expected, atol=1e-4, rtol=0)
            expected = torch.exp(-(((label - target) / kappa) ** 2)).float()
            torch.testing.assert_close(critique.weights, expected, atol=0.1, rtol=0)
            assert critique.weights.min() >= 1e-3 * 0.999


def test_weights_of_a_vicinity_are_a_gaussian_of_the_distance():
    rounds = vicinal("soft")
    labels, targets = torch.rand(50, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    expected = [math.exp(-rounds.nu * (a - b) ** 2) for a, b in zip(labels.tolist(), targets.tolist(), strict=True)]
    torch.testing.assert_close(rounds.weights(labels, targets), torch.tensor(expected, dtype=torch.float64))


def test_targets_are_uniform_over_distinct_labels_with_normal_noise():
    # ten images of 0.8 are one label among 121: it is drawn as often as any other
    rounds = vicinal("soft", size=20_000)
    chosen = rounds._choose(torch.Generator().manual_seed(0))
    assert len(rounds.targets) == 121
    counts = torch.bincount(torch.searchsorted(rounds.targets, chosen), minlength=121)
    assert (counts - 20_000 / 121).abs().max() < 5 * math.sqrt(20_000 / 121)
    noise = rounds._noisy(chosen, torch.Generator().manual_seed(1)) - chosen
    assert noise.std().item() == pytest.approx(rounds.sigma, rel=0.03)
    assert abs(noise.mean().item()) < 5 * rounds.sigma / math.sqrt(20_000)


def test_real_images_are_uniform_within_their_vicinity():
    labels = torch.tensor([0.0, 0.1, 0.5, 0.52, 0.54, 1.0])
    images = Images(torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 3, 1, 1), labels)
    rounds = VicinalRounds(images, 30_000, 1, kind="hard", sigma=1e-9, gaps=0.1, seed=0, share=ALONE)
    target, rows = rounds.vicinity(torch.Generator().manual_seed(0))
    middle = rows[(target - 0.52).abs() < 1e-6]  # its vicinity holds rows 2, 3 and 4
    counts = torch.bincount(middle, minlength=6)
    assert counts[[0, 1, 5]].tolist() == [0, 0, 0]
    assert (counts[2:5] - len(middle) / 3).abs().max() < 5 * math.sqrt(len(middle) * 2 / 9)


def test_empty_vicinities_are_drawn_again_with_the_same_label():
    labels = torch.tensor([0.0, 1.0])
    images = Images(torch.zeros(2, 3, 1, 1, dtype=torch.uint8), labels)
    rounds = VicinalRounds(images, 2000, 1, kind="hard", sigma=0.15, gaps=0.1, seed=0, share=ALONE)
    target, rows = rounds.vicinity(torch.Generator().manual_seed(0))
    assert ((rounds.labels[rows] - target).abs() <= 0.1).all()
    chosen = rounds._choose(torch.Generator().manual_seed(0))
    assert torch.equal(rounds.labels[rows], chosen), "0.15 is too little noise to reach the other label's vicinity"


def test_a_vicinal_round_is_a_function_of_seed_and_step_alone():
    first, again = vicinal("soft"), vicinal("soft")
    first(0)
    for step in (3, 1):
        assert all(torch.equal(a, b) for a, b in zip(shared(first, step), shared(again, step), strict=True))
    assert not torch.equal(first(1).labels, first(2).labels)


def test_a_single_distinct_label_is_refused():
    images = Images(torch.zeros(3, 3, 1, 1, dtype=torch.uint8), torch.full((3,), 0.5))
    with pytest.raises(UserError, match="distinct"):
        VicinalRounds(images, 4, 1, kind="soft", sigma=None, gaps=2.0, seed=0, share=ALONE)
