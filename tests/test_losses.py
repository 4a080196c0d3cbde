"""Losses against numbers worked out by hand."""

import math

import pytest
import torch
from torch import tensor

from cgankd.losses import (
    hinge_discriminator,
    hinge_generator,
    kept_kl,
    ratio_penalty,
    softened_kl,
    softplus_ratio,
    too_alike,
    vanilla_discriminator,
    vanilla_generator,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_discriminators_hinge_counts_each_sample_by_its_weight():
    real, fake = tensor([2.0, 0.5, -1.0]), tensor([-2.0, 0.0, 1.0])
    ones = torch.ones(3)
    # real: 0, 0.5, 2; fake: 0, 1, 2
    assert hinge_discriminator(real, fake, ones, ones).item() == pytest.approx(2.5 / 3 + 3 / 3)
    weights, fake_weights = tensor([5.0, 1.0, 0.5]), tensor([9.0, 0.25, 2.0])
    assert hinge_discriminator(real, fake, weights, fake_weights).item() == pytest.approx(
        1.5 / 3 + 4.25 / 3
    )


def test_the_generators_hinge_is_the_negative_mean_score():
    assert hinge_generator(tensor([3.0, -1.0, 4.0])).item() == -2.0


def test_the_vanilla_losses_are_those_of_the_published_code_where_it_does_not_saturate():
    real, fake = [2.0, 0.5, -30.0], [-2.0, 0.0, 4.0]
    weights, fake_weights = [1.0, 0.5, 0.25], [0.25, 2.0, 1.0]

    def cost(score: float) -> float:
        return -math.log(sigmoid(score) + 1e-20)

    expected = sum(w * cost(score) for w, score in zip(weights, real, strict=True)) / 3
    expected += sum(w * cost(-score) for w, score in zip(fake_weights, fake, strict=True)) / 3
    assert vanilla_discriminator(
        *map(tensor, (real, fake, weights, fake_weights))
    ).item() == pytest.approx(expected, rel=1e-6)
    assert vanilla_generator(tensor(fake)).item() == pytest.approx(
        sum(map(cost, fake)) / 3, rel=1e-6
    )


def test_the_vanilla_losses_keep_their_gradient_where_the_sigmoid_is_zero():
    scores = tensor([-200.0, 200.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(vanilla_generator(scores), scores)
    assert gradient.tolist() == [-0.5, 0.0]


def test_the_gradient_of_a_discriminator_is_nowhere_larger_than_its_vanilla_loss():
    # what collapse.PINNED relies on: a loss near zero leaves nothing to learn
    scores = torch.linspace(-20, 20, 101, requires_grad=True)
    loss, none = torch.nn.functional.softplus(-scores), tensor([-1e9])
    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    assert (gradient.abs() <= loss).all()
    assert vanilla_discriminator(
        scores[:1], none, torch.ones(1), torch.ones(1)
    ).item() == pytest.approx(loss[0].item())


def test_softened_kl_is_t_squared_times_the_divergence_per_sample():
    student, teacher = (
        tensor([[0.0, 0.0], [0.0, 0.0]]),
        tensor([[0.0, 0.0], [4.0 * math.log(3), 0.0]]),
    )
    # at T = 4 the teacher says (1/2, 1/2) and (3/4, 1/4), the student (1/2, 1/2) twice
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert softened_kl(student, teacher, 4.0).item() == pytest.approx(16 * expected / 2, rel=1e-5)


def test_softened_kl_is_zero_where_student_and_teacher_agree_up_to_a_constant():
    logits = torch.randn(5, 7)
    assert softened_kl(logits, logits + 3, 2.0).item() == pytest.approx(0, abs=1e-6)
    assert softened_kl(logits, logits.flip(1), 2.0).item() > 0


def test_the_ratio_loss_is_that_of_the_paper():
    real, fake = [0.5, 2.0], [0.0, 1.0]
    expected = (
        sum(sigmoid(r) * r for r in fake) / 2
        - sum(math.log1p(math.exp(r)) for r in fake) / 2
        - sum(sigmoid(r) for r in real) / 2
    )
    assert softplus_ratio(tensor(real), tensor(fake)).item() == pytest.approx(expected, rel=1e-6)


def test_weights_of_the_ratio_loss_count_at_real_images_alone():
    real, fake, weights = [0.5, 2.0, 1.0], [0.0, 1.0], [1.0, 0.25, 0.0]
    expected = (
        sum(sigmoid(r) * r for r in fake) / 2
        - sum(math.log1p(math.exp(r)) for r in fake) / 2
        - (1.0 * sigmoid(0.5) + 0.25 * sigmoid(2.0) + 0.0) / 3
    )
    assert softplus_ratio(tensor(real), tensor(fake), tensor(weights)).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_the_ratio_loss_is_stationary_and_least_at_the_true_ratio():
    # Real images show a three times in four, fakes twice: the true ratio is 1.5 at a and 0.5 at b.
    def loss(ratio: torch.Tensor) -> torch.Tensor:
        a, b = ratio
        return softplus_ratio(torch.stack([a, a, a, b]), torch.stack([a, a, b, b]))

    true = tensor([1.5, 0.5], requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(true), true)
    torch.testing.assert_close(gradient, torch.zeros(2), atol=1e-7, rtol=0)
    for other in ([1.0, 1.0], [1.6, 0.5], [1.5, 0.4], [0.0, 0.0]):
        assert loss(tensor(other)) > loss(true)


def test_the_penalty_is_the_squared_distance_of_the_mean_ratio_from_one():
    assert ratio_penalty(tensor([1.0, 4.0])).item() == 2.25
    assert ratio_penalty(tensor([0.5, 1.5])).item() == 0


def test_the_kl_of_kept_rows_is_their_mean_and_zero_of_none():
    student, teacher = torch.randn(5, 4), torch.randn(5, 4)
    kept = torch.tensor([True, False, True, True, False])
    expected = softened_kl(student[kept], teacher[kept], 2.0)
    assert kept_kl(student, teacher, 2.0, kept).item() == pytest.approx(expected.item(), rel=1e-5)
    assert kept_kl(student, teacher, 2.0, torch.zeros(5, dtype=torch.bool)).item() == 0


def test_images_of_a_label_are_too_alike_by_the_share_of_the_variance_that_they_lack():
    one, other = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    one[0], other[0] = 0.5, -0.5  # a pair with a variance of 0.5, and one of equal images
    pairs = torch.cat([one, other]).requires_grad_(True)
    assert too_alike(pairs, 1.0).item() == pytest.approx(1 - 0.25)
    too_alike(pairs, 1.0).backward()
    assert (pairs.grad[0] < 0).all()  # a step drives them apart
    assert (pairs.grad[2] > 0).all()
    assert too_alike(pairs, 0.25).item() == too_alike(pairs, 0.1).item() == 0


def test_images_of_labels_that_do_not_vary_need_no_variety():
    alike = torch.zeros(4, 3, 2, 2, requires_grad=True)
    loss = too_alike(alike, 0.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(alike.grad).all()
