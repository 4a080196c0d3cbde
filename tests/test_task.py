"""Classification and regression: conversions, errors and scores by hand."""

import math

import pytest
import torch
from torch import tensor

from cgankd.errors import UserError
from cgankd.task import Classification, Regression, make_task

classes = Classification(["cat", "dog", "emu"])
degrees = Regression(10.0, 90.0, "degrees")


def test_a_record_makes_the_task_that_it_describes():
    task = make_task({"kind": "class", "classes": ["a", "b"]})
    assert isinstance(task, Classification)
    assert task.outputs == 2
    task = make_task({"kind": "continuous", "min": 1.0, "max": 61.0, "unit": "years"})
    assert isinstance(task, Regression)
    assert (task.minimum, task.maximum, task.unit) == (1.0, 61.0, "years")
    with pytest.raises(ValueError, match="ordinal"):
        make_task({"kind": "ordinal"})


def test_class_labels_are_themselves():
    labels = tensor([2, 0, 1])
    assert torch.equal(classes.scale(labels), labels)
    assert classes.grid(None).tolist() == [0, 1, 2]
    assert [classes.name(label) for label in (0, 2.0)] == ["cat", "emu"]


def test_continuous_labels_are_scaled_to_the_unit_interval_and_named_in_their_unit():
    torch.testing.assert_close(degrees.scale(tensor([10.0, 30.0, 90.0])), tensor([0.0, 0.25, 1.0]))
    assert degrees.name(0.25) == "30"
    torch.testing.assert_close(degrees.grid(4), tensor([0.125, 0.375, 0.625, 0.875]))


def test_labels_to_generate_can_be_named_in_their_unit():
    torch.testing.assert_close(degrees.grid([90.0, 10.0, 50.0]), tensor([0.0, 0.5, 1.0]))
    with pytest.raises(UserError, match="two are 50 to float32") as caught:
        degrees.grid([50.0, 50.0 + 1e-9])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.0, 90.0, 0.1), (-88.13, 97.92, 0.01), (1.0, 60.0, 1.0)]
)
def test_labels_with_a_step_are_freed_of_their_rounding(low, high, step):
    multiples = torch.arange(round(low / step), round(high / step) + 1, dtype=torch.float64) * step
    scaled = Regression(low, high, "").scale(multiples.float())
    exact = Regression(low, high, "", step).exact(scaled)
    torch.testing.assert_close(exact, (multiples - low) / (high - low), rtol=0, atol=1e-14)
    assert exact.diff().max().item() == pytest.approx(step / (high - low), rel=1e-9)
    assert torch.equal(Regression(low, high, "").exact(scaled), scaled.double()), (
        "without a step as they are"
    )
    assert classes.exact(tensor([2, 0])).tolist() == [2, 0]


def test_classes_are_groups_of_images_and_values_are_not():
    assert classes.groups(tensor([2, 0, 2])).tolist() == [2, 0, 2]
    assert degrees.groups(tensor([0.1, 0.9, 0.1])).tolist() == [0, 0, 0]


def test_class_errors_are_cross_entropies_in_nats_and_their_mean_is_the_loss():
    outputs, labels = tensor([[0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0]]), tensor([1, 0])
    errors = classes.errors(outputs, labels)
    torch.testing.assert_close(errors, tensor([math.log(3), math.log(2)]))
    assert classes.loss(outputs, labels).item() == pytest.approx(errors.mean().item())


def test_class_errors_are_fp32_whatever_the_outputs_are():
    outputs = tensor([[12.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert classes.errors(outputs, tensor([0])).item() == pytest.approx(2 * math.exp(-12), rel=1e-2)


def test_class_scores_are_percent_of_wrong_answers():
    outputs, labels = (
        tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 1.0, 0]]),
        tensor([0, 1, 1, 0]),
    )
    assert classes.score(outputs, labels) == 50.0
    assert classes.relabel(outputs).tolist() == [0, 1, 2, 1]
    # the constant answer is the most frequent class of the training labels
    assert classes.constant_score(tensor([2, 1, 1, 0]), labels) == 50.0
    assert classes.constant_score(tensor([2, 2, 0]), labels) == 100.0


def test_regression_errors_are_in_the_labels_unit_and_relabelling_clamps():
    outputs, labels = tensor([[0.5], [1.7], [-0.2]]), tensor([0.25, 1.0, 0.5])
    torch.testing.assert_close(degrees.errors(outputs, labels), tensor([20.0, 56.0, 56.0]))
    torch.testing.assert_close(degrees.clipped_errors(outputs, labels), tensor([20.0, 0.0, 40.0]))
    assert degrees.score(outputs, labels) == pytest.approx(44.0)
    torch.testing.assert_close(degrees.answer(outputs), tensor([0.5, 1.7, -0.2]))
    torch.testing.assert_close(degrees.relabel(outputs), tensor([0.5, 1.0, 0.0]))


def test_the_regression_loss_is_the_squared_error_of_unclamped_outputs():
    assert degrees.loss(tensor([[0.5], [1.5]]), tensor([0.0, 1.0])).item() == pytest.approx(0.25)


def test_the_constant_answer_of_regression_is_the_training_median():
    assert degrees.constant_score(tensor([0.0, 0.5, 1.0]), tensor([0.25, 1.0])) == pytest.approx(
        80 * 0.375
    )


def test_matching_a_teacher_that_one_equals_costs_nothing():
    logits, values = torch.randn(4, 3), torch.rand(4, 1)
    assert classes.match(logits, logits, 5.0).item() == pytest.approx(0, abs=1e-6)
    assert degrees.match(values, values, 5.0).item() == 0
    assert degrees.match(values, values + 0.1, 5.0).item() == pytest.approx(0.01)
    assert degrees.match(values, values + 0.1, 1.0).item() == pytest.approx(0.01), (
        "a value has no temperature"
    )


def test_what_is_deployed_of_classes_is_probabilities_and_goes_back_to_the_same_answers():
    outputs = tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 5.0]])
    readout = classes.readout(outputs)
    torch.testing.assert_close(readout.sum(1), torch.ones(2))
    assert readout[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1) + math.exp(-2)))
    back = classes.outputs_of(readout)
    torch.testing.assert_close(classes.readout(back), readout)
    assert torch.equal(classes.answer(back), classes.answer(outputs))
    told = classes.describe(outputs, 2)
    assert [one["label"] for one in told] == ["cat", "emu"]
    assert [one["label"] for one in told[0]["top"]] == ["cat", "dog"]
    assert told[0]["confidence"] == pytest.approx(readout[0, 0].item())
    assert "top" not in classes.describe(outputs, 1)[0]


def test_what_is_deployed_of_numbers_is_values_in_their_unit():
    outputs = tensor([[0.25], [1.5]])
    readout = degrees.readout(outputs)
    assert readout.tolist() == [30.0, 130.0], "beyond the range, as it is scored"
    torch.testing.assert_close(degrees.outputs_of(readout).float(), outputs)
    assert degrees.describe(outputs, 1)[0] == {"value": 30.0, "unit": "degrees"}


def test_the_score_is_the_mean_of_the_scores_of_images_and_told_by_parts_of_the_label():
    outputs, labels = torch.eye(3)[[0, 0, 2, 1]], tensor([0, 1, 1, 1])
    assert classes.scores(outputs, labels).tolist() == [0, 100, 100, 0]
    assert classes.score(outputs, labels) == 50
    parts = classes.breakdown(outputs, labels)
    assert parts["confusion"] == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert [(one["label"], one["images"]) for one in parts["parts"]] == [
        ("cat", 1),
        ("dog", 3),
        ("emu", 0),
    ]
    assert [one["error"] for one in parts["parts"]] == [0, pytest.approx(200 / 3), None]
    outputs, labels = tensor([[0.1], [0.5], [1.2]]), tensor([0.0, 0.25, 1.0])
    assert degrees.scores(outputs, labels).tolist() == pytest.approx([8, 20, 16])
    assert degrees.score(outputs, labels) == pytest.approx(44 / 3)
    parts = degrees.breakdown(outputs, labels)
    assert parts["bias"] == pytest.approx(44 / 3)
    assert [one["label"] for one in parts["parts"]][:2] == ["10 to 26", "26 to 42"]
    assert [one["images"] for one in parts["parts"]] == [1, 1, 0, 0, 1]
    assert parts["parts"][1]["error"] == pytest.approx(20)
