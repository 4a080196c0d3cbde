"""Standing statistics: what the batch norm of a finished generator goes by (Brock et al. 2019).

An average of weights fits the statistics of none of the generators that it averages: those of the
last one leave labels and contrast off. They are taken anew from what the average itself draws.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

BATCH = 64  # images that the statistics of one batch are taken from


@torch.no_grad()
def stand(
    network: Any,
    condition: Callable[[Tensor], Tensor],
    labels: Tensor,
    batches: int,
    draws: torch.Generator,
) -> None:
    """Gives each batch norm of a generator the mean over `batches` batches of its statistics, for
    labels drawn uniformly from `labels` (L,); nothing else of the network changes.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
        norm.train()
    for _ in range(batches):
        chosen = labels[torch.randint(len(labels), (BATCH,), generator=draws)]
        z = torch.randn(BATCH, network.latent, generator=draws)
        network(z.to(labels.device), condition(chosen))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
