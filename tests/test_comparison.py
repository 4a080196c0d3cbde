"""Students compared: statistics by hand, and which published number stands beside which of ours."""

import math
from typing import Any

import pytest

from cgankd import statistics
from cgankd.preset import Paper
from cgankd.report import comparison
from cgankd.report.facts import Member

NOKD = {0: 10.0, 1: 12.0, 2: 14.0}  # mean 12, deviation 2
FAKE = {0: 9.0, 1: 10.0, 2: 11.0}  # mean 10, deviation 1; differences -1, -2, -3
PAPER = Paper.model_validate(
    {
        "results": [
            {
                "teacher": "resnet18",
                "teacher_error": 4.9,
                "assistant": "vgg13",
                "student": "vgg11",
                "errors": {"nokd": 8.42, "blkd": 7.24, "takd": 7.43, "nokd+fake": 6.83},
            },
            {
                "teacher": "densenet121",
                "teacher_error": 4.5,
                "assistant": "vgg13",
                "student": "vgg11",
                "errors": {"nokd": 8.42, "blkd": 7.4, "takd": 7.27, "nokd+fake": 6.83},
            },
            {
                "teacher": "resnet18",
                "teacher_error": 5.06,
                "student": "vgg11",
                "errors": {"nokd": 7.59, "sskd": 5.82},
            },
        ],
        "nfake": {"counts": [0, 1000, 5000], "errors": {"vgg11": [8.42, 8.1, 8.11]}},
        "ablation": {"student": "vgg11", "errors": {"nokd": 8.42, "+ filter": 6.94}},
    }
)


def members(
    row: str, by_seed: dict[int, float], *, network: str = "vgg11", steps: int = 60, **facts: Any
) -> list[Member]:
    shared: dict[str, Any] = {"teacher": "", "assistant": "", "rho": None, "fakes": 0} | facts
    sizes: dict[str, Any] = {"network": network, "parameters": 5214, "steps": steps}
    return [
        Member(row=row, seed=seed, validation=score, test=score, student="", **sizes, **shared)
        for seed, score in by_seed.items()
    ]


# Statistics


def test_spread_is_mean_and_sample_deviation():
    assert statistics.spread([10.0, 12.0, 14.0]) == (12.0, 2.0)
    assert statistics.spread([1.0, 2.0, 6.0]) == (3.0, pytest.approx(math.sqrt(7)))
    assert statistics.spread([10.0]) == (10.0, None)


def test_the_standard_error_is_the_deviation_over_the_root_of_the_number():
    assert statistics.standard_error([10.0, 12.0, 14.0]) == pytest.approx(2 / math.sqrt(3))
    assert statistics.standard_error([10.0]) is None


def test_differences_are_paired_by_seed():
    against = comparison.against(FAKE, NOKD)
    assert against["difference"] == -2.0
    assert against["standard_error"] == pytest.approx(1 / math.sqrt(3))
    assert against["pairs"] == 3
    assert against["significant"]


def test_differences_use_only_seeds_that_both_have():
    against = comparison.against({1: 13.0, 2: 13.0, 7: 99.0}, NOKD)
    assert (against["difference"], against["pairs"]) == (0.0, 2)
    assert against["standard_error"] == pytest.approx(
        1.0
    )  # of 1 and -1: deviation sqrt(2), over sqrt(2)


def test_a_difference_inside_two_standard_errors_is_not_significant():
    against = comparison.against(
        {0: 11.0, 1: 12.5, 2: 14.0}, NOKD
    )  # 1, 0.5, 0: mean 0.5, deviation 0.5
    assert against["standard_error"] == pytest.approx(0.5 / math.sqrt(3))
    assert not against["significant"]


def test_one_pair_or_none_is_never_significant():
    one = {"difference": -9.0, "standard_error": None, "pairs": 1, "significant": False}
    assert comparison.against({0: 1.0}, NOKD) == one
    assert comparison.against({9: 1.0}, NOKD)["difference"] is None


def test_rows_are_compared_with_nokd_of_the_same_network():
    other = members("blkd", {0: 11.0, 1: 10.0, 2: 15.0}, network="resnet20")
    rows = comparison.compare(
        [*members("nokd", NOKD), *members("nokd+fake", FAKE, fakes=4), *other]
    )
    assert [(row["method"], row["student"], row["difference"]) for row in rows] == [
        ("nokd", "vgg11", None),
        ("nokd+fake", "vgg11", -2.0),
        ("blkd", "resnet20", None),
    ]
    assert rows[1]["scores"] == {"0": 9.0, "1": 10.0, "2": 11.0}
    assert rows[1]["nfake"] is None, "older records do not say how many fakes were asked for"


def test_at_each_number_of_steps_students_are_compared_with_nokd_at_as_many():
    every = [
        *members("nokd", NOKD, steps=10),
        *members("nokd", {seed: score - 4 for seed, score in NOKD.items()}, steps=90),
        *members("fake", {seed: score + 1 for seed, score in NOKD.items()}, steps=10),
        *members("fake", FAKE, steps=90),
    ]
    rows = comparison.by_steps(list(every))
    assert [(row["method"], row["steps"], row["mean"], row["best"]) for row in rows] == [
        ("nokd", 10, 12, False),
        ("fake", 10, 13, False),
        ("nokd", 90, 8, True),
        ("fake", 90, 10, True),
    ]
    assert [row["difference"] for row in rows] == [None, 1, None, 2]


# Curves


def test_a_curve_starts_with_the_method_without_fakes_and_each_seed_counts_once():
    chain = {"teacher": "resnet18", "assistant": "vgg13"}
    lines = comparison.curves(
        [
            *members("nokd", NOKD),
            *members("nokd+fake (0)", NOKD, nfake=0),  # the same students
            *members(
                "nokd+fake (9)", {0: 8.0, 1: 8.0}, nfake=9, fakes=7
            ),  # two were missing in the pool
            *members("nokd+fake (5)", FAKE, nfake=5, fakes=5),
            *members("nokd", {0: 3.0}, network="vgg13"),
            *members("nokd+fake", {0: 2.0}, network="vgg13", fakes=5),
            *members("takd", {0: 6.0}, **chain),
            *members("takd+fake (5)", {0: 5.0}, nfake=5, fakes=5, **chain),
            *members("takd+fake (9)", {0: 4.0}, nfake=9, fakes=7, **chain),
        ]
    )
    fakes, taught = lines  # of vgg13 there are two points only, which the table tells as well
    assert (fakes["method"], fakes["teacher"], fakes["student"]) == ("nokd+fake", "", "vgg11")
    assert fakes["points"] == [
        {"fakes": 0, "mean": 12.0, "standard_error": pytest.approx(2 / math.sqrt(3))},
        {"fakes": 5, "mean": 10.0, "standard_error": pytest.approx(1 / math.sqrt(3))},
        {"fakes": 7, "mean": 8.0, "standard_error": 0.0},
    ]
    assert (taught["method"], taught["teacher"], taught["assistant"]) == (
        "takd+fake",
        "resnet18",
        "vgg13",
    )
    assert [(point["fakes"], point["mean"]) for point in taught["points"]] == [
        (0, 6.0),
        (5, 5.0),
        (7, 4.0),
    ]
    assert [point["standard_error"] for point in taught["points"]] == [None] * 3


# What was published


@pytest.mark.parametrize(
    ("row", "facts", "expected"),
    [
        ("nokd", {}, [8.42, 7.59]),  # two tables differ
        ("nokd+fake", {}, [6.83]),
        ("blkd", {"teacher": "resnet18"}, [7.24]),
        ("blkd", {"teacher": "densenet121"}, [7.4]),
        ("blkd", {"teacher": "mobilenetv2"}, []),
        ("sskd", {"teacher": "resnet18"}, [5.82]),
        ("takd", {"teacher": "densenet121", "assistant": "vgg13"}, [7.27]),
        ("takd", {"teacher": "densenet121", "assistant": "vgg16"}, []),
        ("nokd", {"network": "vgg16"}, []),
        ("blkd+fake", {"teacher": "resnet18"}, []),
        ("nokd+fake (1000)", {"nfake": 1000}, [8.1]),
        ("nokd+fake (0)", {"nfake": 0}, [8.42]),
        ("nokd+fake (7)", {"nfake": 7}, []),
        ("nokd+fake (1000)", {"nfake": 1000, "network": "vgg16"}, []),
        ("blkd+fake (1000)", {"nfake": 1000, "teacher": "resnet18"}, []),
    ],
)
def test_published_numbers_are_those_of_the_method_the_networks_and_the_number_of_fakes(
    row, facts, expected
):
    (ours,) = comparison.compare(members(row, {0: 1.0}, **facts))
    assert comparison.published(ours, PAPER) == expected
    assert comparison.published(ours, Paper()) == []


def test_published_steps_are_those_of_the_student_of_the_ablation():
    rows = comparison.compare(
        [*members("nokd", NOKD), *members("raw fakes", NOKD), *members("+ filter", FAKE)]
    )
    assert [comparison.published_step(row, PAPER) for row in rows] == [[8.42], [], [6.94]]
    assert comparison.published_step({**rows[0], "student": "vgg13"}, PAPER) == []
    assert comparison.published_step(rows[0], Paper()) == []


def test_the_published_curve_is_that_of_nokd_with_fakes():
    assert comparison.published_curve("nokd+fake", "vgg11", PAPER) == [
        (0, 8.42),
        (1000, 8.1),
        (5000, 8.11),
    ]
    assert comparison.published_curve("blkd+fake", "vgg11", PAPER) == []
    assert comparison.published_curve("nokd+fake", "vgg13", PAPER) == []
