"""Batches of a GAN for class labels, and those of all kinds on several processes."""

import math

import pytest
import torch

from cgankd.data.batches import Batches, Images, ProcessSlice
from cgankd.data.gan_batches import ClassGanBatches
from cgankd.data.vicinity import ByLabel, VicinalGanBatches, make_vicinity
from cgankd.preset import Width
from cgankd.task import Classification, Regression

ALONE = ProcessSlice()


def numbered(num: int) -> Images:
    """Images whose every pixel is their number."""
    pixels = (
        torch.arange(num, dtype=torch.uint8).view(num, 1, 1, 1).expand(num, 3, 2, 2).contiguous()
    )
    return Images(pixels, torch.arange(num))


def test_a_gan_batch_of_classes_has_real_images_for_each_step_and_uniform_fake_classes():
    images = Images(numbered(40).pixels, torch.arange(40) % 4)
    batches = ClassGanBatches(images, 8, 2, Classification(list("abcd")), seed=0, process=ALONE)
    plain = Batches(images, 8, seed=0, stream="gan", process=ALONE)
    made = [batches(step) for step in range(100)]
    for step in (0, 7, 50):
        for part, batch in enumerate(made[step].discriminator_batches):
            real, labels = plain(2 * step + part)
            assert torch.equal(batch.images, real)
            assert torch.equal(batch.labels, labels)
            assert torch.equal(batch.fake_labels, batch.judged_labels)
            assert batch.weights.tolist() == batch.fake_weights.tolist() == [1.0] * 8
    fakes = torch.cat([batch.fake_labels for one in made for batch in one.discriminator_batches])
    assert len(fakes) == 1600
    assert (torch.bincount(fakes, minlength=4) - 400).abs().max() < 5 * math.sqrt(
        1600 * 0.25 * 0.75
    )
    assert not torch.equal(
        made[0].discriminator_batches[0].fake_labels, made[0].discriminator_batches[1].fake_labels
    )
    assert not torch.equal(made[0].labels, made[1].labels)


def shared(batches, step: int) -> list[torch.Tensor]:
    made = batches(step)
    parts = ("images", "labels", "fake_labels", "judged_labels", "weights", "fake_weights")
    return [getattr(batch, part) for batch in made.discriminator_batches for part in parts] + [
        made.labels
    ]


@pytest.mark.parametrize("kind", ["classes", "hard", "soft"])
def test_the_batches_of_two_processes_are_the_batch_of_one(kind):
    def make(process: ProcessSlice):
        if kind == "classes":
            images = Images(numbered(40).pixels, torch.arange(40) % 4)
            return ClassGanBatches(
                images, 8, 2, Classification(list("abcd")), seed=0, process=process
            )
        images = ByLabel(
            Images(numbered(40).pixels, torch.linspace(0, 1, 40)), Regression(0, 1, "")
        )
        vicinity = make_vicinity(Width(kind=kind), images.values)
        return VicinalGanBatches(images, vicinity, 8, 2, sigma=None, seed=0, process=process)

    for step in (0, 5):
        parts = zip(
            shared(make(ProcessSlice(0, 2)), step),
            shared(make(ProcessSlice(1, 2)), step),
            strict=True,
        )
        for whole, (even, odd) in zip(shared(make(ALONE), step), parts, strict=True):
            assert torch.equal(torch.stack([even, odd], 1).flatten(0, 1), whole)
