"""AutoAugment: the published policy, drawn for each image and done to groups of them."""

import pytest
import torch
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

from cgankd.data import images
from cgankd.data.autoaugment import POLICY, SIGNED, autoaugment, draws, operation


def test_autoaugment_draws_for_each_image_and_stays_in_range():
    same = images.to_float(torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)).expand(
        64, -1, -1, -1
    )
    torch.manual_seed(0)
    changed = autoaugment(same)
    assert changed.shape == same.shape
    assert changed.min() >= -1
    assert changed.max() <= 1
    assert len(changed.flatten(1).unique(dim=0)) > 20, "25 policies, half of whose parts apply"
    torch.manual_seed(0)
    assert torch.equal(changed, autoaugment(same))


def test_autoaugment_fills_with_mid_grey():
    white = torch.ones(256, 3, 16, 16)
    torch.manual_seed(0)
    corners = autoaugment(white)[:, :, 0, 0].unique()
    assert (corners.sub(128 / 127.5 - 1).abs() < 1e-6).any(), "some were moved or turned"


def test_the_policy_is_that_of_the_paper_but_for_one_probability_of_torchvision():
    known = AutoAugment(AutoAugmentPolicy.CIFAR10)._policies
    names = {"Color": "color", "ShearY": "shear y", "TranslateX": "translate x"}
    names["TranslateY"] = "translate y"
    expected = [
        [[names.get(name, name.lower()), chance, strength or 0] for name, chance, strength in pair]
        for pair in known
    ]
    expected[16][1][1] = 0.8  # torchvision has 0.6
    expected[0][0][2] = 7  # the paper gives a strength that does nothing
    assert [[list(part) for part in pair] for pair in POLICY] == expected


def test_each_image_is_changed_as_it_would_be_alone():
    pixels = torch.randint(0, 256, (200, 3, 16, 16), dtype=torch.uint8)
    torch.manual_seed(5)
    changed = images.to_uint8(autoaugment(images.to_float(pixels)))
    torch.manual_seed(5)
    chosen, applied, signs = draws(200)
    for row in range(200):
        alone = pixels[row : row + 1]
        for place in range(2):
            name, probability, strength = POLICY[chosen[row]][place]
            if applied[place][row] < probability:
                sign = -1 if name in SIGNED and signs[place][row] < 0.5 else 1
                alone = operation(name, strength, sign, 16)(alone)
        assert torch.equal(changed[row], alone[0]), row


@pytest.mark.parametrize(
    ("name", "strength", "sign", "expected"),
    [
        ("invert", 0, 1, [[215, 155], [95, 55]]),
        ("posterize", 9, 1, [[32, 96], [160, 192]]),
        ("solarize", 5, 1, [[40, 100], [95, 55]]),  # above 256 (1 - 5 / 9) = 114
        ("solarize", 0, 1, [[40, 100], [160, 200]]),
        ("brightness", 5, -1, [[20, 50], [80, 100]]),  # 1 - 0.9 5 / 9 = 1 / 2
        ("brightness", 9, 1, [[76, 190], [255, 255]]),
        ("translate x", 9, 1, [[128, 40], [128, 160]]),
    ],
)
def test_operations_have_the_strength_of_the_paper(name, strength, sign, expected):
    side = 4 if name == "translate x" else 2  # moves by int(150 / 331 side)
    square = torch.tensor([[40, 100], [160, 200]], dtype=torch.uint8)
    image = square.expand(1, 3, 2, 2).contiguous()
    found = operation(name, strength, sign, side)(image)
    assert found[0, 0].tolist() == expected


def test_rotations_have_one_sign_and_are_counter_clockwise():
    assert "rotate" not in SIGNED
    image = torch.zeros(1, 3, 9, 9, dtype=torch.uint8)
    image[..., 4, 8] = 255  # to the right of the centre
    turned = operation("rotate", 9, 1, 9)(image)[0, 0]
    row, column = divmod(int(turned.clone().masked_fill(turned == 128, 0).argmax()), 9)
    assert row < 4 < column, "upwards"
