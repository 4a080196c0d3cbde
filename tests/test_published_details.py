"""Details of the published system that are easily missed, each by the numbers that it leads to."""

import numpy as np
import pytest
import torch
from torch import nn

from cgankd import preset
from cgankd.data.batches import Images, ProcessSlice
from cgankd.data.images import Augmentation
from cgankd.data.vicinity import ByLabel, VicinalGanBatches, Vicinity
from cgankd.fakes.sampling import Sampler
from cgankd.plan.selections import full_selection
from cgankd.plan.specs import HEAD
from cgankd.plan.students import Student
from cgankd.runs import Artefact
from cgankd.task import Classification, Regression

AGES = Regression(0.0, 60.0, "years")


@pytest.mark.parametrize(("padding", "reach"), [(4, 4), (0, 0), (None, 8)])
def test_crop_shifts_by_the_padding_of_the_preset_whatever_the_side(padding, reach):
    dot = torch.full((500, 3, 64, 64), -1.0)
    dot[:, :, 32, 32] = 1.0
    torch.manual_seed(0)
    seen = Augmentation(["crop"], padding)(dot)[:, 0]
    rows, columns = (seen.amax(axis).argmax(1) - 32 for axis in (2, 1))
    assert {rows.min().item(), columns.min().item()} == {-reach}
    assert {rows.max().item(), columns.max().item()} == {reach}


def test_tiny_imagenet_crops_by_four_pixels_as_published():
    settings = preset.load("tiny-imagenet")
    tables = (settings.teacher, settings.dre.features, settings.distill)
    assert [table.crop_padding for table in tables] == [4, 4, 4]


def test_an_answer_beyond_the_range_is_an_error_but_for_a_filter_of_clipped_labels():
    outputs, labels = torch.tensor([[1.1], [-0.05], [0.5]]), torch.tensor([1.0, 0.0, 0.25])
    torch.testing.assert_close(AGES.errors(outputs, labels), torch.tensor([6.0, 3.0, 15.0]))
    torch.testing.assert_close(AGES.clipped_errors(outputs, labels), torch.tensor([0.0, 0.0, 15.0]))
    assert AGES.score(outputs, labels) == pytest.approx(8.0, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "clips", "relabel"),
    [
        ("rc49-r25", False, "unclipped"),
        ("utkface", False, "unclipped"),
        ("digits-angle", True, "mean"),
    ],
)
def test_the_published_filter_sees_answers_as_they_are(name, clips, relabel):
    chosen = full_selection(preset.load(name), 0.5)
    assert (chosen.clip, chosen.relabel) == (clips, relabel)


def test_the_head_of_sskd_has_as_many_epochs_with_fakes_as_without(tmp_path):
    settings = preset.load("cifar10-c50k").distill
    head = Student(
        "densenet121",
        HEAD,
        0,
        artefact=Artefact(tmp_path, "distill", {}),
        training=settings.sskd.head,
        epochs=settings.epochs,
        previous=None,
    )
    assert head.num_steps(40_000, 0) == 37_500
    assert head.num_steps(40_000, 100_000) == 60 * -(-140_000 // 64) == 131_280


class Seen(nn.Module):
    """Keeps what it is shown, and answers with `width` zeros for each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, first, *rest):
        self.shown = first
        return torch.zeros(len(first), self.width).squeeze(1) if self.width == 1 else first


class Grey(nn.Module):
    """Draws one grey that no byte has."""

    latent = 3

    def forward(self, z, condition):
        return torch.full((len(z), 3, 8, 8), 0.1234)


def test_the_ratio_judges_fakes_as_they_leave_the_generator_and_the_teacher_as_stored():
    features, ratio, teacher = Seen(3), Seen(1), Seen(2)
    sampler = Sampler(
        task=Classification(["a", "b"]),
        generator=Grey(),
        condition=nn.Identity(),
        features=features,
        ratio=ratio,
        teacher=teacher,
        labels=torch.arange(2),
        seed=0,
        device=torch.device("cpu"),
    )
    drawn = sampler.draw("fake", np.zeros(2, int), np.arange(2), 2)
    assert features.shown.unique().tolist() == [pytest.approx(0.1234, abs=1e-8)]
    (stored,) = drawn["pixels"].unique().tolist()
    assert teacher.shown.unique().tolist() == [pytest.approx(stored / 127.5 - 1, abs=1e-6)]
    assert abs(stored / 127.5 - 1 - 0.1234) > 1e-4, "rounding moves this grey"


@pytest.mark.parametrize("fresh", [True, False])
def test_a_generator_step_draws_its_labels_or_takes_those_the_discriminator_judged(fresh):
    images = Images(torch.zeros(30, 3, 8, 8, dtype=torch.uint8), torch.linspace(0, 1, 30))
    batches = VicinalGanBatches(
        ByLabel(images, AGES),
        Vicinity(0.05, 0.0),
        16,
        2,
        sigma=0.1,
        fresh=fresh,
        seed=0,
        process=ProcessSlice(),
    )
    made = batches(3)
    assert torch.equal(made.labels, made.discriminator_batches[-1].judged_labels) != fresh
    assert preset.load("rc49-r5").gan.vicinity.generator_labels == "judged"
    assert preset.load("utkface").gan.vicinity.generator_labels == "fresh"
