"""Which student of a run to use, and the card that says what it is."""

from pathlib import Path
from typing import Any

import pytest
from handmade import HOSTILE, distilled, finish, make_run, members, summary_of

from cgankd import report, runs
from cgankd.label import make_label
from cgankd.report import best_student, kinds, untimed
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


@pytest.fixture
def several(tmp_path: Path) -> RunFolder:
    """A run with a teacher and students of two sizes, whose small network is the slower one."""
    run = RunFolder(make_run(tmp_path))
    for record in (tmp_path / "distill").iterdir():
        record.unlink()
    distilled(run, "nokd", members("nokd", {0: 9.0, 1: 11.0}, parameters=50))
    distilled(run, "blkd", members("blkd", {0: 10.5, 1: 11.5}, parameters=70))
    distilled(run, "blkd+fake", members("blkd+fake", {0: 4.0}, rho=0.5, parameters=70))
    return run


def time(network: str, parameters: int, one: float) -> dict[str, Any]:
    costs = {"multiply_adds": 10 * parameters, "one": one, "batch": 9 * one}
    return {"network": network, "parameters": parameters, **costs}


def write_times(run: RunFolder, *networks: dict[str, Any]) -> None:
    machine = {"processor": HOSTILE, "threads": 1, "cores": 2, "load": 2.5, "torch": "2.9"}
    facts = {"images": 64, "networks": list(networks), "made_on": machine}
    runs.write_json(run.latency, facts)


def test_networks_are_set_out_by_size_with_those_that_no_smaller_one_equals(several):
    found = {row["method"]: row for row in summary_of(several.root)["by_cost"] if row["method"]}
    assert found["nokd"]["validation"] == 10.0, "the mean over seeds"
    assert found["blkd"]["validation"] == 11.0
    best = [method for method, row in found.items() if "parameters" in row["frontier"]]
    assert best == ["nokd", "blkd+fake"], "in the order of their size"
    roles = [row["role"] for row in summary_of(several.root)["by_cost"]]
    assert roles == ["student"] * 3 + ["teacher"]
    assert {row["one"] for row in found.values()} == {None}


def test_networks_are_set_out_by_time_where_it_was_measured(several):
    write_times(several, time("resnet8_x0_25", 50, 3.0), time("resnet8_x0_25", 70, 2.0))
    found = {row["method"]: row for row in summary_of(several.root)["by_cost"]}
    assert found["nokd"]["one"] == 3.0
    assert found["nokd"]["frontier"] == ["parameters"], "larger ones are faster, and better"
    assert found["blkd+fake"]["frontier"] == ["parameters", "one", "batch"]
    ship = summary_of(several.root)["ship"]
    assert (ship["one"], ship["batch"], ship["multiply_adds"]) == (2.0, 18.0, 700)
    assert found[""]["one"] is None, "of the teacher nothing is known"


def test_what_stands_and_was_not_measured_yet_is_known(several):
    """Of the students there are no folders here."""
    kind = ("resnet8_x2", 308_650)
    assert kinds(report.read(several.root)) == {kind: several.teacher("resnet8_x2")}
    assert untimed(report.read(several.root))
    write_times(several, time("resnet8_x2", 80, 1.0))
    assert untimed(report.read(several.root)), "it was another network of that name"
    write_times(several, time(*kind, 1.0))
    assert not untimed(report.read(several.root))


def test_an_assistant_is_set_out_by_the_digest_that_its_student_names(several):
    rows = members("takd", {0: 5.0, 1: 6.0}, teacher="resnet8_x2", assistant="resnet8_x0_5")
    distilled(several, "takd", rows)
    for seed, digest in enumerate(("a" * 64, "b" * 64)):
        record = several.student(f"takd-seed{seed}")
        finish(record, "distill", inputs={"assistant": digest})
        taught = several.student(f"resnet8_x0_5-blkd-seed{seed}-{digest[:8]}")
        facts = {"parameters": 60, "fakes": 0, "validation": 7.0 + seed}
        finish(taught, "distill", network="resnet8_x0_5", **facts)
    other = several.student("resnet8_x0_5-blkd-seed0-cccccccc")  # of other settings, before
    finish(other, "distill", network="resnet8_x0_5", parameters=60, fakes=0, validation=1.0)
    (found,) = [row for row in summary_of(several.root)["by_cost"] if row["role"] == "assistant"]
    assert (found["name"], found["method"], found["validation"]) == ("resnet8_x0_5", "blkd", 7.5)


def test_the_page_tells_times_and_on_what_they_are_those(several):
    page = report.build([several.root], several.report)
    assert f"cgankd bench {several.root} measures it" in page.with_name("report.md").read_text()
    write_times(
        several,
        *(time("resnet8_x0_25", parameters, 2.0) for parameters in (50, 70)),
        time("resnet8_x2", 308_650, 4.0),
    )
    report.build([several.root], several.report)
    text = page.with_name("report.md").read_text()
    assert "2 ms for one and 18 ms for 64" in text
    assert "1 thread, with" in text
    assert "a load of 2.5 on 2 cores; others computed there" in text
    assert HOSTILE not in page.read_text()
