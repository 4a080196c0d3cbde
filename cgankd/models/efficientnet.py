"""EfficientNet-B0 (Tan and Le 2019) for small images, and in the form of ImageNet.

N images of side S. For small images these are torchvision's blocks behind a stem that keeps the
side, without the 1280-wide layer; as published for cGAN-KD there is no stochastic depth: the
reference code means to have it, but never raises its rate above 0.
"""

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (  # expansion, channels, blocks, kernel, stride of the first
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


class EfficientNet(nn.Module):
    """(N, 3, S, S) -> (N, 320): the side is halved four times; dropout of the mean of the last
    map.
    """

    def __init__(self) -> None:
        # Here: it takes as long as importing torch.
        from torchvision.models.efficientnet import MBConv, MBConvConfig

        super().__init__()
        inputs = 32
        layers: list[nn.Module] = [
            nn.Conv2d(3, inputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(inputs),
            nn.SiLU(),
        ]
        for expansion, outputs, num_blocks, kernel, stride in STAGES:
            for index in range(num_blocks):
                config = MBConvConfig(
                    expansion, kernel, 1 if index else stride, inputs, outputs, num_layers=1
                )
                layers.append(MBConv(config, stochastic_depth_prob=0.0, norm_layer=nn.BatchNorm2d))
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.num_features = inputs

    def forward(self, images: Tensor) -> Tensor:
        return self.dropout(self.layers(images).mean((2, 3)))


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": of an odd number of rows and columns the last
    gets one more.
    """

    def forward(self, input: Tensor) -> Tensor:
        (height, top), (width, left) = (
            self._padding(input.shape[axis], axis - 2) for axis in (2, 3)
        )
        padded = F.pad(input, (left, width - left, top, height - top))
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)

    def _padding(self, side: int, axis: int) -> tuple[int, int]:
        """What is added along one axis in all, and before."""
        stride, kernel = self.stride[axis], self.kernel_size[axis]
        added = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        return added, added // 2


def make_imagenet_efficientnet() -> Any:
    """(N, 3, S, S) -> (N, 1280) after dropout: the side is halved five times.

    Torchvision's, stochastic depth included, but with TensorFlow's padding and batch norm, as in
    github.com/lukemelas/EfficientNet-PyTorch, and with torch's own initial weights.
    """
    from torchvision.models import efficientnet_b0

    network: Any = efficientnet_b0(norm_layer=partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01))
    network.classifier[1] = nn.Identity()
    network.num_features = 1280
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv2d):
                if layer.stride == (2, 2):
                    layer = SameConv(
                        layer.in_channels,
                        layer.out_channels,
                        layer.kernel_size[0],
                        2,
                        groups=layer.groups,
                        bias=False,
                    )
                    setattr(parent, name, layer)
                layer.reset_parameters()
    return network
