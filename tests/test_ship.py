"""Which student of a run to use, and the card that says what it is."""

from pathlib import Path

from handmade import HOSTILE, distilled, make_run, members, summary_of

from cgankd import report
from cgankd.label import make_label
from cgankd.report import best_student
from cgankd.runs import RunFolder

CLASSES = make_label({"kind": "class", "classes": [HOSTILE, "$b_"]})


def test_the_best_by_validation_is_shipped_whatever_the_test_says(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    rows = members("nokd+fake", {0: 9.0, 1: 10.0}, rho=0.5)
    rows[1] |= {"validation": 1.0, "test": 99.0}
    distilled(run, "nokd+fake", rows)
    assert best_student(report.read(tmp_path)).student == "nokd+fake-seed1"
    ship = summary_of(tmp_path)["ship"]
    assert (ship["method"], ship["seed"], ship["test"]) == ("nokd+fake", 1, 99.0)
    assert (ship["parameters"], ship["bytes"]) == (5214, None)
    assert ship["path"] == str(tmp_path / "students" / "nokd+fake-seed1")


def test_of_equally_good_students_the_smallest_is_shipped(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    small = members("blkd", {5: 9.0}, teacher="resnet8_x2", parameters=100)
    distilled(run, "blkd", small)
    assert best_student(report.read(tmp_path)).student == "blkd-seed5"


def test_where_nothing_was_scored_nothing_is_shipped(tmp_path: Path):
    make_run(tmp_path)
    for record in (tmp_path / "distill").iterdir():
        record.unlink()
    assert summary_of(tmp_path)["ship"] is None


def test_a_card_says_how_the_student_was_made_and_how_well_it_does(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    parts = [
        {"label": HOSTILE, "images": 700, "error": 12.5},
        {"label": "$b_", "images": 0, "error": None},
    ]
    distilled(run, "blkd", members("blkd", {0: 11.0, 1: 13.0}, teacher="resnet8_x2", parts=parts))
    records = report.read(tmp_path)
    text = report.card(CLASSES, 16, 5214, records=records, student="blkd-seed0")
    for words in (
        "which of 2 classes",
        "16 x 16",
        "5,214 parameters",
        "| images | 200 train, 1,397 test |",
        "| method | blkd |",
        "| teacher | resnet8_x2 |",
        "| training | 60 steps, seed 0 |",
        "Test error: 11 % on 1,397 images",
        "Over 2 seeds of the same training the test error is 12 ± 1.4 %",
        "| 700 | 12.5 |",
        "| $b_ | 0 | - |",
        "cgankd.load('blkd-seed0')",
    ):
        assert words in text, words
    assert "<script>" not in text
    assert "fakes" not in text


def test_a_card_of_a_network_whose_run_is_not_known_says_only_what_it_is():
    label = make_label({"kind": "continuous", "min": 0.0, "max": 60.0, "unit": "years"})
    facts = {"images": "64 images of noise", "difference": 2e-7}
    text = report.card(label, 64, 1_000_000, file="face.onnx", exported=facts)
    assert "a number from 0 to 60 years" in text
    assert "by at most 2e-07" in text
    assert "How it was made" not in text
    assert "not clipped" in text


def test_networks_are_set_out_by_size_with_those_that_no_smaller_one_equals(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    for record in (tmp_path / "distill").iterdir():
        record.unlink()
    distilled(run, "nokd", members("nokd", {0: 9.0, 1: 11.0}, parameters=50))
    distilled(run, "blkd", members("blkd", {0: 10.5, 1: 11.5}, parameters=70))
    distilled(run, "blkd+fake", members("blkd+fake", {0: 4.0}, rho=0.5, parameters=70))
    found = {(row["name"], row["method"]): row for row in summary_of(tmp_path)["by_size"]}
    students = {method: row for (_, method), row in found.items() if method}
    scored = {row["method"]: row["validation"] for row in students.values()}
    assert scored["nokd"] == 10.0, "the mean over seeds"
    assert scored["blkd"] == 11.0
    best = [row["method"] for row in students.values() if row["frontier"]]
    assert best == ["nokd", "blkd+fake"], "in the order of their size"
    assert any(not method for _, method in found), "teachers, too"
