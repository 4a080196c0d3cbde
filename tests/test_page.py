"""The page, its Markdown and its JSON, from run folders made by hand."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import (
    BLKD,
    FAKE,
    NOKD,
    begun,
    distilled,
    evaluated,
    finish,
    make_run,
    members,
    summary_of,
    text_of,
)

from cgankd import preset, report, runs
from cgankd.errors import UserError
from cgankd.report import tables
from cgankd.runs import Artefact, RunFolder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder with a hostile name and its page."""
    root = make_run(tmp_path_factory.mktemp("runs") / "<script>x", rho=None, teacher=20.0)
    ablation = (
        members("nokd", NOKD)
        + members("raw fakes", BLKD, rho=1.0)
        + members("+ filter", FAKE, rho=0.5)
    )
    distilled(RunFolder(root), "ablation", ablation)
    return root, report.build([root], root / "report" / "index.html")


def test_the_page_holds_the_numbers(built: tuple[Path, Path]):
    text = text_of(built[1])
    for expected in (
        "12.00 ± 2.00",
        "10.00 ± 1.00",
        f"{tables.MINUS}2.00 ± 0.58",
        "+0.00 ± 1.00",
        "1,397 test rows",
        "equal optimiser steps",
        "One GAN, one teacher, k students",
        "lower is better",
        "5,214",
        "raw fakes",
        "43.50",
        "41.25",
        "resnet8_x2 (4.90)",
        "75.0%",
        "published (digits): quoted in the preset, not measured here. Single runs.",
        "cgankd run --preset",
    ):
        assert expected in text, expected


def test_only_what_exceeds_two_standard_errors_is_marked(built: tuple[Path, Path]):
    cells = re.findall(r'<td class="\s*(better|worse)">([^<]*)</td>', built[1].read_text())
    assert cells == [("better", f"{tables.MINUS}2.00 ± 0.58")] * 2  # method table and ablation


def test_rows_with_fakes_are_not_recommended_where_no_fakes_won(
    built: tuple[Path, Path], tmp_path: Path
):
    assert "nokd+fake †" in text_of(built[1])
    assert "† not recommended: no fakes won the search for rho" in text_of(built[1])
    one = summary_of(make_run(tmp_path, rho=0.5))
    assert [row["note"] for row in one["methods"]] == ["", "", ""]


def test_a_bad_teacher_stands_in_a_box(built: tuple[Path, Path]):
    assert (
        '<p class="caution" role="note">The teacher resnet8_x2 has a validation error of 20 %'
        in built[1].read_text()
    )


def test_the_curve_of_steps_is_a_table_and_a_figure_with_the_best_of_each_method_marked(tmp_path):
    root = make_run(tmp_path / "run")
    run = RunFolder(root)
    curve = []
    for steps, better in ((100, 0.0), (900, 3.0)):
        for method, scores in (("nokd", NOKD), ("nokd+fake", FAKE)):
            lower = {seed: score - better for seed, score in scores.items()}
            curve += [{**member, "steps": steps} for member in members(method, lower)]
    curve = [{key: value for key, value in one.items() if key != "test"} for one in curve]
    finish(run.distill("curve"), "distill", members=curve, rows=200)
    summary = summary_of(root)
    assert tables.steps(summary).marks == [{}, {}, *[{"validation error (%)": "chosen"}] * 2]
    assert tables.steps(summary).columns["steps"] == ["100", "100", "900", "900"]
    assert summary["commands"][1] == (
        "cgankd distill --preset preset.toml --out runs/digits --curve steps=100,900"
    )
    page = report.build([root], root / "report" / "index.html")
    assert "on 200 validation rows by the students' optimiser steps" in page.read_text().replace(
        "&#39;", "'"
    )
    assert "NOKD is best for resnet8_x0_25 at 900 steps" in text_of(page)
    assert page.read_text().count("<figcaption>Error by the students&#39; steps: mean") == 1


def test_names_cannot_put_tags_into_the_page(built: tuple[Path, Path]):
    page = built[1].read_text()
    assert "<script" not in page
    assert "&lt;script&gt;x" in page  # the folder
    assert page.count("&lt;script&gt;alert(1)") >= 3  # the label and the preset
    markdown = built[1].with_name("report.md").read_text()
    prose = [
        line for line in markdown.splitlines() if not line.startswith("    ")
    ]  # the rest is code
    assert "<script" not in "\n".join(prose)


def test_the_page_needs_nothing_from_outside(built: tuple[Path, Path]):
    page = built[1].read_text()
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]*)"', page))
    assert not re.search(r"href=|url\(|@import", page)


def test_markdown_and_json_hold_the_same_numbers(built: tuple[Path, Path]):
    markdown = built[1].with_name("report.md").read_text()
    data = json.loads(built[1].with_name("report.json").read_text())
    row = data["runs"][0]["methods"][1]
    assert (row["mean"], row["deviation"], row["difference"]) == (10.0, 1.0, -2.0)
    assert (
        f"| 10.00 ± 1.00 | **{tables.MINUS}2.00 ± 0.58** | 6.80 | 3 | 0.5 | 4 | 60 | 5,214 |"
        in markdown
    )
    assert data["runs"][0]["artefacts"][0]["record"] == "gan/gan.json"
    assert len(data["runs"][0]["artefacts"][0]["content"]) == 64


def test_a_second_build_writes_nothing_and_needs_no_library(
    built: tuple[Path, Path], monkeypatch, capsys
):
    root, page = built
    for library in ("matplotlib", "jinja2"):
        monkeypatch.setitem(sys.modules, library, None)
    times = [path.stat().st_mtime_ns for path in sorted(page.parent.iterdir())]
    assert report.build([root], page) == page
    assert [path.stat().st_mtime_ns for path in sorted(page.parent.iterdir())] == times
    said = capsys.readouterr().err
    assert "report: nothing to do" in said
    assert "10.00 ± 1.00" in said


@pytest.mark.slow
def test_a_changed_result_or_a_broken_report_is_built_again(tmp_path: Path):
    root = make_run(tmp_path)
    page = root / "report" / "index.html"
    report.build([root], page)
    distilled(RunFolder(root), "blkd", members("blkd", {0: 1.0}, teacher="resnet8_x2"))
    report.build([root], page)
    assert "blkd resnet8_x2 resnet8_x0_25 1.00" in text_of(page)
    runs.write_bytes(page, b"old")
    runs.write_bytes(page.with_name("report.json"), b"{")
    report.build([root], page)
    assert "blkd resnet8_x2 resnet8_x0_25 1.00" in text_of(page)


@pytest.mark.slow
def test_a_leaky_search_is_marked(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    honest = summary_of(tmp_path)
    finish(run.search, "select-rho", **{**honest["rho"], "leaky": True})
    leaky = summary_of(tmp_path)
    assert honest["cautions"] == []
    assert "The search for rho is leaky" in leaky["cautions"][0]
    text = text_of(report.build([tmp_path], tmp_path / "index.html"))
    assert "chosen on 200 validation rows (leaky: see the caution above)" in text


@pytest.mark.slow
def test_fakes_of_a_file_are_named_and_not_judged_by_the_search(tmp_path: Path):
    run = RunFolder(make_run(tmp_path, rho=None))
    without = members("nokd+fake (0)", NOKD, nfake=0, file="")
    file = members("nokd+fake (9)", FAKE, nfake=9, fakes=9, file="/data/other fakes.h5")
    distilled(run, "nokd+fake", [*without, *file])
    one = summary_of(tmp_path)
    assert [row["note"] for row in one["methods"]] == [""] * 4
    again = (
        "cgankd distill --preset preset.toml --out runs/digits --method nokd+fake --fake "
        "'/data/other fakes.h5'"
    )
    assert again in one["commands"]
    text = text_of(report.build([tmp_path], tmp_path / "index.html"))
    assert "the fakes of nokd+fake (9) are those of /data/other fakes.h5, not of the pool" in text


@pytest.mark.slow
def test_runs_of_one_preset_are_told_apart_by_their_folders(tmp_path: Path):
    roots = [make_run(tmp_path / name) for name in ("a", "b")]
    report.build(roots, tmp_path / "index.html")
    data = json.loads((tmp_path / "report.json").read_text())
    assert [run["name"] for run in data["runs"]] == [f"digits ({root})" for root in roots]


def test_a_run_without_pool_search_or_nokd_has_a_page(tmp_path: Path):
    run = RunFolder(tmp_path)
    runs.write_bytes(run.preset, preset.dump(preset.load("digits")).encode())
    distilled(run, "ablation", members("nokd", NOKD))
    page = report.build([tmp_path], tmp_path / "out" / "index.html")
    assert "Ablation" in text_of(page)
    assert "Search for rho" not in text_of(page)


def test_importing_the_report_is_light():
    code = "import sys, cgankd.report; print({'torch', 'matplotlib', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_cost_of_fakes_at_equal_epochs_stands_beside_scores_and_search(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    facts = {"metric": "error", "unit": "%", "rows": 1397, "budget": "epochs"}
    with_fakes = members("nokd+fake", FAKE, rho=0.5, steps=180)
    finish(run.distill("nokd"), "distill", members=members("nokd", NOKD), **facts)
    finish(run.distill("nokd+fake"), "distill", members=with_fakes, **facts)
    text = text_of(report.build([tmp_path], tmp_path / "index.html"))
    budget = "nokd 60 steps, nokd+fake 180 steps (3.0 times as many), blkd 60 steps."
    assert f"Budget: equal epochs: {budget}" in text
    assert "a candidate with more fakes took more optimiser steps" in text


@pytest.mark.slow
def test_several_runs_have_the_table_of_settings_first_and_each_its_own(tmp_path: Path):
    roots = [make_run(tmp_path / "a"), make_run(tmp_path / "b", rho=None, name="other")]
    text = text_of(report.build(roots, tmp_path / "index.html"))
    own = "test error (%) vs NOKD published seeds"
    assert text.index("setting metric teacher") < text.index(own)
    assert text.count(own) == 2


@pytest.mark.slow
def test_the_protocol_of_the_scores_of_fakes_stands_below_them(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    finish(run.evaluation, "evaluate", **evaluated())
    page = tmp_path / "index.html"
    text = text_of(report.build([tmp_path], page))
    for words in (
        "256 features of the density ratio&#39;s sparse-autoencoder",
        "9 windows of radius 5 degrees",
        "resnet8 sees",
        "2.3 at most",
        "wrong in 12.5 %",
        "Intra-label FID: none, since labels are not repeated.",
    ):
        assert words in text, words
    trained_on_them = "raw fakes: real images in the place of fakes, the best to hope for. Teacher"
    assert trained_on_them not in text
    finish(run.evaluation, "evaluate", **evaluated(leaky=True))
    assert trained_on_them in text_of(report.build([tmp_path], page))


def test_a_run_that_goes_on_has_a_page_of_what_is_there_and_what_is_missing(tmp_path: Path, capsys):
    run = begun(tmp_path)
    Artefact(run.gan, "train-gan", {}).begin()
    runs.write_bytes(run.gan.parent / "metrics.jsonl", b'{"step": 40, "generator": 1.0}\n{"ste')
    runs.write_bytes(run.gan.parent / "samples" / "step-00000040.png", b"pixels")
    finish(run.teacher("resnet8_x2"), "train-teacher", parameters=308650, validation=5.0)
    page = report.build([tmp_path], tmp_path / "index.html")
    text = text_of(page)
    for words in (
        "Not finished stage state not done train-gan begun gan/gan.json (step 40)",
        "train-teacher done",
        "fit-dre missing",
        "distill missing distill/nokd.json, distill/nokd+fake.json",
        "Students, of all stages: 0 trained, 0 begun.",
        "resnet8_x2 \N{EN DASH} 5.000 308,650",
        "step 40 Samples of the GAN",
        "Losses by step",
        "rows: 200 train, 1,397 test",
    ):
        assert words in text, words
    assert base64.b64encode(b"pixels").decode() in page.read_text()
    assert "vs NOKD" not in text
    assert "digits is not finished: train-gan begun, fit-dre missing" in capsys.readouterr().err


@pytest.mark.slow
def test_a_page_stands_until_another_stage_begins(tmp_path: Path, capsys):
    run, page = begun(tmp_path), tmp_path / "index.html"
    for said in ("report: nothing to do", "select-rho begun"):
        report.build([tmp_path], page)
        capsys.readouterr()
        if "begun" in said:
            Artefact(run.search, "select-rho", {}).begin()
        report.build([tmp_path], page)
        assert said in capsys.readouterr().err
    assert "select-rho begun" in text_of(page)


@pytest.mark.slow
def test_the_table_of_settings_leaves_out_runs_without_scores_and_says_so(tmp_path: Path):
    roots = [make_run(tmp_path / "a", name="whole"), begun(tmp_path / "b").root]
    text = text_of(report.build(roots, tmp_path / "index.html"))
    assert "digits: no scored students yet, so that the table leaves it out." in text
    assert "whole error (%)" in text
    assert "digits error (%)" not in text
    none = text_of(report.build([roots[1], begun(tmp_path / "c").root], tmp_path / "none.html"))
    assert "setting metric" not in none
    assert none.count("Not finished") == 2


def test_a_page_elsewhere_leaves_the_run_folder_as_it_is(tmp_path: Path):
    root = make_run(tmp_path / "run")

    def state() -> dict[Path, tuple[int, int]]:
        return {path: (s.st_mtime_ns, s.st_ino) for path in root.rglob("*") if (s := path.stat())}

    before = state()
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        report.build([root], tmp_path / "page" / "index.html")
    finally:
        for path in folders:
            path.chmod(0o755)
    assert state() == before
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == [
        "index.html",
        "report.json",
        "report.md",
    ]


def test_no_name_or_unit_breaks_the_page_or_vanishes_from_it(tmp_path: Path, capsys):
    root = make_run(tmp_path / os.fsdecode(b"run \xff[mm]"))
    run, unit = RunFolder(root), "[mm] \x1b[1m\u732b\ud800"
    for method in ("nokd", "nokd+fake", "blkd"):
        path = run.distill(method)
        runs.write_json(path, {**runs.read_json(path), "unit": unit})
    pool = runs.read_json(run.pool)
    for row, name in zip(
        pool["labels"], ("[bold]\x07\U0001f986", "\u0642\u0637 \udcff"), strict=True
    ):
        row["name"] = name
    runs.write_json(run.pool, pool)
    page = report.build([root], tmp_path / "index.html")
    shown = "[mm] \\x1b[1m\u732b\N{REPLACEMENT CHARACTER}"
    text = text_of(page)
    for words in (
        f"test error ({shown})",
        "[bold]\\x07\U0001f986",
        "\u0642\u0637 \N{REPLACEMENT CHARACTER}",
        "run \N{REPLACEMENT CHARACTER}[mm]",
    ):
        assert words in text, words
    assert r"\[mm\] \\x1b\[1m" in page.with_name("report.md").read_text()
    said = capsys.readouterr().err
    assert f"error ({shown})" in said
    assert "\x1b" not in said


def test_a_pool_whose_record_names_other_labels_is_refused(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    pool = runs.read_json(run.pool)
    runs.write_json(run.pool, {**pool, "labels": pool["labels"][:1]})
    with pytest.raises(UserError, match=r"pool\.json: names 1 labels, but the fakes have 2"):
        report.build([tmp_path], tmp_path / "index.html")


@pytest.mark.slow
def test_the_page_says_whether_the_fakes_are_any_good_before_the_search(
    tmp_path: Path,
):
    run = RunFolder(make_run(tmp_path))
    finish(run.evaluation, "evaluate", **evaluated())
    finish(run.dre, "fit-dre", mean_ratio=1.0, effective_share=0.999, auc=0.5)
    pool = runs.read_json(run.pool)
    labels = [{**label, "effective": 0.999} for label in pool["labels"]]
    runs.write_json(run.pool, {**pool, "labels": labels})
    page = report.build([tmp_path], tmp_path / "index.html").with_name("report.md").read_text()
    assert "> **Caution:** The GAN has lost diversity." in page
    order = [page.index(text) for text in ("Are the fakes any good?", "Search for rho", "# Fakes")]
    assert order == sorted(order)
    assert "| + subsampling (idle) |" in page
    assert "Subsampling is idle: the ratio weighs fakes alike (effective share 99.9%)." in page
    assert "trained on nothing but these fakes for 800 steps, seed 0" in page
    assert "AUC 0.50" in page
