"""MobileNetV2 (Sandler et al. 2018): for small images, as cGAN-KD's classes use it, and in the form
of ImageNet.

N images of side S -> features (N, 1280), the mean of the last map. Unlike torchvision's the first
has ReLU for ReLU6, an expansion in every block, and a shortcut, if need be a convolution, beside
every block of stride 1.
"""

from typing import Any

from torch import Tensor, nn

# Expansion, channels and blocks of each stage.
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))


class InvertedBlock(nn.Module):
    """Expands, convolves each channel, projects without an activation."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.layers = nn.Sequential(
            *_convolve(inputs, wide),
            *_convolve(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.has_shortcut = stride == 1
        self.shortcut: nn.Module = nn.Identity()
        if stride == 1 and inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers(x)
        return h + self.shortcut(x) if self.has_shortcut else h


class MobileNet(nn.Module):
    """(N, 3, S, S) -> (N, 1280): the side is halved three times, from S = 64 on four times."""

    def __init__(self, side: int) -> None:
        super().__init__()
        inputs = 32
        layers = _convolve(3, inputs, 3)
        strides = (1, 2 if side >= 64 else 1, 2, 2, 1, 2, 1)  # of the first block of each stage
        for (expansion, outputs, num_blocks), stride in zip(STAGES, strides, strict=True):
            for index in range(num_blocks):
                layers.append(InvertedBlock(inputs, outputs, expansion, 1 if index else stride))
                inputs = outputs
        self.num_features = 1280
        self.layers = nn.Sequential(*layers, *_convolve(inputs, self.num_features))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).mean((2, 3))


def _convolve(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def make_imagenet_mobilenet() -> Any:
    """(N, 3, S, S) -> (N, 1280) after dropout: torchvision's, which halves the side five times."""
    # Here: importing it takes as long as importing torch.
    from torchvision.models import MobileNetV2

    network: Any = MobileNetV2(dropout=0.2)
    network.classifier[1] = nn.Identity()
    network.num_features = 1280
    network.head_deviation = (
        0.01  # of the initial weights of what stands behind it, whose biases are 0
    )
    return network
