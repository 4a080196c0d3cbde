"""What stages decide: the chosen rho, whether a teacher is one, whether a ratio is one."""

import math
from pathlib import Path

import pytest
import torch
from planning import job
from torch import tensor

from cgankd import console, plan, runs
from cgankd.errors import UserError
from cgankd.stages import distill, fit_dre, train_teacher
from cgankd.stages.select_rho import choose
from cgankd.task import Classification, Regression
from cgankd.training.machine import Machine

CLASSES, DEGREES = Classification(["a", "b"]), Regression(0.0, 90.0, "degrees")


def members(scores: dict[float | None, list[float]]) -> list[dict]:
    return [
        {"rho": rho, "network": "n", "seed": seed, "validation": score}
        for rho, values in scores.items()
        for seed, score in enumerate(values)
    ]


# select-rho


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


# train-teacher


def test_a_teacher_better_than_a_constant_answer_passes_with_its_score():
    outputs, labels = tensor([[1.0, 0], [0, 1.0], [1.0, 0], [0, 1.0]]), tensor([0, 1, 0, 0])
    assert train_teacher.check(CLASSES, "net", outputs, tensor([1, 1, 0]), labels) == 25.0
    values = tensor([[0.2], [0.4], [0.9]])
    assert train_teacher.check(
        DEGREES, "net", values, tensor([0.5]), tensor([0.1, 0.4, 1.0])
    ) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("task", "outputs", "train", "labels"),
    [
        (CLASSES, tensor([[1.0, 0]] * 4), tensor([0, 0, 1]), tensor([0, 0, 1, 1])),
        (CLASSES, tensor([[0, 1.0]] * 4), tensor([0, 0, 1]), tensor([0, 0, 0, 1])),
        (CLASSES, tensor([[1.0, 0], [math.nan, 0]]), tensor([1]), tensor([0, 0])),
        (DEGREES, tensor([[0.5], [0.5]]), tensor([0.5]), tensor([0.0, 1.0])),
        (DEGREES, tensor([[math.nan], [0.1]]), tensor([0.5]), tensor([0.0, 0.1])),
    ],
)
def test_a_teacher_no_better_than_a_constant_answer_is_refused(task, outputs, train, labels):
    with pytest.raises(
        UserError, match=f"teacher net: validation {task.metric} .* constant answer"
    ) as caught:
        train_teacher.check(task, "net", outputs, train, labels)
    assert caught.value.code == 70
    assert "[teacher]" in caught.value.hint


# fit-dre


@pytest.mark.parametrize(
    "ratios",
    [
        torch.ones(100),
        torch.linspace(0.1, 2, 100),
        torch.cat([torch.zeros(90), tensor([10.0] * 10)]),
    ],
)
def test_ratios_with_a_mean_about_one_and_spread_weights_pass(ratios):
    fit_dre.check(ratios, 0.1)


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        (torch.zeros(100), "mean 0 .* share of 0.0%"),
        (torch.full((100,), 0.05), "mean 0.05"),
        (torch.full((100,), 20.0), "mean 20"),
        (torch.eye(100)[0] * 100, "mean 1 .* share of 1.0%"),
        (torch.full((100,), math.nan), "mean nan"),
    ],
)
def test_what_is_no_density_ratio_is_refused_and_lambda_named(ratios, words):
    with pytest.raises(UserError, match=words) as caught:
        fit_dre.check(ratios, 0.001)
    assert caught.value.code == 70
    assert "dre.penalty (lambda) = 0.001" in str(caught.value)
    assert "raise dre.penalty" in caught.value.hint


# distill


@pytest.mark.parametrize(
    ("changes", "overrides", "words"),
    [
        (["distill.rho=none"], {}, "train without fakes"),
        (["distill.rho=0.5", "distill.nfake=[0]"], {}, "train without fakes"),
        (["distill.rho=selected"], {}, "not recommended"),
        (["distill.rho=0.5"], {}, None),
        (["distill.rho=selected"], {"fakes": "theirs.h5"}, None),
    ],
)
def test_what_is_said_of_fakes_that_are_not_used_or_not_to_be_used(
    finished_run, tmp_path, monkeypatch, changes, overrides, words
):
    monkeypatch.chdir(tmp_path)
    Path("theirs.h5").write_bytes(b"fakes")
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    runs.write_json(finished_run.search, {"finished": True, "best_rho": 0.5, "rho": None})
    for method in ("nokd+fake", "nokd"):  # those without fakes are not spoken of
        asked = job(finished_run, *changes, **overrides, method=method)
        for table in plan.distilled(asked):
            table.finish(made_on={})  # so that nothing is trained
        distill.run(asked, Machine("cpu"))
    assert [words in text for text in said] == [True] * (words is not None)
