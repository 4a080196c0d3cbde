"""Batches: images with their labels, passes over them, and the slices of processes."""

import numpy as np
import pytest
import torch
from torch import nn

from cgankd.data.batches import BATCH, Batches, Images, Mixed, ProcessSlice, images_of, outputs_of
from cgankd.errors import UserError
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


def test_one_pixel_whose_channels_differ_is_a_colour():
    pixels = torch.randint(256, (600, 1, 4, 4), dtype=torch.uint8).expand(-1, 3, -1, -1).clone()
    images = Images(pixels, torch.arange(600))
    assert not images.coloured()
    for channel in range(3):
        images.pixels[599, channel, 3, 3] ^= 1
        assert images.coloured()
        images.pixels[599, channel, 3, 3] ^= 1


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


def test_outputs_are_those_of_eval_mode_for_every_image_in_order_and_the_mode_stays():
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 2), nn.BatchNorm1d(2), nn.Dropout(0.9)
    ).train()
    num = 2 * BATCH + 3
    images = Images(torch.randint(256, (num, 3, 2, 2), dtype=torch.uint8), torch.arange(num))
    outputs = outputs_of(network, images)
    assert network.training
    assert not outputs.requires_grad
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(outputs, network(images.pixels.float() / 127.5 - 1))
    outputs_of(network, images)
    assert not network.training
