"""The density ratio: its objective by hand, its effective sample size, its bounds."""

import math

import numpy as np
import pytest
import torch
from torch import nn, tensor

from cgankd.fakes.ratio import DensityRatioObjective, bounds, effective_share


class Known(nn.Module):
    """The ratio is the first feature plus the condition, times a trained number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(tensor(1.0))

    def forward(self, features, condition):
        return self.scale * (features[:, 0] + condition)


def test_the_objective_judges_real_and_fake_images_under_the_same_condition():
    generator = nn.Linear(1, 1)
    with torch.no_grad():
        generator.weight.fill_(2.0)
        generator.bias.fill_(0.0)
    objective = DensityRatioObjective(
        Known(),
        lambda labels: generator(labels[:, None]),
        lambda labels: labels / 10,
        lambda images: images,
        0.5,
    )
    losses = objective(tensor([[0.3], [0.5]]), tensor([1.0, 2.0]))
    real, fake = [0.3 + 0.1, 0.5 + 0.2], [2 * 1 + 0.1, 2 * 2 + 0.2]
    sigmoid = [1 / (1 + math.exp(-r)) for r in (*real, *fake)]
    expected = (
        sum(s * r for s, r in zip(sigmoid[2:], fake, strict=True)) / 2
        - sum(math.log1p(math.exp(r)) for r in fake) / 2
        - sum(sigmoid[:2]) / 2
    )
    assert losses["ratio"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["penalty"].item() == pytest.approx(0.5 * (sum(fake) / 2 - 1) ** 2, rel=1e-5)
    weighted = objective(tensor([[0.3], [0.5]]), tensor([1.0, 2.0]), tensor([1.0, 0.25]))
    assert weighted["ratio"].item() == pytest.approx(expected + 0.75 * sigmoid[1] / 2, rel=1e-5)
    assert weighted["penalty"].item() == losses["penalty"].item()
    sum(losses.values()).backward()
    assert objective.network.scale.grad.abs() > 0
    assert generator.weight.grad is None, "the generator is a frozen function"


def test_only_the_ratio_network_is_trained_and_saved():
    frozen = nn.Linear(1, 1)
    objective = DensityRatioObjective(
        Known(), lambda labels: frozen(labels), frozen.forward, frozen.forward, 1.0
    )
    assert set(objective.state_dict()) == {"network.scale"}


def test_the_effective_share_is_one_for_equal_weights_and_falls_to_one_over_n_for_a_single_one():
    assert effective_share(torch.full((50,), 0.3)) == pytest.approx(1)
    assert effective_share(torch.eye(50)[0]) == pytest.approx(1 / 50)
    assert effective_share(torch.zeros(50)) == 0
    weights = [1.0, 2.0, 3.0]
    assert effective_share(tensor(weights)) == pytest.approx(6**2 / (14 * 3))


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.99, 1.0])
def test_bounds_are_quantiles_of_each_row(quantile):
    ratios = torch.rand(3, 101)
    np.testing.assert_allclose(
        bounds(ratios, quantile), np.quantile(ratios.double(), quantile, axis=1), rtol=1e-12
    )
