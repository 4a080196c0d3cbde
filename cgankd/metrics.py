"""Scores of trained networks, and of sets of images by what networks say of them."""

import math

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


def frechet(real: Tensor, fake: Tensor) -> float:
    """The Frechet distance of the normal distributions fitted to features (n, D) and (m, D), with n, m > 1.

    |difference of means|^2 + tr(S) + tr(T) - 2 tr((S T)^(1/2)) (Heusel et al. 2017), exact without D x D matrices.
    """
    real, fake = real.double(), fake.double()
    shift = (real.mean(0) - fake.mean(0)).square().sum()
    left, right = ((features - features.mean(0)) / math.sqrt(len(features) - 1) for features in (real, fake))
    # S = L'L and T = R'R: beside zeros, ST has the eigenvalues of (LR')(LR')', so the root of ST has the trace that
    # is the sum of the singular values of LR' (n, m).
    common = torch.linalg.svdvals(left @ right.T).sum()
    return float((shift + left.square().sum() + right.square().sum() - 2 * common).clamp(min=0))


def entropy(labels: Tensor) -> float:
    """The entropy, in nats, of the labels (N,) that occur."""
    shares = labels.unique(return_counts=True)[1].double() / len(labels)
    return float(-(shares * shares.log()).sum()) + 0.0  # of one label alone it is 0 and not -0


def num_parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())
