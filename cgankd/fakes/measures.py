"""Measures of two sets of images: how far, how sharp, how varied, how new.

Real images come first, n of them, then fakes, m of them; features are (n, D) and (m, D). What
depends on the numbers of images is to be compared at equal ones.
"""

import math

import torch
from torch import Tensor

from cgankd.data.images import to_float

NEIGHBOURS = 5  # k of density and coverage: of two equal sets 97 % are covered (Naeem et al. 2020)
MOST = 1000  # images of a group that its variance is taken from
CHUNK = 2**22  # pixels that are compared together, and distances, so that memory stays flat


def variance(pixels: Tensor, groups: Tensor) -> float:
    """Of each pixel within a group, averaged over pixels and groups: uint8 (N, 3, S, S), groups
    (N,) -> in [0, 1].
    """
    found = []
    for group in groups.unique():
        members = (groups == group).nonzero().squeeze(1)
        some = pixels[members[:: -(-len(members) // MOST)]]
        found.append(to_float(some).var(0, correction=0).mean())
    return torch.stack(found).mean().item()


def frechet(real: Tensor, fake: Tensor) -> float:
    """The Frechet distance of the normal distributions fitted to features, with n, m > 1.

    |difference of means|^2 + tr(S) + tr(T) - 2 tr((S T)^(1/2)) (Heusel et al. 2017), exact, in time
    linear in n and m where they exceed D, and without D x D matrices where they do not.
    """
    real, fake = real.double(), fake.double()
    shift = (real.mean(0) - fake.mean(0)).square().sum()
    left, right = _root(real), _root(fake)
    # S = L'L and T = R'R: beside zeros, ST has the eigenvalues of (LR')(LR')', so the root of ST
    # has the trace that is the sum of the singular values of LR'.
    common = torch.linalg.svdvals(left @ right.T).sum()
    return float((shift + left.square().sum() + right.square().sum() - 2 * common).clamp(min=0))


def _root(features: Tensor) -> Tensor:
    """L (min(n, D), D) of features (n, D), whose covariance is L'L."""
    root = (features - features.mean(0)) / math.sqrt(len(features) - 1)
    # Of L = QU only the triangle U tells, since L'L = U'U.
    return torch.linalg.qr(root, mode="r").R if root.shape[0] > root.shape[1] else root


def density_and_coverage(
    real: Tensor, fake: Tensor, k: int = NEIGHBOURS
) -> tuple[float, float] | None:
    """How many real images have a fake among their k nearest, over what is expected, and which
    share of them has any (Naeem et al. 2020); None of k real images or fewer.

    A real image's ball reaches to its k-th nearest real one. Density, 1 of equal distributions and
    unbounded, is the mean number of balls that hold a fake, over k: low where fakes look like
    nothing real. Coverage is the share of balls that hold a fake: low where fakes lack diversity.
    """
    if len(real) <= k:
        return None
    middle = real.double().mean(0)  # small numbers have small rounding errors
    real, fake = real.double() - middle, fake.double() - middle
    # k + 1, since each is nearest to itself.
    reach = _squares(real, real).kthvalue(k + 1, dim=1).values
    inside = _squares(real, fake) <= reach[:, None]
    density = inside.sum().item() / (k * len(fake))
    return density, inside.any(1).double().mean().item()


def _squares(one: Tensor, other: Tensor) -> Tensor:
    """The squared distances (n, m) of rows (n, D) and (m, D)."""
    return one.square().sum(1)[:, None] + other.square().sum(1) - 2 * one @ other.T


def nearest(pixels: Tensor, known: Tensor) -> Tensor:
    """The distance (n,) of each image to the nearest of others, the root of the mean squared
    difference of pixels, in grey levels: uint8 (n, 3, S, S), (m, 3, S, S).
    """
    values = pixels[0].numel()
    parts = []
    for ours in pixels.split(max(1, CHUNK // values)):
        least = torch.full((len(ours),), math.inf, dtype=torch.float64, device=pixels.device)
        for others in known.split(max(1, CHUNK // max(values, len(ours)))):
            # Whole numbers, whose squares and sums are exact in float64.
            squares = _squares(ours.flatten(1).double(), others.flatten(1).double())
            least = torch.minimum(least, squares.min(1).values)
        parts.append(least)
    return (torch.cat(parts) / values).sqrt()


def entropy(labels: Tensor) -> float:
    """The entropy, in nats, of the labels (N,) that occur."""
    shares = labels.unique(return_counts=True)[1].double() / len(labels)
    return float(-(shares * shares.log()).sum()) + 0.0  # of one label alone it is 0 and not -0
