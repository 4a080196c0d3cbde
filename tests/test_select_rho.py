"""select-rho: the rho that is chosen."""

import math

import pytest

from cgankd.stages.select_rho import choose


def members(scores: dict[float | None, list[float]]) -> list[dict]:
    return [
        {"rho": rho, "network": "n", "seed": seed, "validation": score}
        for rho, values in scores.items()
        for seed, score in enumerate(values)
    ]


def test_the_largest_rho_within_one_standard_error_of_the_best_is_chosen():
    scores = {
        None: [20.0, 22.0],
        0.5: [10.0, 14.0],
        0.7: [13.0, 14.9],
        0.9: [15.0, 15.0],
        1.0: [30.0, 30.0],
    }
    chosen = choose(members(scores))
    # the best is 0.5: mean 12, deviation sqrt(8), standard error 2; 0.7 with 13.95 is within, 0.9
    # with 15 is not
    assert chosen["standard_error"] == pytest.approx(2)
    assert (chosen["rho"], chosen["best_rho"]) == (0.7, 0.7)
    table = {row["rho"]: row for row in chosen["table"]}
    assert table[0.5] == {
        "rho": 0.5,
        "mean": 12.0,
        "deviation": pytest.approx(math.sqrt(8)),
        "num": 2,
    }
    assert list(table) == [None, 0.5, 0.7, 0.9, 1.0]


def test_the_order_of_the_members_does_not_matter():
    scores = {1.0: [10.0, 11.0], None: [12.0, 12.0], 0.5: [10.2, 10.6]}
    assert choose(members(scores)[::-1])["rho"] == choose(members(scores))["rho"] == 1.0


def test_without_any_spread_ties_go_to_the_larger_rho():
    assert choose(members({None: [9.0], 0.3: [5.0], 0.6: [5.0], 0.9: [5.1]}))["rho"] == 0.6


def test_no_fakes_win_only_when_they_are_better_than_every_rho():
    chosen = choose(members({None: [4.0, 4.0], 0.5: [5.0, 5.0], 1.0: [6.0, 6.0]}))
    assert (chosen["rho"], chosen["best_rho"]) == (None, 0.5)
    assert choose(members({None: [5.0, 5.0], 0.5: [5.0, 5.0]}))["rho"] == 0.5
    assert choose(members({0.5: [5.0, 5.0]}))["rho"] == 0.5


def test_a_single_seed_has_no_deviation_and_the_best_is_chosen():
    chosen = choose(members({0.5: [3.0], 1.0: [3.1]}))
    assert (chosen["rho"], chosen["standard_error"], chosen["table"][0]["deviation"]) == (
        0.5,
        None,
        None,
    )


def test_the_standard_error_is_over_seeds_and_not_over_networks():
    scores = {0.5: {"weak": 20.0, "strong": 10.0}, 1.0: {"weak": 22.0, "strong": 12.0}}
    found = [
        {"rho": rho, "network": network, "seed": seed, "validation": score + 0.1 * seed}
        for rho, values in scores.items()
        for network, score in values.items()
        for seed in range(3)
    ]
    assert choose(found)["rho"] == 0.5
