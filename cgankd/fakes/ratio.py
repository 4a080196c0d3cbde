"""The conditional density ratio p(image | label) / p_fake(image | label) in feature space
(cDRE-F-SP).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cgankd.losses import ratio_penalty, softplus_ratio

Features = Callable[[Tensor], Tensor]


class DensityRatioObjective(nn.Module):
    """Fits `network` so that it is high where real images are denser than fakes (Ding et al., eq. 4
    to 6).

    Real images (N, 3, S, S) in [-1, 1] with labels (N,), and with weights (N,) where they are not
    all of that label; a fake is drawn for each label. The frozen generator, condition and features
    are functions here, no part of what is trained.
    """

    def __init__(
        self,
        network: nn.Module,
        generate: Callable[[Tensor], Tensor],
        condition: Callable[[Tensor], Tensor],
        features: Features,
        penalty: float,
    ) -> None:
        super().__init__()
        self.network = network
        self.generate = generate
        self.condition = condition
        self.features = features
        self.penalty = penalty

    def forward(
        self, images: Tensor, labels: Tensor, weights: Tensor | float = 1.0
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            condition = self.condition(labels)
            both = self.features(torch.cat([images, self.generate(labels)]))
        ratio = self.network(both, torch.cat([condition, condition])).float()
        real, fake = ratio.split(len(images))
        return {
            "ratio": softplus_ratio(real, fake, weights),
            "penalty": self.penalty * ratio_penalty(fake),
        }


def effective_share(ratio: Tensor) -> float:
    """Effective sample size of the weights `ratio` (N,) divided by N: 1 for equal weights, 0 when
    all vanish.
    """
    ratio = ratio.double()
    square = (ratio**2).mean().item()
    return ratio.mean().item() ** 2 / square if square > 0 else 0.0


def auc(real: Tensor, fake: Tensor) -> float:
    """How often a real image has a larger ratio (n,) than a fake (m,), ties half: 0.5 where ratios
    cannot tell them apart, 1 where they always do.
    """
    _, place, counts = torch.cat([real, fake]).unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()  # the rank of the last of those that tie
    ranks = (last - (counts - 1) / 2)[place]
    num = len(real)
    return (ranks[:num].sum().item() - num * (num + 1) / 2) / (num * len(fake))


def bounds(ratio: Tensor, quantile: float) -> Tensor:
    """The bound of rejection sampling for each row of ratios (L, M): a high quantile; larger ratios
    are clipped.
    """
    return torch.quantile(ratio.double(), quantile, dim=1)
