"""Windows of a label, by hand."""

import math

import pytest
import torch
from torch import Tensor, tensor

from cgankd.fakes.windows import Group, Judge, compare, evenly, overall


def group(labels: list[float], values: list[int], **judged: Tensor) -> Group:
    """Images that are one number each."""
    pixels = tensor(values, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 1, 1)
    return Group(pixels, torch.arange(len(values)), tensor(labels), **judged)


def features(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :1].float()


JUDGE = Judge(features, seed=0)


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
    found = compare(real, fake, [0.1, 0.5, 0.9], 0, judge=JUDGE, like=real)
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
    found = compare(one, one, [0.5], 0.1, judge=JUDGE, like=one)
    assert found["fid"] == {"mean": pytest.approx(0, abs=1e-12), "deviation": None}
    assert (found["label_score"], found["diversity"]) == (None, None)


def test_where_no_label_is_repeated_there_is_nothing_to_compare():
    one = group([0.1, 0.2], [1, 2])
    assert compare(one, one, [0.1, 0.2], 0, judge=JUDGE, like=one) is None


def test_matched_distances_are_of_as_many_fakes_as_there_are_images_to_match():
    draws = torch.Generator().manual_seed(0)
    values = torch.randint(256, (1030,), generator=draws).tolist()
    real, fake, few = (
        group([0.5] * 30, values[:30]),
        group([0.5] * 1000, values[30:]),
        group([0.5] * 4, [0] * 4),
    )

    def found(like: Group, seed: int = 0) -> dict:
        return compare(real, fake, [0.5], 0.1, judge=Judge(features, seed), like=like)

    assert found(few)["fid"] == found(fake)["fid"] == found(real)["fid"]
    assert found(fake)["matched"]["mean"] == pytest.approx(found(fake)["fid"]["mean"]), (
        "all of them, in another order"
    )
    assert found(few)["matched"] == found(few)["matched"] != found(few, seed=1)["matched"]
    mean = sum(found(few, seed)["matched"]["mean"] for seed in range(20)) / 20
    assert mean > 3 * found(few)["fid"]["mean"], "few images raise the distance"
    assert found(group([0.9], [1]))["matched"] is None


def test_the_variance_of_a_window_is_that_of_as_many_fakes_as_real_images():
    real = group([0.5] * 2 + [0.9] * 3, [100, 102, 10, 20, 30])
    fake = group([0.5] * 2 + [0.9] * 3, [50, 51, 10, 10, 10])
    found = compare(real, fake, [0.5, 0.9], 0, judge=JUDGE, like=real)
    assert [part["variance"] for part in found["parts"]] == pytest.approx([0.25, 0])
    assert found["variance"]["mean"] == pytest.approx(0.125)
    many = group([0.5] * 1000, list(range(200, 220)) * 50)
    few = compare(real, many, [0.5], 0, judge=JUDGE, like=group([0.5, 0.5], [0, 9]))
    assert few["parts"][0]["num"] == 1000
    mean = (
        sum(
            compare(real, many, [0.5], 0, judge=Judge(features, seed), like=real)["variance"][
                "mean"
            ]
            for seed in range(200)
        )
        / 200
    )
    # two numbers of twenty: half of 20^2 / 12 on average, and one of real images
    assert mean == pytest.approx(399 / 12 * 20 / 19 / 2, rel=0.15)
    same = compare(group([0.5] * 2, [7, 7]), fake, [0.5], 0, judge=JUDGE, like=real)
    assert same["variance"] is None, "real images that are all alike tell nothing"


def test_a_class_is_a_window_without_radius():
    real = group([0, 0, 1, 1, 1], [10, 12, 50, 60, 70])
    real = Group(real.pixels, real.rows, tensor([0, 0, 1, 1, 1]))
    found = compare(real, real, [0, 1, 2], 0.0, judge=JUDGE, like=real)
    assert (found["windows"], found["left_out"]) == (2, 1)
    assert [(part["center"], part["num"]) for part in found["parts"]] == [(0, 2), (1, 3)]
    assert found["variance"] == pytest.approx({"mean": 1, "deviation": 0})


def test_density_and_coverage_need_more_real_images_than_neighbours():
    values = list(range(0, 60, 10))
    six, five = group([0.5] * 6, values), group([0.5] * 5, values[:5])
    assert compare(six, six, [0.5], 0, judge=JUDGE, like=six)["coverage"]["mean"] == 1
    assert compare(five, five, [0.5], 0, judge=JUDGE, like=five)["coverage"] is None


def test_copies_are_nearer_to_a_real_image_than_half_of_what_is_usual():
    real = group([0.0, 1.0, 0.5], [100, 150, 200])
    fake = group([0.0] * 4, [101, 104, 106, 125])
    found = overall(real, fake, judge=JUDGE, like=real, usual=10.0)
    assert found["copies"] == pytest.approx(0.5), "at 1 and 4, and not at 6 and 25"
    assert found["nearest"] == pytest.approx(4), "the lower of the two in the middle"
    assert found["fid"] > 0
    assert "variance" not in found, "of labels together it says nothing"


def test_one_image_has_no_distance_and_no_image_nothing():
    real, one = group([0.0, 1.0, 0.5], [100, 150, 200]), group([0.5], [120])
    alone = overall(real, one, judge=JUDGE, like=one, usual=10.0)
    assert (alone["fid"], alone["matched"], alone["nearest"]) == (None, None, 20)
    none = Group(one.pixels, one.rows[:0], one.labels[:0])
    assert overall(real, none, judge=JUDGE, like=one, usual=10.0) is None


def test_of_very_many_images_some_are_drawn_by_the_seed():
    whole = group([0.5] * 100, list(range(100)))
    some = whole.some(10, torch.Generator().manual_seed(3))
    again = whole.some(10, torch.Generator().manual_seed(3))
    assert some.rows.tolist() == again.rows.tolist() != list(range(10))
    assert len(set(some.rows.tolist())) == 10
    assert whole.some(100, torch.Generator()) is whole
