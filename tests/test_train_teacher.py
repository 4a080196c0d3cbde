"""train-teacher: whether a network may teach."""

import math

import pytest
from torch import tensor

from cgankd.errors import UserError
from cgankd.stages import train_teacher
from cgankd.task import Classification, Regression

CLASSES, DEGREES = Classification(["a", "b"]), Regression(0.0, 90.0, "degrees")


def test_a_teacher_better_than_a_constant_answer_passes_with_its_score():
    outputs, labels = tensor([[1.0, 0], [0, 1.0], [1.0, 0], [0, 1.0]]), tensor([0, 1, 0, 0])
    assert train_teacher.check(CLASSES, "net", outputs, tensor([1, 1, 0]), labels) == 25.0
    values = tensor([[0.2], [0.4], [0.9]])
    assert train_teacher.check(
        DEGREES, "net", values, tensor([0.5]), tensor([0.1, 0.4, 1.0])
    ) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("task", "outputs", "train", "labels"),
    [
        (CLASSES, tensor([[1.0, 0]] * 4), tensor([0, 0, 1]), tensor([0, 0, 1, 1])),
        (CLASSES, tensor([[0, 1.0]] * 4), tensor([0, 0, 1]), tensor([0, 0, 0, 1])),
        (CLASSES, tensor([[1.0, 0], [math.nan, 0]]), tensor([1]), tensor([0, 0])),
        (DEGREES, tensor([[0.5], [0.5]]), tensor([0.5]), tensor([0.0, 1.0])),
        (DEGREES, tensor([[math.nan], [0.1]]), tensor([0.5]), tensor([0.0, 0.1])),
    ],
)
def test_a_teacher_no_better_than_a_constant_answer_is_refused(task, outputs, train, labels):
    with pytest.raises(
        UserError, match=f"teacher net: validation {task.metric} .* constant answer"
    ) as caught:
        train_teacher.check(task, "net", outputs, train, labels)
    assert caught.value.code == 70
    assert "[teacher]" in caught.value.hint
