"""What measures of fakes mean: which are a fault, and which setting is named."""

import pytest

from cgankd.fakes.verdict import idle, judge

ALL = {"density": 0.9, "coverage": 0.9, "copies": 0.01}
ALONE = {"real": 10.0, "constant": 90.0, "metric": "error", "unit": "%"}


def row(variance: float | None = 0.9, alone: float | None = 12.0, **overall) -> dict:
    spread = None if variance is None else {"mean": variance, "deviation": None}
    windows = {"variance": spread}
    return {"sliding": None, "intra": windows, "alone": alone, "overall": {**ALL, **overall}}


def faults(raw: dict, auc: float | None = 0.9, effective: float = 0.6) -> dict[str, str]:
    found = judge(raw, row(1.0, None), ALONE, auc, effective)
    return {finding.about: finding.text for finding in found if finding.is_fault}


def test_healthy_fakes_have_no_fault_and_are_said_to_have_none():
    assert faults(row()) == {}
    (finding,) = judge(row(), row(1.0, None), ALONE, 0.9, 0.6)
    assert finding.text == (
        "No fault found: fakes of a label vary 0.90 times as much as real images; a student of "
        "them alone has a validation error of 12 %, one of real images 10 %."
    )


@pytest.mark.parametrize(
    ("raw", "about", "words", "key"),
    [
        (row(0.26), "variance", "has lost diversity: its fakes of a label vary 0.26", "gan.steps"),
        (row(1.7), "variance", "has not settled", "gan.learning_rate"),
        (row(alone=31.0), "alone", "error of 31 %, one of real images 10 %", "gan.steps"),
        (row(coverage=0.4), "coverage", "come near 40% of the training images", "gan.width"),
        (row(density=0.4), "density", "0.40 times as dense", "a lower rho"),
        (row(copies=0.12), "copies", "12% of the fakes are nearly training", "gan.diffaugment"),
    ],
)
def test_a_fault_is_named_with_the_setting_to_change(raw, about, words, key):
    found = faults(raw)
    assert list(found) == [about]
    assert words in found[about]
    assert key in found[about]


def test_what_was_not_measured_is_no_fault():
    raw = row(None, None, density=None, coverage=None)
    assert judge(raw, row(), None, None, 0.6)[0].text == (
        "No fault found: too few images to tell more."
    )


def test_windows_of_a_continuous_label_come_before_its_labels():
    raw = {**row(0.2), "sliding": {"variance": {"mean": 0.9, "deviation": None}}}
    assert faults(raw) == {}


def test_a_ratio_that_weighs_alike_or_tells_nothing_is_idle():
    assert idle(0.9, 0.6) == idle(None, 0.6) == ""
    assert "effective share 99.9%" in idle(0.97, 0.999)
    assert "AUC 0.51" in idle(0.51, 0.6)
    assert "Subsampling is idle" in faults(row(), auc=0.51)["ratio"]
    assert "dre.steps" in faults(row(), auc=0.51)["ratio"]
