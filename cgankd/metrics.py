"""Scores of trained networks."""

import torch
from torch import Tensor, nn

from cgankd.data import Images
from cgankd.images import to_float

BATCH = 256


@torch.no_grad()
def outputs_of(network: nn.Module, images: Images) -> Tensor:
    """The outputs (N, K) of a network in eval mode, in fp32."""
    training = network.training
    network.eval()
    parts = [network(to_float(pixels)).float() for pixels in images.pixels.split(BATCH)]
    network.train(training)
    return torch.cat(parts)


def num_parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())
