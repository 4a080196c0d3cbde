"""Reasons for caution in the records of a run."""

from pathlib import Path

from handmade import SETTINGS, finish, make_run

from cgankd import preset, report, runs
from cgankd.report import cautions
from cgankd.runs import RunFolder


def test_an_artefact_of_another_input_is_pointed_out(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    finish(run.dre, "fit-dre", inputs={"train-gan": "0" * 64}, mean_ratio=1.0, effective_share=0.9)
    assert cautions.stale(report.read(tmp_path)) == [
        "dre/dre.json was made from another result of train-gan than stands here."
    ]


def test_students_of_different_training_are_pointed_out(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    finish(run.student("nokd-seed0"), "distill", inputs={"training": {"steps": 60}})
    finish(run.student("blkd-seed0"), "distill", inputs={"training": {"steps": 90}})
    assert "not all trained with the same settings" in cautions.unequal(report.read(tmp_path))[0]


def test_only_a_teacher_that_loses_to_nokd_is_a_caution(tmp_path: Path):
    assert cautions.harmful_teachers(report.read(make_run(tmp_path / "good", teacher=11.9))) == []
    (caution,) = cautions.harmful_teachers(report.read(make_run(tmp_path / "bad", teacher=12.0)))
    assert (
        "resnet8_x2 has a validation error of 12 %, no better than the 12 % of resnet8_x0_25"
        in caution
    )


def test_students_without_the_crops_of_their_teacher_are_a_weak_baseline(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    assert cautions.weak_baseline(report.read(tmp_path)) == []
    for students, expected in ((["crop"], 0), (["noise"], 1)):
        changes = ["teacher.augment=['crop', 'noise']", f"distill.augment={students}"]
        settings = preset.load("digits", [*SETTINGS, *changes])
        runs.write_bytes(run.preset, preset.dump(settings).encode())
        found = cautions.weak_baseline(report.read(tmp_path))
        assert len(found) == expected
    assert "changed by crop, the students did not" in found[0]


def test_a_search_on_rows_that_were_trained_on_is_a_caution(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    assert cautions.leaks(report.read(tmp_path)) == []
    runs.write_json(run.search, {**runs.read_json(run.search), "leaky": True})
    (caution,) = cautions.leaks(report.read(tmp_path))
    assert "search for rho is leaky" in caution
