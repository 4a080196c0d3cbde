"""What is read of a run folder, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from handmade import NOKD, begun, distilled, evaluated, finish, make_run, members

from cgankd import report, runs
from cgankd.errors import DATA, UserError
from cgankd.runs import Artefact, RunFolder

RECORDS = {
    "data": "data.json",
    "teacher": "teacher/resnet8_x2/teacher.json",
    "pool": "generate/pool.json",
    "rho": "rho/rho.json",
    "evaluation": "evaluate/evaluate.json",
    "nokd": "distill/nokd.json",
    "student": "students/nokd-seed0/student.json",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a record of every kind."""
    root = make_run(tmp_path_factory.mktemp("whole"))
    run = RunFolder(root)
    finish(run.evaluation, "evaluate", **evaluated())
    finish(run.student("nokd-seed0"), "distill")
    return root


def test_what_is_not_finished_or_set_aside_is_left_out(tmp_path: Path):
    run = begun(tmp_path)
    distilled(run, "nokd.1234abcd", members("nokd", NOKD))  # set aside
    Artefact(run.distill("blkd"), "distill", {}).begin()
    records = report.read(tmp_path)
    assert (records.methods, records.gan, records.search) == ({}, None, None)


def test_methods_stand_in_the_order_of_the_preset_with_nokd_first(tmp_path: Path):
    assert list(report.read(make_run(tmp_path)).methods) == ["nokd", "nokd+fake", "blkd"]


@pytest.mark.parametrize(
    ("record", "place", "value", "words"),
    [
        ("nokd", "members", ..., "members is missing"),
        ("nokd", "members", [], "members is [], expected a list that is not empty"),
        ("nokd", "members.1.test", "12", "members[1].test is '12', expected a number"),
        ("nokd", "members.0.seed", True, "members[0].seed is True, expected a whole number"),
        ("nokd", "members.0.network", ..., "members[0].network is missing"),
        ("nokd", "unit", None, "unit is None, expected a text"),
        ("nokd", "budget", "epoch", "budget is 'epoch', expected 'steps' or 'epochs'"),
        ("nokd", "made_on", "cpu", "made_on is 'cpu', expected an object"),
        ("rho", "table.0.mean", None, "table[0].mean is None, expected a number"),
        ("rho", "leaky", "no", "leaky is 'no', expected true or false"),
        ("rho", "best_rho", float("nan"), "best_rho is nan, expected a number"),
        ("teacher", "validation", 10**400, "validation is 1000"),
        ("pool", "labels.1.name", 3, "labels[1].name is 3, expected a text"),
        ("pool", "label.kind", "grade", "label is {'kind': 'grade'"),
        (
            "pool",
            "label",
            {"kind": "continuous"},
            "label is {'kind': 'continuous'}, expected the facts of one",
        ),
        (
            "pool",
            "label",
            {"kind": "class"},
            "label is {'kind': 'class'}, expected the facts of one",
        ),
        ("evaluation", "rows.0.sliding.fid", [], "rows[0].sliding.fid is [], expected an object"),
        ("evaluation", "missing", {"other": "x"}, "a key of missing is 'other', expected 'intra'"),
        ("data", "rows.train.num", "all", "rows.train.num is 'all', expected a whole number"),
        ("student", "content", ..., "content is missing"),
    ],
)
def test_a_fact_that_is_missing_or_mistyped_is_named_with_its_file(
    whole: Path, record: str, place: str, value: Any, words: str
):
    path = whole / RECORDS[record]
    kept = path.read_bytes()
    runs.write_json(path, spoilt(json.loads(kept), place, value))
    try:
        with pytest.raises(UserError) as caught:
            report.read(whole)
    finally:
        path.write_bytes(kept)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert caught.value.code == DATA
    assert caught.value.hint


def spoilt(facts: Any, place: str, value: Any) -> Any:
    """A record with another fact in a place, or without it."""
    at, *rest = place.split(".")
    key: Any = int(at) if isinstance(facts, list) else at
    if rest:
        facts[key] = spoilt(facts[key], ".".join(rest), value)
    elif value is ...:
        del facts[key]
    else:
        facts[key] = value
    return facts


def test_facts_that_the_report_does_not_use_may_be_anything(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    runs.write_json(run.search, {**runs.read_json(run.search), "metric": 7, "new": [None]})
    assert report.read(tmp_path).search.best_rho == 0.5
