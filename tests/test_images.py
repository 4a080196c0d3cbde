"""Both forms of an image, and random changes against brute force or torch's own draws."""

import itertools

import pytest
import torch
from PIL import Image
from torch import Tensor

from cgankd.data import images


def random(num: int = 64, side: int = 16) -> Tensor:
    return torch.rand(num, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def moved(batch: Tensor, down: int, right: int, fill: float) -> Tensor:
    """Images moved by whole pixels, row by row and column by column."""
    side = batch.shape[-1]
    result = torch.full_like(batch, fill)
    for row, column in itertools.product(range(side), range(side)):
        if 0 <= row - down < side and 0 <= column - right < side:
            result[:, :, row, column] = batch[:, :, row - down, column - right]
    return result


def moves(before: Tensor, after: Tensor, reach: int, fill: float) -> list[tuple[int, int]]:
    """The one move of each image that explains what became of it."""
    shifts = list(itertools.product(range(-reach, reach + 1), repeat=2))
    explained = torch.stack(
        [(moved(before, *shift, fill) == after).all((1, 2, 3)) for shift in shifts]
    )
    assert (explained.sum(0) == 1).all()
    return [shifts[index] for index in explained.int().argmax(0)]


def test_every_grey_level_survives_the_way_to_floats_and_back():
    levels = torch.arange(256, dtype=torch.uint8).view(64, 4, 1, 1)
    floats = images.to_float(levels)
    assert torch.equal(images.to_uint8(floats), levels)
    values = floats.flatten()
    assert (values[0], values[-1]) == (-1, 1)
    torch.testing.assert_close(values[51], torch.tensor(-0.6))


def test_floats_outside_the_range_are_clamped_and_rounded_to_the_nearest_level():
    values = torch.tensor([-3.0, 3.0, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5])
    assert images.to_uint8(values).tolist() == [0, 255, 0, 1]


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_rest():
    torch.manual_seed(1)
    before = random(200)
    after = images.flip(before)
    mirrored = [torch.equal(new, old.flip(2)) for old, new in zip(before, after, strict=True)]
    kept = [torch.equal(new, old) for old, new in zip(before, after, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 70 < sum(mirrored) < 130


def test_crop_moves_by_up_to_an_eighth_of_the_side_and_black_comes_in():
    torch.manual_seed(2)
    before = random(150)
    shifts = moves(before, images.crop(before), reach=2, fill=-1.0)
    assert {down for down, _ in shifts} == {right for _, right in shifts} == {-2, -1, 0, 1, 2}
    assert len(set(shifts)) > 20, "both axes have draws of their own"


def test_contrast_fades_each_image_towards_black_by_up_to_its_bound():
    torch.manual_seed(5)
    before = random(300)
    after = images.contrast(before) + 1
    shares = after.sum((1, 2, 3)) / (before + 1).sum((1, 2, 3))
    torch.testing.assert_close(after, shares[:, None, None, None] * (before + 1))
    assert 1 - images.MOST_FADED <= shares.min() < 1 - 0.9 * images.MOST_FADED
    assert 1 - 0.1 * images.MOST_FADED < shares.max() <= 1


def test_noise_has_no_mean_and_a_deviation_of_each_image_up_to_its_bound():
    torch.manual_seed(6)
    before = random(300)
    added = images.noise(before) - before
    deviations = added.std((1, 2, 3))
    assert added.mean().abs() < 0.01
    assert deviations.min() < 0.1 * images.MOST_NOISE
    assert 0.9 * images.MOST_NOISE < deviations.max() < 1.1 * images.MOST_NOISE
    assert deviations.mean().item() == pytest.approx(images.MOST_NOISE / 2, rel=0.1)


def test_changes_are_made_in_the_order_of_their_names():
    torch.manual_seed(7)
    found = images.Augmentation(["noise", "contrast"])(random())
    torch.manual_seed(7)
    assert torch.equal(found, images.contrast(images.noise(random())))


def test_translation_moves_by_up_to_an_eighth_and_grey_comes_in():
    torch.manual_seed(3)
    before = random(100)
    shifts = moves(before, images.diffaugment(before, ["translation"]), reach=2, fill=0.0)
    assert {down for down, _ in shifts} == {right for _, right in shifts} == {-2, -1, 0, 1, 2}


def test_translation_keeps_the_sum_of_what_is_not_pushed_out():
    torch.manual_seed(3)
    before = torch.zeros(50, 3, 16, 16)
    before[:, :, 2:-2, 2:-2] = random(50, 12)
    after = images.diffaugment(before, ["translation"])
    torch.testing.assert_close(after.sum((2, 3)), before.sum((2, 3)), atol=1e-4, rtol=0)


def test_cutout_removes_exactly_a_square_of_half_the_side_cut_off_at_the_borders():
    torch.manual_seed(4)
    before = random(400, 8) + 5  # nowhere zero
    after = images.diffaugment(before, ["cutout"])
    centres = set()
    for old, new in zip(before, after, strict=True):
        rows, columns = (
            (new[0] == 0).any(1).nonzero().flatten(),
            (new[0] == 0).any(0).nonzero().flatten(),
        )
        top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
        expected = old.clone()
        expected[:, top:bottom, left:right] = 0
        assert torch.equal(new, expected)
        assert bottom - top == 4 or top == 0 or bottom == 8
        assert right - left == 4 or left == 0 or right == 8
        assert 2 <= bottom - top <= 4
        assert 2 <= right - left <= 4
        # the centre is uniform on 0 ... 8, ends included
        centres |= {int(bottom) - 2 if top == 0 else int(top) + 2}
    assert centres == set(range(9))


def test_colour_is_brightness_then_saturation_then_contrast():
    before = random(6, 8)
    torch.manual_seed(5)
    after = images.diffaugment(before, ["color"])
    torch.manual_seed(5)
    brightness, saturation, contrast = (torch.rand(6, 1, 1, 1) for _ in range(3))
    for index in range(6):
        x = before[index] + (brightness[index] - 0.5)
        grey = x.mean(0, keepdim=True)
        x = (x - grey) * 2 * saturation[index] + grey
        mean = x.mean()
        x = (x - mean) * (contrast[index] + 0.5) + mean
        torch.testing.assert_close(after[index], x, atol=1e-5, rtol=0)


def test_the_policy_is_applied_in_its_order():
    before = random(5)
    torch.manual_seed(6)
    after = images.Augmentation(["crop", "flip"])(before)
    torch.manual_seed(6)
    assert torch.equal(after, images.flip(images.crop(before)))
    assert images.Augmentation()(before) is before
    torch.manual_seed(6)
    after = images.diffaugment(before, ["color", "translation", "cutout"])
    torch.manual_seed(6)
    expected = before
    for name in ("color", "translation", "cutout"):
        expected = images.diffaugment(expected, [name])
    assert torch.equal(after, expected)


@pytest.mark.parametrize("policy", ["color", "translation", "cutout"])
def test_gradients_pass_through_every_augmentation(policy):
    before = random(3, 8).requires_grad_()
    torch.manual_seed(7)
    images.diffaugment(before, [policy]).sum().backward()
    if policy == "color":
        assert torch.isfinite(before.grad).all()
        assert before.grad.abs().sum() > 0
    else:  # a pixel is either seen once or not at all
        assert set(before.grad.unique().tolist()) <= {0.0, 1.0}


def test_a_grid_is_written_row_by_row(tmp_path):
    shades = torch.arange(5, dtype=torch.uint8).mul(50).view(5, 1, 1, 1).expand(5, 3, 32, 32)
    images.save_grid(tmp_path / "deep" / "grid.png", shades, columns=3)
    with Image.open(tmp_path / "deep" / "grid.png") as picture:
        assert picture.size == (96, 64)
        corners = [
            [picture.getpixel((32 * column, 32 * row)) for column in range(3)] for row in range(2)
        ]
    assert corners == [[(0,) * 3, (50,) * 3, (100,) * 3], [(150,) * 3, (200,) * 3, (0,) * 3]]


def test_small_images_are_enlarged_in_a_grid_by_whole_factors(tmp_path):
    images.save_grid(tmp_path / "grid.png", torch.zeros(4, 3, 8, 8, dtype=torch.uint8), columns=2)
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (64, 64)


def test_an_augmented_objective_sees_changed_images_and_its_own_labels():
    class Seen(torch.nn.Module):
        def forward(self, pixels, labels):
            return {"pixels": pixels, "labels": labels}

    before, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    for names in ([], ["flip"], ["crop", "flip"]):
        change = images.Augmentation(names)
        torch.manual_seed(0)
        seen = images.Augmented(Seen(), change)(before, labels)
        torch.manual_seed(0)
        assert torch.equal(seen["pixels"], change(before))
        assert seen["labels"] is labels
