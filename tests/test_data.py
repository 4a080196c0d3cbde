"""Batches: permutations and shares of processes."""

import math

import numpy as np
import pytest
import torch

from cgankd.data.batches import Batches, Images, Mixed, ProcessSlice, images_of
from cgankd.data.gan_batches import ClassGanBatches
from cgankd.data.vicinity import ByLabel, VicinalGanBatches, make_vicinity
from cgankd.errors import UserError
from cgankd.preset import Width
from cgankd.sources import Source
from cgankd.task import Classification, Regression

ALONE = ProcessSlice()


def numbered(num: int) -> Images:
    """Images whose every pixel is their number."""
    pixels = (
        torch.arange(num, dtype=torch.uint8).view(num, 1, 1, 1).expand(num, 3, 2, 2).contiguous()
    )
    return Images(pixels, torch.arange(num))


def batches(
    num: int = 10, size: int = 4, seed: int = 0, process: ProcessSlice = ALONE, stream: str = "x"
) -> Batches:
    return Batches(numbered(num), size, seed=seed, stream=stream, process=process)


# Images


def test_the_normalisation_is_mean_and_standard_deviation_of_each_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    pixels[:, 1] //= 2
    found = Images(torch.from_numpy(pixels), torch.arange(50)).normalisation()
    np.testing.assert_allclose(found["mean"], (pixels / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found["std"], (pixels / 255).std((0, 2, 3)), rtol=1e-9)


def test_a_channel_that_never_changes_does_not_divide_by_zero():
    assert (
        Images(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.arange(4)).normalisation()["std"]
        == [1e-3] * 3
    )


def test_images_add_up_in_order():
    both = numbered(3) + numbered(2)
    assert len(both) == 5
    assert both.labels.tolist() == both.pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1]


def test_labels_of_a_split_are_those_that_networks_take():
    rows = {"train": np.array([0, 2])}
    pixels = np.zeros((3, 3, 2, 2), np.uint8)
    degrees = images_of(
        Source(pixels, np.float32([9, 45, 90]), rows, {}), "train", Regression(0, 90, "degrees")
    )
    torch.testing.assert_close(degrees.labels, torch.tensor([0.1, 1.0]))
    classes = images_of(
        Source(pixels, np.int64([2, 1, 0]), rows, {}), "train", Classification(["a", "b", "c"])
    )
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
        torch.cat([other.rows(step) for step in range(5)])
        for other in (made, batches(seed=1), batches(stream="y"))
    ]
    assert not any(torch.equal(orders[a], orders[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("num", [2, 4])
def test_the_shares_of_all_processes_are_the_batch_of_one(num):
    for step in range(12):
        whole = batches(size=8).rows(step)
        parts = [batches(size=8, process=ProcessSlice(rank, num)).rows(step) for rank in range(num)]
        assert torch.equal(torch.stack(parts, 1).flatten(), whole)


def test_a_batch_larger_than_the_data_repeats_images_evenly():
    counts = torch.bincount(batches(num=3, size=10).rows(7), minlength=3)
    assert counts.sum() == 10
    assert counts.max() - counts.min() <= 1 + 1  # parts of two passes at either end


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(UserError, match="batch of 9 cannot be shared evenly by 2") as caught:
        batches(size=9, process=ProcessSlice(0, 2))
    assert caught.value.code == 2


def test_images_come_as_floats_with_their_own_labels():
    images, labels = batches(num=200, size=50)(3)
    torch.testing.assert_close(
        images, (labels.float() / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    )


def test_mixed_batches_hold_fixed_numbers_of_each_part_in_order():
    real, fake = batches(size=3), batches(size=5, stream="fakes")
    images, labels = Mixed(real, fake)(4)
    assert torch.equal(labels, torch.cat([real(4)[1], fake(4)[1]]))
    assert torch.equal(images, torch.cat([real(4)[0], fake(4)[0]]))


# Rounds of class labels


def test_a_gan_batch_of_classes_has_real_images_for_each_step_and_uniform_fake_classes():
    images = Images(numbered(40).pixels, torch.arange(40) % 4)
    rounds = ClassGanBatches(images, 8, 2, Classification(list("abcd")), seed=0, process=ALONE)
    plain = Batches(images, 8, seed=0, stream="gan", process=ALONE)
    made = [rounds(step) for step in range(100)]
    for step in (0, 7, 50):
        for part, batch in enumerate(made[step].discriminator_batches):
            real, labels = plain(2 * step + part)
            assert torch.equal(batch.images, real)
            assert torch.equal(batch.labels, labels)
            assert torch.equal(batch.fake_labels, batch.judged_labels)
            assert batch.weights.tolist() == batch.fake_weights.tolist() == [1.0] * 8
    fakes = torch.cat(
        [batch.fake_labels for round in made for batch in round.discriminator_batches]
    )
    assert len(fakes) == 1600
    assert (torch.bincount(fakes, minlength=4) - 400).abs().max() < 5 * math.sqrt(
        1600 * 0.25 * 0.75
    )
    assert not torch.equal(
        made[0].discriminator_batches[0].fake_labels, made[0].discriminator_batches[1].fake_labels
    )
    assert not torch.equal(made[0].labels, made[1].labels)


def shared(rounds, step: int) -> list[torch.Tensor]:
    made = rounds(step)
    parts = ("images", "labels", "fake_labels", "judged_labels", "weights", "fake_weights")
    return [getattr(batch, part) for batch in made.discriminator_batches for part in parts] + [
        made.labels
    ]


@pytest.mark.parametrize("kind", ["classes", "hard", "soft"])
def test_the_rounds_of_two_processes_are_the_round_of_one(kind):
    def make(process: ProcessSlice):
        if kind == "classes":
            images = Images(numbered(40).pixels, torch.arange(40) % 4)
            return ClassGanBatches(
                images, 8, 2, Classification(list("abcd")), seed=0, process=process
            )
        images = ByLabel(
            Images(numbered(40).pixels, torch.linspace(0, 1, 40)), Regression(0, 1, "")
        )
        vicinity = make_vicinity(Width(kind=kind), images.values)
        return VicinalGanBatches(images, vicinity, 8, 2, sigma=None, seed=0, process=process)

    for step in (0, 5):
        parts = zip(
            shared(make(ProcessSlice(0, 2)), step),
            shared(make(ProcessSlice(1, 2)), step),
            strict=True,
        )
        for whole, (even, odd) in zip(shared(make(ALONE), step), parts, strict=True):
            assert torch.equal(torch.stack([even, odd], 1).flatten(0, 1), whole)
