"""fit-dre: whether what was fitted is a density ratio."""

import math

import pytest
import torch
from torch import tensor

from cgankd.errors import UserError
from cgankd.stages import fit_dre


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
