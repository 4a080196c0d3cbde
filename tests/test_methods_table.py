"""The table of methods: each has its objective, and applies or not."""

import pytest
from refusals import refused

from cgankd import methods, preset
from cgankd.models import make_network
from cgankd.preset import load
from cgankd.task import Classification


def test_every_available_method_has_an_objective():
    settings = load("digits", ["distill.sskd.head.steps=1"]).distill
    constants = {"side": 16, "mean": [0.5] * 3, "std": [1.0] * 3}
    student = make_network({"name": "cnn", "trunk": "resnet8_x0_25", "outputs": 10, **constants})
    for name, facts in preset.METHODS.items():
        teacher = methods.Teacher(student) if facts.teacher else None
        assert methods.make_method(name, Classification(["a"] * 10), student, teacher, settings)


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("digits", "sskd", r"distill.methods: sskd needs the table \[distill.sskd\]"),
        (
            "digits-angle",
            "sskd+fake",
            "distill.methods: sskd is for class labels; for a continuous label there are nokd",
        ),
        ("digits-angle", "blkd+uda", r"distill.methods: blkd\+uda is for class labels"),
    ],
)
def test_a_method_that_does_not_apply_is_refused(kind, method, words):
    refused(kind, words, [f"distill.methods=['{method}']"])


def test_fake_alone_means_nokd_with_fakes():
    assert preset.check_method("fake") == "nokd+fake"
    assert preset.check_method("blkd+fake") == "blkd+fake"


@pytest.mark.parametrize(
    ("name", "base", "fakes"),
    [
        ("nokd", "nokd", False),
        ("nokd+fake", "nokd", True),
        ("blkd+uda", "blkd+uda", False),
        ("blkd+uda+fake", "blkd+uda", True),
    ],
)
def test_fakes_are_data_and_no_part_of_a_method(name, base, fakes):
    assert (preset.base_of(name), preset.uses_fakes(name)) == (base, fakes)
    assert preset.check_method(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bkld", r"unknown method; did you mean blkd\?, each also with \+fake"),
        ("fitnet", r"unknown method \(known: nokd, blkd, takd, sskd, blkd\+uda\)"),
        ("fake+fake", "unknown method"),
    ],
)
def test_an_unknown_method_is_answered_with_the_known_ones(name, words):
    with pytest.raises(ValueError, match=words):
        preset.check_method(name)


def test_the_keys_that_change_the_students_of_a_method_are_those_of_distill():
    settings = load("digits", ["distill.sskd.head.steps=1"]).distill
    for name, facts in preset.METHODS.items():
        assert set(facts.settings) <= set(type(settings).model_fields), name
        assert bool(facts.settings) == facts.teacher, "who has no teacher has nothing to weigh"
        assert facts.teacher or not (facts.assistant or facts.head)
