"""The label embedding of CcGAN (Ding et al. 2021, improved label input): images -> h -> label and
label -> h.

N images, labels in [0, 1], embeddings h (N, E) >= 0.
"""

from torch import Tensor, nn

from cgankd.models.blocks import group_norm
from cgankd.models.cnn import Normalisation, make_head, make_trunk


class ImageEmbedding(nn.Module):
    """Images (N, 3, S, S) -> h (N, E); `label(h)` (N, 1) reads the label back, if published
    `rectified`, and `read(images)` (N, 1) does both.
    """

    def __init__(
        self,
        *,
        trunk: str,
        side: int,
        size: int,
        mean: list[float],
        std: list[float],
        rectified: bool = False,
    ) -> None:
        super().__init__()
        self.normalise = Normalisation(mean, std)
        self.trunk = make_trunk(trunk, side)
        features = self.trunk.num_features
        self.embed = nn.Sequential(
            nn.Linear(features, features),
            nn.BatchNorm1d(features),
            nn.ReLU(),
            nn.Linear(features, size),
            nn.BatchNorm1d(size),
            nn.ReLU(),
        )
        self.label = make_head(size, 1, None, rectified=rectified)

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(self.trunk(self.normalise(images)))

    def read(self, images: Tensor) -> Tensor:
        return self.label(self(images))


class LabelEmbedding(nn.Module):
    """Labels (N,) -> h (N, E): five linear layers, group norm and ReLU between them."""

    def __init__(self, *, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (1, size, size, size):
            layers += [nn.Linear(inputs, size), group_norm(size), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(size, size), nn.ReLU())

    def forward(self, labels: Tensor) -> Tensor:
        return self.layers(labels[:, None] + 1e-8)


class ClassIndex(nn.Module):
    """Classes (N,) -> classes (N,): a class is its own condition; `num_classes` sizes what embeds
    it.
    """

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, labels: Tensor) -> Tensor:
        return labels
