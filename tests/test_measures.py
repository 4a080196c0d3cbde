"""Measures of two sets of images, by hand and by their plain formulas."""

import math
import time

import numpy as np
import pytest
import torch
from torch import tensor

from cgankd.fakes import measures
from cgankd.fakes.measures import density_and_coverage, entropy, frechet, nearest, variance
from cgankd.fakes.ratio import auc

# The variance within a group


def constant(*values: int) -> torch.Tensor:
    """Images of one value each."""
    return tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2).clone()


def test_the_variance_is_that_of_each_pixel_within_a_group():
    pixels = constant(0, 255, 0, 0, 0)
    pixels[4, :, 0, 1] = 255
    # group 7: all pixels are -1 and 1, variance 1; group 2: one of four pixels is -1, -1 and 1,
    # variance 8/9
    assert variance(pixels, tensor([7, 7, 2, 2, 2])) == pytest.approx((1 + 8 / 9 / 4) / 2)
    order = [4, 1, 2, 0, 3]
    assert variance(pixels[order], tensor([7, 7, 2, 2, 2])[order]) == pytest.approx(
        (1 + 8 / 9 / 4) / 2
    )


def test_differences_between_groups_and_between_pixels_do_not_count():
    board = constant(0, 0)
    board[:, :, 0] = 255
    assert variance(torch.cat([board, constant(200, 200)]), tensor([0.1, 0.1, 0.9, 0.9])) == 0


def test_of_a_large_group_evenly_spaced_images_are_looked_at(monkeypatch):
    monkeypatch.setattr(measures, "MOST", 2)
    assert variance(constant(0, 9, 9, 255, 9), torch.zeros(5)) == 1


# The Frechet distance


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
    root = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()
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


def test_of_many_images_with_few_features_the_distance_is_exact_and_costs_linear_time():
    one, two = normals(20_000, 30, 1), normals(30_000, 30, 2) + 0.5
    first, second = (np.cov(features.numpy(), rowvar=False) for features in (one, two))
    root = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()
    shift = ((one.mean(0) - two.mean(0)) ** 2).sum().item()
    began = time.monotonic()
    found = frechet(one, two)
    assert time.monotonic() - began < 5, "20,000 x 30,000 numbers are 5 GB, and their roots hours"
    assert found == pytest.approx(shift + first.trace() + second.trace() - 2 * root, rel=1e-9)
    mixed = frechet(one[:50], two)
    few = np.cov(one[:50].numpy(), rowvar=False)
    root = np.sqrt(np.linalg.eigvals(few @ second).real.clip(0)).sum()
    shift = ((one[:50].mean(0) - two.mean(0)) ** 2).sum().item()
    assert mixed == pytest.approx(shift + few.trace() + second.trace() - 2 * root, rel=1e-9)


# Density and coverage


def by_hand(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    """As Naeem et al. (2020) define them, image by image."""
    reach = [np.sort(np.linalg.norm(real - one, axis=1))[k] for one in real]
    balls = list(zip(real, reach, strict=True))
    inside = [[np.linalg.norm(one - each) <= far for each in fake] for one, far in balls]
    return np.sum(inside) / (k * len(fake)), float(np.mean(np.any(inside, axis=1)))


def test_density_and_coverage_are_those_of_the_definition():
    draws = np.random.default_rng(0)
    real, fake = draws.normal(100, 1, (40, 6)), draws.normal(100.4, 0.7, (30, 6))
    found = density_and_coverage(torch.from_numpy(real), torch.from_numpy(fake), k=3)
    assert found == pytest.approx(by_hand(real, fake, 3))
    assert 0 < found[1] < 1


def test_equal_sets_are_dense_and_covered_and_those_of_one_image_cover_little():
    one, two = normals(800, 4, 1).split(400)
    density, coverage = density_and_coverage(one, two)
    assert density == pytest.approx(1, abs=0.25)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.05)
    assert density_and_coverage(one, two[:1].expand(400, 4))[1] < 0.1, "collapsed"
    assert density_and_coverage(one, one + 1000) == (0, 0)


def test_too_few_real_images_have_no_density():
    assert density_and_coverage(normals(5, 3, 1), normals(9, 3, 2)) is None
    assert density_and_coverage(normals(6, 3, 1), normals(9, 3, 2)) is not None


# Copies


def test_the_nearest_image_is_found_exactly_whatever_the_chunks(monkeypatch):
    draws = torch.Generator().manual_seed(0)
    ours, known = (
        torch.randint(256, (num, 3, 4, 4), dtype=torch.uint8, generator=draws) for num in (11, 23)
    )
    known[7] = ours[4]
    squares = (ours[:, None].double() - known[None].double()).square().mean((2, 3, 4))
    expected = squares.min(1).values.sqrt()
    assert torch.equal(nearest(ours, known), expected)
    monkeypatch.setattr(measures, "CHUNK", 48 * 5)
    assert torch.equal(nearest(ours, known), expected)
    assert nearest(ours, known)[4] == 0


def test_small_images_are_not_compared_all_at_once(monkeypatch):
    """Distances take memory too, and of small images there are more than pixels."""
    pixels = torch.randint(256, (60, 3, 2, 2), dtype=torch.uint8)
    made, squares = [], measures._squares

    def recorded(*features):
        made.append(squares(*features))
        return made[-1]

    monkeypatch.setattr(measures, "_squares", recorded)
    monkeypatch.setattr(measures, "CHUNK", 300)
    nearest(pixels, pixels)
    assert sum(part.numel() for part in made) == 60 * 60
    assert max(part.numel() for part in made) <= 300


def test_a_shift_of_all_pixels_is_as_many_grey_levels():
    image = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    assert nearest(image, torch.cat([image + 50, image + 20])).tolist() == [20]


# What a density ratio can tell


def test_the_auc_is_how_often_a_real_image_has_the_larger_ratio():
    real, fake = tensor([1.0, 2, 2, 5]), tensor([2.0, 0, 5, 1, 1])
    wins = (real[:, None] > fake).double() + 0.5 * (real[:, None] == fake)
    assert auc(real, fake) == pytest.approx(wins.mean().item())
    assert auc(tensor([3.0, 4.0]), tensor([1.0, 2.0])) == 1
    assert auc(tensor([1.0]), tensor([1.0, 1.0])) == 0.5
