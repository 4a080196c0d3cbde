"""Spectral normalisation of a whole network, against torch's own of one layer."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from cgankd.models.spectral import SpectralLayer, SpectralNetwork, spectral

INPUTS = {
    "conv": torch.rand(2, 3, 5, 5),
    "linear": torch.rand(2, 6),
    "embedding": torch.tensor([1, 0]),
}


class Network(SpectralNetwork):
    """Two convolutions of one shape, one of another, a linear layer and an embedding."""

    def __init__(self, make) -> None:
        super().__init__()
        self.first = make(nn.Conv2d)(3, 4, 3, padding=1)
        self.second = make(nn.Conv2d)(4, 4, 3, padding=1)
        self.third = make(nn.Conv2d)(4, 4, 3, padding=1, bias=False)
        self.linear = make(nn.Linear)(4, 5)
        self.embedding = make(nn.Embedding)(3, 5)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        maps = self.third(self.second(self.first(images).relu()).relu())
        return (self.linear(maps.sum((2, 3))) * self.embedding(classes)).sum(1)


def torchs(layer):
    return lambda *sizes, **options: spectral_norm(layer(*sizes, **options), eps=1e-8)


def both() -> list[nn.Module]:
    made = []
    for make in (spectral, torchs):
        torch.manual_seed(0)
        made.append(Network(make))
    return made


def test_the_state_is_that_of_torchs_parametrization_name_by_name():
    ours, torchs_own = both()
    expected = torchs_own.state_dict()
    assert sorted(ours.state_dict()) == sorted(expected)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)


def test_outputs_gradients_and_vectors_stay_those_of_torch_over_steps():
    networks = both()
    images, classes = torch.rand(4, 3, 6, 6), torch.tensor([0, 1, 2, 1])
    optimisers = [torch.optim.SGD(network.parameters(), 0.1) for network in networks]
    for _ in range(4):
        outputs = []
        for network, optimiser in zip(networks, optimisers, strict=True):
            outputs.append(network(images, classes))
            optimiser.zero_grad()
            outputs[-1].square().mean().backward()
            optimiser.step()
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    ours, expected = (network.state_dict() for network in networks)
    for name, value in ours.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_torch_whatever_the_order_in_memory(training):
    networks = both()
    networks[0].to(memory_format=torch.channels_last)
    images, classes = torch.rand(4, 3, 6, 6), torch.tensor([0, 1, 2, 1])
    for network in networks:
        network.train(training)(images, classes).square().mean().backward()
    ours, expected = (dict(network.named_parameters()) for network in networks)
    for name, parameter in ours.items():
        torch.testing.assert_close(parameter.grad, expected[name].grad, msg=name)


def test_vectors_stand_still_in_eval_mode():
    network, _ = both()
    before = copy.deepcopy(network.eval().state_dict())
    first, second = (network(torch.ones(1, 3, 4, 4), torch.tensor([1])) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("kind", INPUTS)
def test_a_layer_by_itself_gives_what_it_gives_within_a_network(kind):
    torch.manual_seed(0)
    sizes = {"conv": (nn.Conv2d, 3, 4, 3), "linear": (nn.Linear, 6, 4)}
    made, *size = sizes.get(kind, (nn.Embedding, 3, 4))
    layer = spectral(made)(*size).eval()

    class Alone(SpectralNetwork):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layer(inputs)

    assert torch.equal(layer(INPUTS[kind]), Alone().eval()(INPUTS[kind]))
    norm = torch.linalg.matrix_norm(layer.normalised.flatten(1), 2).item()
    assert norm == pytest.approx(1, abs=0.15)


def test_nothing_of_a_forward_is_left_in_the_network():
    network, _ = both()
    with pytest.raises(RuntimeError):
        network(torch.ones(1, 4, 4, 4), torch.tensor([1]))  # four channels
    layers = [layer for layer in network.modules() if isinstance(layer, SpectralLayer)]
    assert all(layer._prepared is None for layer in layers)
    copy.deepcopy(network)  # graphs cannot be copied


def test_mixed_precision_leaves_singular_values_exact():
    network, _ = both()
    network.eval()
    weight = network.first.normalised
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network.first.normalised, weight)
