"""The multilayer perceptrons that estimate the conditional density ratio from features and
condition.
"""

import itertools

import torch
from torch import Tensor, nn

from cgankd.models.blocks import group_norm

HIDDEN = {  # shares of the first width, as published: 2048, 1024, ...
    "mlp3": (1, 2, 4),
    "mlp5": (1, 2, 4, 8, 16),
    "mlp7": (1, 1, 2, 2, 4, 8, 16),
    "mlp9": (1, 1, 2, 2, 4, 4, 8, 8, 16),
}


class RatioNetwork(nn.Module):
    """Features (N, D) and condition -> density ratios (N,) >= 0.

    The condition is an embedding (N, E) or, with `num_classes`, a class that a trainable K-wide
    table embeds. Each hidden layer is linear, group norm, ReLU, dropout (cGAN-KD, cDR-MLP).
    """

    def __init__(
        self,
        *,
        layers: str,
        width: int,
        features: int,
        embedding: int,
        num_classes: int,
        dropout: float,
        output: str,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_classes, num_classes) if num_classes else nn.Identity()
        self.positive: nn.Module = {"relu": nn.ReLU, "softplus": nn.Softplus}[output]()
        widths = [
            features + (num_classes or embedding),
            *(max(8, width // share) for share in HIDDEN[layers]),
        ]
        hidden: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            hidden += [
                nn.Linear(inputs, outputs),
                group_norm(outputs),
                nn.ReLU(),
                nn.Dropout(dropout),
            ]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], 1))

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        return self.positive(self.layers(torch.cat([self.embed(condition), features], 1))).squeeze(
            1
        )
