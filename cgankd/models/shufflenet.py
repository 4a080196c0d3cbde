"""ShuffleNetV2 x1.0 (Ma et al. 2018): torchvision's, for small images with a stem that keeps the
side.

N images of side S -> features (N, 1024), the mean of the last map.
"""

from typing import Any

from torch import nn


def make_shufflenet(side: int) -> Any:
    """(N, 3, S, S) -> (N, 1024): the side is halved three times, from S = 64 on four times, first
    by pooling.
    """
    network = make_imagenet_shufflenet()
    network.conv1[0] = nn.Conv2d(3, 24, 3, 1, 1, bias=False)
    if side < 64:
        network.maxpool = nn.Identity()
    return network


def make_imagenet_shufflenet() -> Any:
    """(N, 3, S, S) -> (N, 1024): the stem halves the side too, so that it is halved five times."""
    # Here: importing it takes as long as importing torch.
    from torchvision.models import ShuffleNetV2

    network: Any = ShuffleNetV2([4, 8, 4], [24, 116, 232, 464, 1024])
    network.fc = nn.Identity()
    network.num_features = 1024
    return network
