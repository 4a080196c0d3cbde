"""The tables of the report, as text."""

from pathlib import Path

from handmade import (
    BLKD,
    FAKE,
    NOKD,
    SETTINGS,
    WORSE,
    distilled,
    evaluated,
    finish,
    make_run,
    members,
    summary_of,
)

from cgankd import preset, runs
from cgankd.report import tables
from cgankd.runs import RunFolder


def test_several_runs_share_one_table_of_settings_and_networks_by_method(tmp_path: Path):
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b", rho=None, name="other")
    assisted = members("takd", WORSE, teacher="resnet8_x2", assistant="resnet8")
    distilled(RunFolder(first), "takd", assisted)
    distilled(
        RunFolder(second), "takd", members("takd", BLKD, teacher="resnet8", assistant="resnet20")
    )
    table = tables.settings([summary_of(first), summary_of(second, "other")])
    nokd, fake, blkd, none = "12.00 ± 2.00", "10.00 ± 1.00", "12.00 ± 2.65", tables.NONE
    assert table.columns == {
        "setting": ["digits", "other", "other"],
        "metric": ["error (%)"] * 3,
        "teacher": ["resnet8_x2", "resnet8_x2", "resnet8"],
        "assistant": ["resnet8", none, "resnet20"],
        "student": ["resnet8_x0_25"] * 3,
        "nokd": [nokd] * 3,
        "nokd+fake": [fake, fake + tables.NOTED, fake + tables.NOTED],
        "blkd": [blkd, blkd, none],
        "takd": ["13.00 ± 2.00", none, blkd],
    }
    assert table.marks == [{"nokd+fake": "better"}] * 3, "what is worse is not bold"


def test_the_budget_is_said_in_words_and_what_fakes_cost_at_equal_epochs():
    rows = [
        {"method": "nokd", "steps": 350, "fakes": 0},
        {"method": "blkd", "steps": 350, "fakes": 0},
        {"method": "nokd+fake", "steps": 1890, "fakes": 50_000},
    ]
    words = (
        "equal epochs: nokd 350 steps, blkd 350 steps, nokd+fake 1,890 steps (5.4 times as many)"
    )
    assert tables.budget("epochs", rows) == words
    assert tables.budget("epochs", rows[2:]) == "equal epochs: nokd+fake 1,890 steps"
    assert tables.budget("steps", rows[:2]) == "equal optimiser steps with and without fakes: 350"


def test_published_numbers_stand_beside_ours(tmp_path: Path):
    root = make_run(tmp_path, rho=None)
    steps = [*members("nokd", NOKD), *members("raw fakes", BLKD), *members("+ filter", FAKE)]
    distilled(RunFolder(root), "ablation", steps)
    methods, ablation = tables.methods(summary_of(root)), tables.ablation(summary_of(root))
    place = methods.header.index("published")
    assert methods.header[place - 1 : place + 2] == ["vs NOKD", "published", "seeds"]
    assert methods.columns["method"] == ["nokd", "nokd+fake" + tables.NOTED, "blkd"]
    assert methods.columns["published"] == ["8.42", "6.80", tables.NONE]
    assert ablation.columns["published"] == [tables.NONE, tables.NONE, "6.94"]


def test_where_nothing_was_published_no_column_says_so(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    runs.write_bytes(run.preset, preset.dump(preset.load("digits", SETTINGS[:-1])).encode())
    assert "published" not in tables.methods(summary_of(tmp_path)).header
    assert summary_of(tmp_path)["published"] is None


def test_all_that_the_preset_quotes_is_in_its_tables():
    paper = preset.load("cifar10-c50k").paper
    first, sskd, uda, curve, steps = tables.published(paper.model_dump())
    assert first.header == [
        "teacher (its error)",
        "assistant",
        "student",
        "nokd",
        "blkd",
        "takd",
        "nokd+fake",
        "blkd+fake",
        "takd+fake",
    ]
    assert first.rows[0] == [
        "mobilenetv2 (5.92)",
        "vgg13",
        "vgg11",
        "8.42",
        "6.72",
        "7.35",
        "6.83",
        "5.89",
        "6.23",
    ]
    assert [len(table.rows) for table in (first, sskd, uda)] == [9, 2, 9]
    assert sskd.rows[1] == ["resnet18 (5.06)", tables.NONE, "shufflenetv2", "7.03", "5.38", "5.27"]
    assert (curve.header, curve.rows[-1]) == (
        ["fakes", *paper.nfake.errors],
        ["150,000", "6.90", "6.96", "6.77"],
    )
    assert steps.rows == [
        ["nokd", "8.42"],
        ["raw fakes", "7.68"],
        ["+ subsampling", "7.57"],
        ["+ filter", "6.94"],
        ["+ relabel", "6.83"],
    ]


def test_the_head_of_a_teacher_is_no_row(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    distilled(run, "sskd", members("sskd", FAKE, teacher="resnet8_x2"))
    head = {"network": "resnet8_x2", "parameters": 16512, "steps": 5}
    finish(run.student("resnet8_x2-sskd-head-seed0"), "distill", **head)
    summary = summary_of(tmp_path)
    assert tables.methods(summary).columns["method"] == ["nokd", "nokd+fake", "blkd", "sskd"]
    assert not any(
        "head" in name for name in tables.students(summary).columns["folder in students/"]
    )


def test_the_tables_of_fakes_leave_out_what_is_not_known():
    table = tables.evaluation(evaluated(), idle="")
    raw, filtered = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert raw == {
        "fakes": "raw fakes",
        "images": "2,700",
        "variance (fakes / real)": "0.260 ± 0.125",
        "students of them alone, MAE (degrees)": "24.5",
        "coverage": "0.625",
        "density": "0.750",
        "FID": "3.00",
        "FID at equal counts": "4.50",
        "nearest training image": "31.2",
        "copies": "12%",
        "label score (degrees)": "12.3 ± 9.00",
    }
    assert filtered["students of them alone, MAE (degrees)"] == tables.NONE
    assert filtered["label score (degrees)"] == tables.NONE
    windows = tables.windows(evaluated(), idle="")
    raw, filtered = (dict(zip(windows.header, row, strict=True)) for row in windows.rows)
    assert raw == {
        "fakes": "raw fakes",
        "SFID": "1.23 ± 0.500",
        "at equal counts": tables.NONE,
        "windows": "8 of 9",
        "real in each": "33.5 (min 20)",
        "fakes in each": "7 (min 4)",
        "diversity": "2.00 ± 0.250",
    }
    assert filtered["SFID"] == "1,234"
    assert filtered["at equal counts"] == "100 ± 100"


def test_subsampling_is_marked_where_it_is_idle():
    marked = tables.evaluation(evaluated(), idle="weighs fakes alike")
    assert marked.columns["fakes"] == ["raw fakes", "+ subsampling (idle)"]


def test_the_windows_of_raw_fakes_are_listed_with_what_is_known():
    parts = evaluated()["rows"][0]["sliding"]["parts"]
    assert tables.parts(parts, ["22.5", "67.5"], "angle").rows == [
        ["22.5", "7", "0.300", "0.500", "1.50"],
        ["67.5", "4", tables.NONE, tables.NONE, "1.00"],
    ]


def test_the_search_shows_paired_differences_and_marks_what_was_chosen(tmp_path: Path):
    table = tables.search(summary_of(make_run(tmp_path)))
    assert table.columns["vs no fakes"] == [tables.NONE, f"{tables.MINUS}2.25 ± 0.58"]
    assert table.columns["share of fakes"] == [tables.NONE, "0.25"]
    assert [bool(mark) for mark in table.marks] == [False, True]
