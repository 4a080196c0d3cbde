"""select-rho: whether fakes are used, and which rho and share of them is chosen."""

import math

import pytest

from cgankd.stages.select_rho import choose
from cgankd.statistics import paired

NONE = [20.0, 22.0, 30.0]  # errors without fakes, by seed: they differ more than candidates do


def members(scores: dict, networks: tuple[str, ...] = ("n",)) -> list[dict]:
    """Students of candidates: no fakes (None), a rho, or a (rho, share)."""
    found = []
    for candidate, values in scores.items():
        rho, share = candidate if isinstance(candidate, tuple) else (candidate, 0.25)
        key = {"rho": rho, "share": None if rho is None else share}
        for network in networks:
            for seed, score in enumerate(values):
                found.append({**key, "network": network, "seed": seed, "validation": score})
    return found


def against_none(*differences: float) -> list[float]:
    return [score + difference for score, difference in zip(NONE, differences, strict=True)]


def test_fakes_are_used_where_they_are_better_than_none_by_more_than_one_paired_standard_error():
    better = choose(members({None: NONE, 0.5: against_none(-1, -2, -3)}))
    # mean -2, deviation 1, standard error 1 / sqrt(3); the errors themselves deviate by 5
    (none, row) = better["table"]
    assert (better["rho"], better["share"]) == (0.5, 0.25)
    assert (row["difference"], row["standard_error"]) == pytest.approx((-2, 1 / math.sqrt(3)))
    assert (none["difference"], none["standard_error"], none["share"]) == (None, None, None)
    assert none["deviation"] == pytest.approx(math.sqrt(28))
    unsure = choose(members({None: NONE, 0.5: against_none(-2, 0.5, 0.6)}))
    assert unsure["table"][1]["difference"] == pytest.approx(-0.3)
    assert unsure["table"][1]["standard_error"] > 0.3
    assert (unsure["rho"], unsure["share"]) == (None, None)
    assert (unsure["best_rho"], unsure["best_share"]) == (0.5, 0.25), "of those with fakes"


def test_fakes_that_are_worse_than_none_never_win():
    worse = choose(members({None: NONE, 0.5: against_none(1, 1, 1), 1.0: against_none(9, 0, 0)}))
    assert (worse["rho"], worse["best_rho"]) == (None, 1.0)
    same = choose(members({None: NONE, 0.5: NONE}))
    assert same["rho"] is None, "no better"


def test_of_what_is_within_one_standard_error_of_the_best_the_largest_rho_is_chosen():
    scores = {
        None: NONE,
        0.5: against_none(-4, -4, -4),  # the best
        0.7: against_none(-5, -3, -3.9),  # worse by 0.033 +- 0.577
        0.9: against_none(-3.6, -3.5, -3.4),  # worse by 0.5 +- 0.06
    }
    assert choose(members(scores))["rho"] == 0.7
    assert choose(members(scores)[::-1])["rho"] == 0.7, "in whatever order"
    scores[0.7] = against_none(-3.9, -3.9, -3.9)  # a difference without any spread
    assert choose(members(scores))["rho"] == 0.5


def test_every_rho_is_tried_with_every_share_and_of_one_rho_the_better_share_is_chosen():
    scores = {
        None: NONE,
        (0.5, 0.25): against_none(-4, -4, -4.1),
        (0.5, 0.5): against_none(-1, -1, -1),
        (1.0, 0.25): against_none(-3.8, -4.1, -4.0),
        (1.0, 0.5): against_none(-3.9, -4.1, -4.0),
    }
    chosen = choose(members(scores))
    assert (chosen["rho"], chosen["share"]) == (1.0, 0.5)
    assert [(row["rho"], row["share"]) for row in chosen["table"]][1:] == list(scores)[1:]


def test_one_seed_has_no_error_and_differences_alone_decide():
    chosen = choose(members({None: [4.0], 0.3: [3.0], 0.6: [3.0], 0.9: [3.1]}))
    assert (chosen["rho"], chosen["table"][1]["standard_error"]) == (0.6, None)
    assert choose(members({None: [3.0], 0.6: [3.0]}))["rho"] is None


def test_the_standard_error_is_over_seeds_and_not_over_networks():
    one = choose(members({None: NONE, 0.5: against_none(-1, -2, -3)}))
    two = choose(members({None: NONE, 0.5: against_none(-1, -2, -3)}, ("weak", "strong")))
    assert one["table"] == two["table"]


def test_only_seeds_that_both_have_are_paired():
    assert paired({0: 3.0, 1: 9.0, 2: 5.0}, {0: 1.0, 2: 5.0}) == (1.0, 1.0)
    assert paired({0: 3.0, 1: 9.0}, {0: 1.0}) == (2.0, None)
