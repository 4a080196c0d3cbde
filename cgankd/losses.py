"""Losses as plain functions of tensors. B is the batch, K the number of classes."""

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge_discriminator(
    real: Tensor, fake: Tensor, real_weight: Tensor, fake_weight: Tensor
) -> Tensor:
    """The discriminator's hinge loss of scores (B,), each sample weighted (CcGAN, Ding et al. 2021,
    eq. 12).
    """
    return (real_weight * F.relu(1 - real)).mean() + (fake_weight * F.relu(1 + fake)).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """The generator's hinge loss of the discriminator's scores (B,)."""
    return -fake.mean()


def vanilla_discriminator(
    real: Tensor, fake: Tensor, real_weight: Tensor, fake_weight: Tensor
) -> Tensor:
    """The discriminator's cross entropy of scores (B,), each sample weighted: -log sigmoid(real),
    -log sigmoid(-fake).

    The published code writes -log(p + 1e-20), the same function where its sigmoid p does not
    saturate; past that it is constant and has no gradient, and this one goes on as the score does.
    """
    return (real_weight * F.softplus(-real)).mean() + (fake_weight * F.softplus(fake)).mean()


def vanilla_generator(fake: Tensor) -> Tensor:
    """The generator's -log sigmoid of the discriminator's scores (B,) (non-saturating, Goodfellow
    et al. 2014).
    """
    return F.softplus(-fake).mean()


LEAST = 1e-4  # of a variance that is divided by: a hundredth of the range, squared


def too_alike(images: Tensor, variance: float) -> Tensor:
    """By which share images of one label vary less than `variance`; 0 where they do not.

    The first half of images (2 n, 3, S, S) is paired with the second, label by label: half the mean
    square of a difference estimates the variance of a pixel within a label. A hinge on the distance
    of two draws (diversity-sensitive GANs, Yang et al. 2019), here with real images as its bound.
    """
    one, other = images.chunk(2)
    found = (one - other).square().mean() / 2
    return F.relu(variance - found) / max(variance, LEAST)


ADVERSARIAL = {
    "hinge": (hinge_discriminator, hinge_generator),
    "vanilla": (vanilla_discriminator, vanilla_generator),
}


def softened_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of softened logits (B, K), per sample (Hinton et al. 2015, section
    2.1).

    The published code of cGAN-KD divides by B K instead of B; presets say so with their weights.
    """
    return temperature**2 * _kl(student / temperature, teacher / temperature, "batchmean")


def kept_kl(student: Tensor, teacher: Tensor, temperature: float, kept: Tensor) -> Tensor:
    """`softened_kl` over the rows `kept` (B,) of logits (B, K); 0 when there are none."""
    rows = _kl(student / temperature, teacher / temperature, "none").sum(1)
    return temperature**2 * (rows * kept).sum() / kept.sum().clamp(min=1)


def _kl(student: Tensor, teacher: Tensor, reduction: str) -> Tensor:
    """KL(teacher || student) of logits (B, K), summed as `reduction` says."""
    return F.kl_div(
        F.log_softmax(student, 1), F.log_softmax(teacher, 1), reduction=reduction, log_target=True
    )


def softplus_ratio(real: Tensor, fake: Tensor, real_weight: Tensor | float = 1.0) -> Tensor:
    """The softplus loss of density ratios (B,) at real and fake samples (cDRE-F-SP, Ding et al.,
    section III-B).
    """
    return (
        (torch.sigmoid(fake) * fake).mean()
        - F.softplus(fake).mean()
        - (real_weight * torch.sigmoid(real)).mean()
    )


def ratio_penalty(fake: Tensor) -> Tensor:
    """(mean ratio of fakes - 1)^2: under the fakes' density the true ratio has mean 1."""
    return (fake.mean() - 1) ** 2
