"""BLKD on two views of each image, a plain and a strong one (after unsupervised data augmentation,
Xie et al. 2020).

As in cGAN-KD's comparison all images are labelled and the strong view is AutoAugment's (Cubuk et
al. 2019).
"""

from torch import Tensor, nn

from cgankd.data.autoaugment import autoaugment
from cgankd.data.images import Augmentation
from cgankd.methods.blkd import Blkd


class Uda(nn.Module):
    """Images (N, 3, S, S) in [-1, 1], classes (N,) -> the terms of `blkd`, averaged over both
    views.
    """

    def __init__(self, blkd: Blkd, augmentation: Augmentation) -> None:
        super().__init__()
        self.blkd, self.augmentation = blkd, augmentation
        self.draws_on_host = True

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        plain = self.blkd(self.augmentation(images), labels)
        strong = self.blkd(autoaugment(images), labels)
        return {name: (plain[name] + strong[name]) / 2 for name in plain}
