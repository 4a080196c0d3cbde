"""Looks at a GAN in training: which images are held against which, and what is seen."""

import math

import pytest
import torch
from torch import nn, tensor

from cgankd.data.batches import Images
from cgankd.fakes import looks
from cgankd.fakes.looks import Looks, shrunk
from cgankd.fakes.measures import frechet
from cgankd.label import ClassLabel, ContinuousLabel

CLASSES, ANGLE = ClassLabel(["a", "b"]), ContinuousLabel(0, 90, "degrees")


def real(num: int = 40, side: int = 4) -> Images:
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (num, 3, side, side), dtype=torch.uint8, generator=draws)
    return Images(pixels, torch.arange(num) % 2)


class Echo(nn.Module):
    """Draws images that are as bright as one number of z says, and of class 1 inverted."""

    def forward(self, z, condition):
        return (z[:, :1, None, None] * (1 - 2 * condition[:, None, None, None])).expand(-1, 3, 4, 4)


def test_fakes_have_the_labels_of_the_images_and_always_the_same_draws(monkeypatch):
    images = real()
    whole = Looks(images, CLASSES, 5, seed=3)
    fakes = whole.fakes(Echo(), nn.Identity())
    expected = whole.z[:, 0].clamp(-1, 1) * (1 - 2 * images.labels)
    assert fakes[:, 0, 0, 0].tolist() == ((expected + 1) * 127.5).round().tolist()
    monkeypatch.setattr(looks, "BATCH", 7)
    assert torch.equal(Looks(images, CLASSES, 5, seed=3).fakes(Echo(), nn.Identity()), fakes)
    assert not torch.equal(Looks(images, CLASSES, 5, seed=4).z, whole.z)


def test_variance_and_distance_are_means_over_labels_of_what_evaluate_takes():
    images = real()
    fakes = (images.pixels // 2).flip(0)  # of the other class: 40 images, and 39 is odd
    found = Looks(images, CLASSES, 5, seed=0).at(fakes)
    by_class = [images.labels == one for one in (0, 1)]
    distances = [frechet(shrunk(images.pixels[one]), shrunk(fakes[one])) for one in by_class]
    assert found.distance == pytest.approx(sum(distances) / 2)
    assert found.variance == pytest.approx(0.25, abs=0.05)
    same = Looks(images, CLASSES, 5, seed=0).at(images.pixels)
    assert (same.variance, same.distance) == (1, pytest.approx(0, abs=1e-9))


def test_a_continuous_label_is_looked_at_in_windows():
    pixels = tensor([0, 255, 100, 150, 7], dtype=torch.uint8)[:, None, None, None]
    images = Images(pixels.expand(-1, 3, 2, 2), tensor([0.0, 0.1, 0.9, 1.0, 0.5]))
    found = Looks(images, ANGLE, 5, seed=0).at(images.pixels.flip(0))
    # Windows from 0 to 1/9 and from 8/9 to 1 hold two images; at 0.5 there is one.
    assert found.variance == pytest.approx(((143 / 255) ** 2 + (155 / 50) ** 2) / 2)


def test_where_no_label_has_two_images_nothing_is_seen():
    images = Images(real(2).pixels, tensor([0, 1]))
    assert looks.Look(None, None) == Looks(images, CLASSES, 5, seed=0).at(images.pixels)


def test_of_many_images_some_are_looked_at_in_their_order(monkeypatch):
    monkeypatch.setattr(looks, "MOST", 10)
    images = real()
    some = Looks(images, CLASSES, 5, seed=0)
    flat = images.pixels.flatten(1).tolist()
    places = [flat.index(one) for one in some.real.pixels.flatten(1).tolist()]
    assert len(set(places)) == 10
    assert places == sorted(places)
    assert some.real.labels.tolist() == [place % 2 for place in places]
    assert places != list(range(10))


def test_pixels_are_compared_as_means_and_at_most_at_side_32():
    one, two = tensor([0, 51], dtype=torch.uint8)[:, None, None, None, None].expand(
        -1, 2, 3, 64, 64
    )
    assert shrunk(one).shape == (2, 3 * 32 * 32)
    distance = (shrunk(one) - shrunk(two)).square().sum(1).sqrt()
    assert distance.tolist() == pytest.approx([0.4, 0.4])
    board = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    board[..., ::2] = 255
    assert shrunk(board).abs().max() < 1e-6 / math.sqrt(3)
