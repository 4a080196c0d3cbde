"""Windows of a continuous label, by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor, tensor

from cgankd.fakes.windows import Group, compare, entropy, evenly, frechet


def group(labels: list[float], values: list[int], **judged: Tensor) -> Group:
    """Images that are one number each."""
    pixels = tensor(values, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 1, 1)
    return Group(pixels, torch.arange(len(values)), tensor(labels), **judged)


def features(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :1].float()


def test_centres_are_evenly_spaced_and_the_outer_windows_end_with_the_range():
    assert evenly(3, 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert evenly(2, 0.5) == [0.5, 0.5]
    assert evenly(1, 0.1) == [0.5]


def test_a_window_holds_its_edges_and_equal_labels_up_to_rounding():
    one = group([0.1, 0.2, 0.3, 0.30001, 0.4, 0.5], [0, 1, 2, 3, 4, 5])
    assert one.within(0.3, 0.1).images().flatten(1)[:, 0].tolist() == [1, 2, 3, 4]
    assert one.within(0.3, 0).rows.tolist() == [2, 3]
    float32 = tensor(0.3).item()
    assert float32 != 0.3
    assert (
        len(group([0.3], [0]).within(float32, 0)) == len(group([float32], [0]).within(0.3, 0)) == 1
    )


def test_a_part_of_a_group_keeps_what_judges_say_and_shares_the_images():
    whole = group(
        [0.1, 0.5, 0.9], [10, 50, 90], errors=tensor([1.0, 2.0, 3.0]), types=tensor([4, 5, 6])
    )
    part = whole.within(0.9, 0.45)
    assert (part.errors.tolist(), part.types.tolist()) == ([2, 3], [5, 6])
    assert part.pixels is whole.pixels


def test_scores_are_means_and_sample_deviations_over_windows_with_two_of_each():
    real = group([0.1, 0.1, 0.5, 0.5, 0.5, 0.9], [10, 20, 30, 40, 50, 60])
    fake = group(
        [0.1, 0.1, 0.5, 0.5, 0.9, 0.9],
        [13, 23, 31, 51, 7, 8],
        errors=tensor([1.0, 3.0, 5.0, 5.0, 99, 99]),
        types=tensor([0, 1, 2, 2, 3, 4]),
    )
    found = compare(real, fake, [0.1, 0.5, 0.9], 0, features=features, like=real, seed=0)
    assert (found["windows"], found["left_out"]) == (2, 1), "at 0.9 there is one real image"
    assert (found["real"], found["fake"]) == ({"min": 2, "median": 2.5}, {"min": 2, "median": 2})
    # 3^2 for a shift by three; means 40 and 41, variances 100 and 200
    second = 1 + 100 + 200 - 2 * math.sqrt(100 * 200)
    assert found["fid"]["mean"] == pytest.approx((9 + second) / 2)
    assert found["fid"]["deviation"] == pytest.approx(abs(9 - second) / math.sqrt(2))
    assert found["label_score"] == pytest.approx({"mean": 3.5, "deviation": 1.5 * math.sqrt(2)})
    assert found["diversity"] == pytest.approx(
        {"mean": math.log(2) / 2, "deviation": math.log(2) / math.sqrt(2)}
    )


def test_what_no_judge_has_seen_has_no_score_and_one_window_no_deviation():
    one = group([0.5, 0.5], [1, 2])
    found = compare(one, one, [0.5], 0.1, features=features, like=one, seed=0)
    assert found["fid"] == {"mean": pytest.approx(0, abs=1e-12), "deviation": None}
    assert (found["label_score"], found["diversity"]) == (None, None)


def test_where_no_label_is_repeated_there_is_nothing_to_compare():
    one = group([0.1, 0.2], [1, 2])
    assert compare(one, one, [0.1, 0.2], 0, features=features, like=one, seed=0) is None


def test_matched_distances_are_of_as_many_fakes_as_there_are_images_to_match():
    draws = torch.Generator().manual_seed(0)
    values = torch.randint(256, (1030,), generator=draws).tolist()
    real, fake, few = (
        group([0.5] * 30, values[:30]),
        group([0.5] * 1000, values[30:]),
        group([0.5] * 4, [0] * 4),
    )

    def found(like: Group, seed: int = 0) -> dict:
        return compare(real, fake, [0.5], 0.1, features=features, like=like, seed=seed)

    assert found(few)["fid"] == found(fake)["fid"] == found(real)["fid"]
    assert found(fake)["matched"]["mean"] == pytest.approx(found(fake)["fid"]["mean"]), (
        "all of them, in another order"
    )
    assert found(few)["matched"] == found(few)["matched"] != found(few, seed=1)["matched"]
    mean = sum(found(few, seed)["matched"]["mean"] for seed in range(20)) / 20
    assert mean > 3 * found(few)["fid"]["mean"], "few images raise the distance"
    assert found(group([0.9], [1]))["matched"] is None


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
