"""Scores of networks, and of sets of images."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import nn

from cgankd.data.batches import BATCH, Images, outputs_of
from cgankd.fakes.windows import entropy, frechet
from cgankd.models.saved import num_parameters


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


def test_parameters_are_counted_without_buffers():
    assert num_parameters(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))) == 3 * 4 + 4 + 4 + 4


# The Frechet distance and entropy


def normals(num: int, size: int, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(num, size, generator=draws, dtype=torch.float64) @ torch.randn(
        size, size, generator=draws, dtype=torch.float64
    )


@pytest.mark.parametrize(("num", "other", "size"), [(40, 60, 5), (4, 30, 8), (3, 2, 6), (7, 7, 1)])
def test_the_frechet_distance_is_that_of_the_dense_formula(num, other, size):
    one, two = normals(num, size, 1), 2 * normals(other, size, 2) + 1
    first, second = (
        np.atleast_2d(np.cov(features.numpy(), rowvar=False)) for features in (one, two)
    )
    root = linalg.sqrtm(first @ second + 1e-13 * np.eye(size)).real.trace()
    expected = (
        ((one.mean(0) - two.mean(0)) ** 2).sum().item() + first.trace() + second.trace() - 2 * root
    )
    assert frechet(one, two) == pytest.approx(expected, rel=1e-5)
    assert frechet(two, one) == pytest.approx(frechet(one, two), rel=1e-10), "symmetric"


def test_the_frechet_distance_of_a_set_to_itself_in_any_order_is_zero():
    images = normals(20, 50, 3)
    assert frechet(images, images[torch.randperm(20)]) == pytest.approx(
        0, abs=1e-9 * images.square().sum().item()
    )
    assert frechet(images, images) >= 0


def test_the_frechet_distance_of_a_shifted_copy_is_the_squared_shift():
    images, shift = normals(20, 6, 4), torch.arange(6.0)
    assert frechet(images, images + shift) == pytest.approx(55.0, rel=1e-9)


def test_the_frechet_distance_of_a_scaled_copy_is_that_of_its_deviations():
    images = normals(20, 6, 4)
    images = images - images.mean(0)
    variance = images.square().sum().item() / 19
    assert frechet(images, 3 * images) == pytest.approx((3 - 1) ** 2 * variance, rel=1e-9)


def test_a_rotation_of_all_features_leaves_the_frechet_distance():
    one, two = normals(30, 7, 5), normals(20, 7, 6) - 2
    turn = torch.linalg.qr(normals(7, 7, 7))[0]
    assert frechet(one @ turn, two @ turn) == pytest.approx(frechet(one, two), rel=1e-9)


def test_many_features_cost_no_square_matrix_and_empty_ones_nothing():
    one, two = normals(6, 4, 8), normals(9, 4, 9)
    wide = [
        torch.cat([features, torch.zeros(len(features), 100_000)], 1) for features in (one, two)
    ]
    assert frechet(*wide) == pytest.approx(frechet(one, two), rel=1e-9)


def test_the_entropy_is_that_of_the_shares():
    assert entropy(torch.tensor([3, 3, 3])) == 0
    assert entropy(torch.arange(49).repeat(2)) == pytest.approx(math.log(49))
    assert entropy(torch.tensor([0, 0, 0, 7])) == pytest.approx(
        0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    )
