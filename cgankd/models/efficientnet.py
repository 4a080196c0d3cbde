"""EfficientNet-B0 (Tan and Le 2019) for small images: torchvision's blocks behind a stem that keeps the side.

N images of side S -> features (N, 320). As published for cGAN-KD there is no 1280-wide layer, and no stochastic depth:
the reference code means to have it, but never raises its rate above 0.
"""

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
    """(N, 3, S, S) -> (N, 320): the side is halved four times; dropout of the mean of the last map."""

    def __init__(self) -> None:
        from torchvision.models.efficientnet import MBConv, MBConvConfig  # here: it takes as long as importing torch

        super().__init__()
        inputs = 32
        layers: list[nn.Module] = [nn.Conv2d(3, inputs, 3, padding=1, bias=False), nn.BatchNorm2d(inputs), nn.SiLU()]
        for expansion, outputs, num_blocks, kernel, stride in STAGES:
            for index in range(num_blocks):
                config = MBConvConfig(expansion, kernel, 1 if index else stride, inputs, outputs, num_layers=1)
                layers.append(MBConv(config, stochastic_depth_prob=0.0, norm_layer=nn.BatchNorm2d))
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.num_features = inputs

    def forward(self, images: Tensor) -> Tensor:
        return self.dropout(self.layers(images).mean((2, 3)))
