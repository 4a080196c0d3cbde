"""Distillation methods: their terms by hand, and a teacher that stays as it is."""

import math

import pytest
import torch
from torch import nn, tensor

from cgankd import preset
from cgankd.losses import softened_kl
from cgankd.methods import frozen, make_method
from cgankd.methods.blkd import Blkd
from cgankd.methods.nokd import Nokd
from cgankd.task import Classification, Regression

CLASSES, DEGREES = Classification(["a", "b", "c"]), Regression(0.0, 90.0, "degrees")


class Fixed(nn.Module):
    """Outputs that do not depend on the images but can be trained."""

    def __init__(self, outputs) -> None:
        super().__init__()
        self.outputs = nn.Parameter(tensor(outputs))

    def forward(self, images):
        return self.outputs.expand(len(images), -1)


def test_nokd_is_the_loss_of_the_task():
    losses = Nokd(CLASSES, Fixed([math.log(2), 0.0, 0.0]))(torch.zeros(2, 3, 4, 4), tensor([0, 1]))
    assert set(losses) == {"label"}
    assert losses["label"].item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    losses = Nokd(DEGREES, Fixed([0.5]))(torch.zeros(2, 3, 4, 4), tensor([0.5, 0.1]))
    assert losses["label"].item() == pytest.approx(0.08)


def test_blkd_weighs_the_labels_and_the_softened_outputs_of_the_teacher():
    teacher = frozen(Fixed([4 * math.log(3), 0.0, 0.0]))
    method = Blkd(CLASSES, Fixed([0.0, 0.0, 0.0]), teacher, label_weight=0.5, match_weight=1.25, temperature=4.0)
    losses = method(torch.zeros(2, 3, 4, 4), tensor([0, 2]))
    # at T = 4 the teacher says (3/5, 1/5, 1/5), the student a third each
    divergence = 0.6 * math.log(1.8) + 2 * 0.2 * math.log(0.6)
    assert losses["label"].item() == pytest.approx(0.5 * math.log(3))
    assert losses["match"].item() == pytest.approx(1.25 * 16 * divergence, rel=1e-5)


def test_blkd_of_a_continuous_label_matches_the_teachers_value():
    method = Blkd(DEGREES, Fixed([0.5]), frozen(Fixed([0.7])), label_weight=0.25, match_weight=2.0, temperature=9.0)
    losses = method(torch.zeros(3, 3, 4, 4), tensor([0.5, 0.5, 0.2]))
    assert losses["label"].item() == pytest.approx(0.25 * 0.03)
    assert losses["match"].item() == pytest.approx(2 * 0.04)


@pytest.mark.parametrize(("task", "outputs"), [(CLASSES, [1.0, -2.0, 0.3]), (DEGREES, [0.4])])
def test_a_student_that_equals_its_teacher_has_nothing_to_match(task, outputs):
    method = Blkd(task, Fixed(outputs), frozen(Fixed(outputs)), label_weight=1, match_weight=1, temperature=3)
    labels = tensor([0, 1]) if task is CLASSES else tensor([0.0, 1.0])
    losses = method(torch.zeros(2, 3, 4, 4), labels)
    assert losses["match"].item() == pytest.approx(0, abs=1e-6)
    losses["match"].backward()
    torch.testing.assert_close(method.student.outputs.grad, torch.zeros(len(outputs)), atol=1e-6, rtol=0)


def test_the_teacher_is_in_eval_mode_without_gradients_and_no_part_of_the_method():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    network.train()
    method = Blkd(CLASSES, Fixed([0.0, 0.0, 0.0]), frozen(network), label_weight=1, match_weight=1, temperature=1)
    method.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(8, 3, 2, 2)
    sum(method(images, torch.zeros(8, dtype=torch.int64)).values()).backward()
    assert not network.training
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert set(method.state_dict()) == {"student.outputs"}
    assert torch.equal(method.teacher(images), method.teacher(images)), "no dropout"


def test_methods_are_made_with_the_weights_of_the_preset():
    settings = preset.load("digits", ["distill.label_weight=0.5", "distill.match_weight=1.25",
                                      "distill.temperature=4.0"]).distill  # fmt: skip
    student, teacher = Fixed([0.0, 1.0, 0.0]), frozen(Fixed([1.0, 0.0, 2.0]))
    images, labels = torch.zeros(2, 3, 4, 4), tensor([0, 2])
    nokd = make_method("nokd", CLASSES, student, None, settings)(images, labels)
    for name in ("blkd", "takd"):
        losses = make_method(name, CLASSES, student, teacher, settings)(images, labels)
        assert losses["label"].item() == pytest.approx(0.5 * nokd["label"].item())
        match = softened_kl(student(images), teacher(images), 4.0)
        assert losses["match"].item() == pytest.approx(1.25 * match.item())


def test_a_method_without_its_teacher_is_a_bug_and_so_is_an_unknown_one():
    settings = preset.load("digits").distill
    with pytest.raises(AssertionError, match="blkd needs a teacher"):
        make_method("blkd", CLASSES, Fixed([0.0]), None, settings)
    with pytest.raises(AssertionError, match="unknown method sskd"):
        make_method("sskd", CLASSES, Fixed([0.0]), frozen(Fixed([0.0])), settings)
