"""Standing statistics, against those taken at once."""

import pytest
import torch
from torch import nn

from cgankd.models import make_network
from cgankd.training.standing import BATCH, stand

SIZES = {"size": 8, "latent": 4, "width": 1, "num_classes": 3}


def generator(name: str = "biggan") -> nn.Module:
    torch.manual_seed(5)
    return make_network({"name": name, **SIZES}).eval()


def stood(batches: int, labels: list[int], seed: int = 0) -> nn.Module:
    network = generator()
    draws = torch.Generator().manual_seed(seed)
    stand(network, lambda labels: labels, torch.tensor(labels), batches, draws)
    return network


def test_the_statistics_are_the_mean_over_batches_of_what_each_norm_sees():
    batches, network = 3, generator()
    seen = []
    norm = network.norm
    norm.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    draws = torch.Generator().manual_seed(0)
    stand(network, lambda labels: labels, torch.tensor([0, 2]), batches, draws)
    assert [len(maps) for maps in seen] == [BATCH] * batches
    mean = torch.stack([maps.mean((0, 2, 3)) for maps in seen]).mean(0)
    spread = torch.stack([maps.var((0, 2, 3)) for maps in seen]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, spread)


def test_nothing_else_of_the_network_changes():
    before, after = generator(), stood(2, [0, 1, 2])
    assert not any(module.training for module in after.modules())
    kept = after.state_dict()
    moved = {
        name for name, value in before.state_dict().items() if not torch.equal(value, kept[name])
    }
    assert moved
    assert {name.rsplit(".", 1)[-1] for name in moved} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    momenta = {module.momentum for module in after.modules() if isinstance(module, nn.BatchNorm2d)}
    assert momenta == {0.1}


def test_labels_that_are_named_are_those_that_are_drawn():
    def statistics(labels: list[int], seed: int = 0) -> list[float]:
        return stood(2, labels, seed).norm.running_mean.tolist()

    assert statistics([1]) == statistics([1, 1]) != statistics([2])
    assert statistics([1]) != statistics([1], seed=1)
    assert statistics([0, 1, 2]) == pytest.approx(statistics([0, 1, 2], seed=1), abs=0.5)
