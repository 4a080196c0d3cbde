"""AutoAugment with the policy for CIFAR-10 (Cubuk et al. 2019, appendix), on whole batches.

Each image draws one of 25 sub-policies of two operations, which are applied one after the other;
images that draw the same operation of the same strength are changed together. Draws are made on the
host, so that no device is waited for. As cGAN-KD's comparison has it, rotations have one sign, and
mid-grey comes in where an image is moved; shears take the nearest pixel (published: bicubic).
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from cgankd.data.batches import to_device
from cgankd.data.images import to_float, to_uint8

Operation = tuple[str, float, int]  # name, probability, place of the strength among ten

POLICY: tuple[tuple[Operation, Operation], ...] = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear y", 0.5, 8), ("translate y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.8, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate y", 0.9, 9), ("translate y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate y", 0.7, 9), ("autocontrast", 0.9, 0)),
)
SIGNED = ("shear y", "translate x", "translate y", "color", "contrast", "brightness", "sharpness")
GREY = [128.0]


def autoaugment(images: Tensor) -> Tensor:
    """Floats in [-1, 1] (N, 3, S, S), each changed by a sub-policy that it draws."""
    changed = to_uint8(images)
    num = len(changed)
    chosen, applied, signs = draws(num)
    for place in range(2):
        groups: dict[tuple[str, int, int], list[int]] = {}
        for row, policy in enumerate(chosen):
            name, probability, strength = POLICY[policy][place]
            if applied[place][row] < probability:
                sign = -1 if name in SIGNED and signs[place][row] < 0.5 else 1
                groups.setdefault((name, strength, sign), []).append(row)
        for (name, strength, sign), members in groups.items():
            rows = to_device(torch.tensor(members), changed.device)
            change = operation(name, strength, sign, changed.shape[-1])
            changed[rows] = change(changed[rows])
    return to_float(changed)


def draws(num: int) -> tuple[list[int], list[list[float]], list[list[float]]]:
    """For each image its sub-policy, and for each of the two operations what decides whether it is
    applied, and with which sign.
    """
    chosen = torch.randint(len(POLICY), (num,)).tolist()
    return chosen, torch.rand(2, num).tolist(), torch.rand(2, num).tolist()


def operation(name: str, strength: int, sign: int, side: int) -> Callable[[Tensor], Tensor]:
    """What an operation does to uint8 images (N, 3, S, S); strengths rise evenly from 0 to 9."""
    from torchvision.transforms.v2 import functional as F

    share = strength / 9
    factor, moved = 1 + sign * 0.9 * share, sign * int(150 / 331 * side * share)
    slope = math.degrees(math.atan(sign * 0.3 * share))

    def affine(x: int = 0, y: int = 0, shear: float = 0.0) -> Callable[[Tensor], Tensor]:
        center = [0.0, 0.0] if shear else None
        return lambda images: F.affine(
            images, 0.0, [x, y], 1.0, [0.0, shear], fill=GREY, center=center
        )

    operations: dict[str, Callable[[Tensor], Tensor]] = {
        "invert": F.invert,
        "autocontrast": F.autocontrast,
        "equalize": F.equalize,
        "posterize": partial(F.posterize, bits=8 - round(4 * share)),
        "solarize": lambda images: torch.where(
            images >= 256 * (1 - share), F.invert(images), images
        ),
        "color": partial(F.adjust_saturation, saturation_factor=factor),
        "contrast": partial(F.adjust_contrast, contrast_factor=factor),
        "brightness": partial(F.adjust_brightness, brightness_factor=factor),
        "sharpness": partial(F.adjust_sharpness, sharpness_factor=factor),
        "rotate": partial(F.rotate, angle=30 * share, fill=GREY),
        "shear y": affine(shear=slope),
        "translate x": affine(x=moved),
        "translate y": affine(y=moved),
    }
    return operations[name]
