"""Labels without torch: what files write becomes what networks take, and back."""

import numpy as np
import pytest

from cgankd.label import KINDS, arguments, check_kind, make_label
from cgankd.task import TASKS, make_task

PETS = {"kind": "class", "classes": ["cat", "dog", "emu"]}
DEGREES = {"kind": "continuous", "min": 10.0, "max": 90.0, "unit": "degrees"}


def test_every_kind_of_label_has_its_task_and_both_are_made_from_the_same_facts():
    assert KINDS.keys() == TASKS.keys()
    for facts in (PETS, DEGREES, {**DEGREES, "step": 0.5}):
        label, task = make_label(facts), make_task(facts)
        assert label.kind == facts["kind"]
        assert vars(task.label) == vars(label)
        assert label.dtype == np.dtype(str(task.dtype).removeprefix("torch."))
        assert "kind" not in arguments(facts)


def test_what_is_known_of_a_kind_is_known_before_there_are_data():
    classes, numbers = KINDS["class"], KINDS["continuous"]
    assert (classes.discrete, classes.distribution) == (True, True)
    assert (numbers.discrete, numbers.distribution) == (False, False)
    assert (classes.noun, numbers.noun) == ("a class label", "a continuous label")


def test_an_unknown_kind_is_named_with_the_known_ones():
    for make in (check_kind, make_label):
        with pytest.raises(ValueError, match=r"ordinal \(known: class, continuous\)"):
            make({"kind": "ordinal", "grades": 5})


def test_classes_stay_as_they_are_written_and_become_integers():
    label = make_label(PETS)
    assert (label.low, label.high, label.unit, label.classes) == (0, 2, "", ("cat", "dog", "emu"))
    for written in (np.array([2, 0, 1], np.uint8), np.array([2.0, 0.0, 1.0])):
        taken = label.scaled(written)
        assert (taken.dtype, taken.tolist()) == (np.int64, [2, 0, 1])
    assert (label.unscaled(taken).dtype, label.unscaled(taken).tolist()) == (np.float64, [2, 0, 1])


def test_numbers_are_scaled_to_the_unit_interval_and_come_back_in_their_unit():
    label = make_label(DEGREES)
    taken = label.scaled(np.array([10, 30, 90]))
    assert (taken.dtype, taken.tolist()) == (np.float32, [0.0, 0.25, 1.0])
    assert label.unscaled(taken).tolist() == [10.0, 30.0, 90.0]
    values = np.random.default_rng(0).uniform(10, 90, 1000)
    np.testing.assert_allclose(
        label.unscaled(label.scaled(values)), values, rtol=0, atol=80 / 2**24
    )


@pytest.mark.parametrize(
    ("facts", "values", "words"),
    [
        (PETS, [0, 3, 7], "row 1 is 3, expected classes from 0 to 2"),
        (PETS, [0, -1], "row 1 is -1, expected classes from 0 to 2"),
        (PETS, [0.5], "row 0 is 0.5, expected classes from 0 to 2"),
        (PETS, [0, float("nan")], "row 1 is nan, expected classes"),
        (DEGREES, [10, 90.5], "row 1 is 90.5, expected labels in degrees from 10 to 90"),
        (DEGREES, [9.5], "row 0 is 9.5, expected labels in degrees from 10 to 90"),
        (DEGREES, [float("inf")], "row 0 is inf"),
        (DEGREES, [20, float("nan")], "row 1 is nan"),
    ],
)
def test_the_first_value_that_is_no_label_is_named(facts, values, words):
    with pytest.raises(ValueError, match=words):
        make_label(facts).scaled(np.array(values))


def test_no_values_are_labels_too():
    assert len(make_label(PETS).scaled(np.array([]))) == 0
