"""How far a run has come."""

from pathlib import Path

from handmade import NOKD, begun, distilled, finish, make_run, members

from cgankd import report, runs
from cgankd.report import progress
from cgankd.runs import Artefact


def test_a_stage_is_done_begun_or_missing_by_its_records(tmp_path: Path):
    run = begun(tmp_path)
    Artefact(run.gan, "train-gan", {}).begin()
    runs.write_bytes(run.gan.parent / "metrics.jsonl", b'{"step": 40, "generator": 1.0}\n')
    finish(run.teacher("resnet8_x2"), "train-teacher", parameters=1, validation=5.0)
    distilled(run, "nokd", members("nokd", NOKD))
    rows = {row["stage"]: row for row in progress.stages(report.read(tmp_path))}
    states = {stage: row["state"] for stage, row in rows.items()}
    assert states == {
        "train-gan": "begun",
        "train-teacher": "done",
        "fit-dre": "missing",
        "generate": "missing",
        "evaluate": "missing",
        "select-rho": "missing",
        "distill": "begun",
    }
    assert rows["train-gan"]["not_done"] == {"gan/gan.json": 40}
    undone = ["distill/nokd+fake.json", "distill/blkd.json", "distill/blkd+fake.json"]
    assert rows["distill"]["not_done"] == dict.fromkeys(undone)
    assert rows["train-teacher"]["not_done"] == {}


def test_students_are_counted_whoever_asked_for_them(tmp_path: Path):
    run = begun(tmp_path)
    for name in ("a-seed0-12345678", "a-seed1-12345678", "set.aside"):
        finish(run.student(name), "distill")
    Artefact(run.student("b-seed0-12345678"), "distill", {}).begin()
    assert progress.students(report.read(tmp_path)) == {"done": 2, "begun": 1}
    assert progress.students(report.read(make_run(tmp_path / "none"))) == {"done": 0, "begun": 0}
