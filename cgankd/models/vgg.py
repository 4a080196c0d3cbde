"""VGG with batch norm (Simonyan and Zisserman 2015, networks A, B, D, E) for small images.

N images of side S -> features (N, num_features), the last map flattened: five poolings leave 1x1 of
S = 32 and 2x2 of S = 64. A smaller S has as many fewer poolings.
"""

from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 512)
STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}  # convolutions of each


class Vgg(nn.Module):
    """(N, 3, S, S) -> (N, 512 max(1, S / 32)^2)."""

    def __init__(self, depth: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, num_convolutions in zip(WIDTHS, STAGES[depth], strict=True):
            for _ in range(num_convolutions):
                layers += [
                    nn.Conv2d(inputs, outputs, 3, padding=1),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(inplace=True),
                ]
                inputs = outputs
            if side > 1:
                layers.append(nn.MaxPool2d(2))
                side //= 2
        self.layers = nn.Sequential(*layers)
        self.num_features = inputs * side**2

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).flatten(1)
