"""The report, from run folders made by hand."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cgankd import fakes, preset, runs
from cgankd.errors import DATA, UserError
from cgankd.report import figures, records, tables
from cgankd.report import page as pages
from cgankd.runs import Artefact, RunFolder

HOSTILE = "<script>alert(1)</script>"
SETTINGS = [
    'teacher.networks=["resnet8_x2"]',
    'generate.teacher="resnet8_x2"',
    'distill.pairs=[["resnet8_x2", "resnet8_x0_5", "resnet8_x0_25"]]',
    'paper={note = "Single runs.", ablation = {student = "resnet8_x0_25", errors = {"+ filter" = '
    "6.94}}, results = ["
    '{teacher = "resnet8_x2", teacher_error = 4.9, student = "resnet8_x0_25", errors = {nokd = '
    "8.42, fake = 6.8}}]}",
]
NOKD = {0: 10.0, 1: 12.0, 2: 14.0}  # mean 12, deviation 2
FAKE = {0: 9.0, 1: 10.0, 2: 11.0}  # mean 10, deviation 1; differences -1, -2, -3
WORSE = {0: 11.0, 1: 13.0, 2: 15.0}  # mean 13; differences 1
BLKD = {0: 11.0, 1: 10.0, 2: 15.0}  # differences 1, -2, 1


def finish(record: Path, command: str, payload=(), inputs=None, **facts) -> None:
    made_on = {"device": "cpu", "processes": 1}
    Artefact(record, command, inputs or {}).finish(payload, made_on=made_on, **facts)


def members(
    row: str, scores: dict[int, float], *, teacher: str = "", rho: float | None = None, **facts
) -> list[dict]:
    return [
        {
            "row": row,
            "seed": seed,
            "teacher": teacher,
            "assistant": "",
            "rho": rho,
            "network": "resnet8_x0_25",
            "parameters": 5214,
            "steps": 60,
            "fakes": 4 if rho else 0,
            "validation": score,
            "test": score,
            "student": f"{row}-seed{seed}",
            **facts,
        }
        for seed, score in scores.items()
    ]


def distilled(run: Run, method: str, rows: list[dict]) -> None:
    finish(
        run.distill(method),
        "distill",
        members=rows,
        metric="error",
        unit="%",
        rows=1397,
        budget="steps",
    )


def write_pool(run: Run) -> None:
    """Six fakes of two classes, three per label; the fourth of class 0 replaces a proposal that was
    not accepted.
    """
    labels = np.array([0, 0, 0, 1, 1, 1, 0])
    shard = run.pool.parent / "pool-00000.h5"
    rows = {
        "images": np.arange(7 * 3 * 64, dtype=np.uint8).reshape(7, 3, 8, 8),
        "labels": labels,
        "proposals": np.array([0, 1, 2, 0, 1, 2, 3]),
        "accepted": np.array([1, 0, 1, 1, 1, 1, 1], bool),
        "ratios": np.ones(7, np.float32),
        "outputs": np.zeros((7, 2), np.float32),
        "errors": np.array([0.1, 9, 0.2, 5, 0.3, 6, 7], np.float32),
        "relabels": 1 - labels,
    }
    fakes.write_shard(shard, rows)
    health = {"acceptance": 0.75, "clipped": 0.125, "effective": 0.5, "bound": 1.5}
    names = [{"label": 0, "name": HOSTILE, **health}, {"label": 1, "name": "$b_", **health}]
    label = {"kind": "class", "classes": [HOSTILE, "$b_"]}
    finish(
        run.pool,
        "generate",
        [shard],
        per_label=3,
        num_accepted=6,
        label=label,
        labels=names,
        error_unit="nats",
    )


def make_run(
    root: Path, *, rho: float | None = 0.5, teacher: float = 5.0, name: str = "digits"
) -> Path:
    """A finished run folder without networks."""
    run = RunFolder(root)
    settings = preset.load("digits", [f"name={name}", *SETTINGS])
    runs.write_bytes(run.preset, f"# {HOSTILE}\n{preset.dump(settings)}".encode())
    distilled(run, "nokd", members("nokd", NOKD))
    distilled(run, "nokd+fake", members("nokd+fake", FAKE, rho=0.5))
    distilled(run, "blkd", members("blkd", BLKD, teacher="resnet8_x2"))
    finish(
        run.teacher("resnet8_x2"),
        "train-teacher",
        network="resnet8_x2",
        parameters=308650,
        validation=teacher,
    )
    table = [
        {"rho": None, "mean": 43.5, "deviation": 2.12, "num": 3},
        {"rho": 0.5, "mean": 41.25, "deviation": 1, "num": 3},
    ]
    finish(
        run.rho, "select-rho", rho=rho, best_rho=0.5, standard_error=0.577, table=table, rows=200
    )
    write_pool(run)
    finish(run.gan, "train-gan", steps=2)
    runs.write_bytes(
        run.gan.parent / "metrics.jsonl",
        b'{"step": 1, "discriminator": 2.5}\n{"step": 2, "discriminator": 1.5}\n{"st',
    )
    return root


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
    return root, pages.build([root], root / "report" / "index.html")


def text_of(page: Path) -> str:
    """The words of a page, tags removed."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.read_text()))


# What is read


def test_no_results_name_the_command_that_makes_them(tmp_path: Path):
    run = RunFolder(tmp_path)
    runs.write_bytes(run.preset, preset.dump(preset.load("digits")).encode())
    distilled(run, "nokd.1234abcd", members("nokd", NOKD))  # set aside
    Artefact(run.distill("blkd"), "distill", {}).begin()  # not finished
    with pytest.raises(UserError, match="no finished students") as caught:
        pages.build([tmp_path], tmp_path / "index.html")
    assert caught.value.code == DATA
    assert caught.value.hint == "run `cgankd distill` first"


def test_a_record_without_results_is_refused_by_name(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    finish(run.distill("blkd"), "distill", members=[{"row": "blkd"}])
    with pytest.raises(UserError, match=r"distill/blkd\.json"):
        records.read(tmp_path)


def test_an_artefact_of_another_input_is_pointed_out(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    finish(run.dre, "fit-dre", inputs={"train-gan": "0" * 64}, mean_ratio=1.0, effective_share=0.9)
    found = records.read(tmp_path)
    assert records.mixed(found) == [
        "dre/dre.json was made from another result of train-gan than stands here."
    ]


def test_students_of_different_training_are_pointed_out(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    finish(run.student("nokd-seed0"), "distill", inputs={"training": {"steps": 60}})
    finish(run.student("blkd-seed0"), "distill", inputs={"training": {"steps": 90}})
    assert "not all trained with the same settings" in records.mixed(records.read(tmp_path))[0]


def test_a_torn_last_line_of_a_log_is_left_out(tmp_path: Path):
    found = records.losses(records.read(make_run(tmp_path)))
    assert found == {"gan": {"discriminator": [(1, 2.5), (2, 1.5)]}}


def test_only_a_teacher_that_loses_to_nokd_is_a_caution(tmp_path: Path):
    assert records.harmful_teachers(records.read(make_run(tmp_path / "good", teacher=11.9))) == []
    (caution,) = records.harmful_teachers(records.read(make_run(tmp_path / "bad", teacher=12.0)))
    assert (
        "resnet8_x2 has a validation error of 12 %, no better than the 12 % of resnet8_x0_25"
        in caution
    )


def test_a_search_on_rows_that_were_trained_on_is_a_caution(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    assert records.leaks(records.read(tmp_path)) == []
    runs.write_json(run.rho, {**runs.read_json(run.rho), "leaky": True})
    (caution,) = records.leaks(records.read(tmp_path))
    assert "search for rho is leaky" in caution


# The page


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
    one = records.summary(records.read(make_run(tmp_path, rho=0.5)), "digits")
    assert [row["note"] for row in one["methods"]] == ["", "", ""]


def test_a_bad_teacher_stands_in_a_box(built: tuple[Path, Path]):
    assert (
        '<p class="caution" role="note">The teacher resnet8_x2 has a validation error of 20 %'
        in built[1].read_text()
    )


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
    assert pages.build([root], page) == page
    assert [path.stat().st_mtime_ns for path in sorted(page.parent.iterdir())] == times
    said = capsys.readouterr().err
    assert "report: nothing to do" in said
    assert "10.00 ± 1.00" in said


@pytest.mark.slow
def test_a_changed_result_or_a_broken_report_is_built_again(tmp_path: Path):
    root = make_run(tmp_path)
    page = root / "report" / "index.html"
    before = records.inputs(records.read(root))
    distilled(RunFolder(root), "blkd", members("blkd", {0: 1.0}, teacher="resnet8_x2"))
    after = records.inputs(records.read(root))
    assert {place for place in after if after[place] != before[place]} == {"distill/blkd.json"}
    runs.write_bytes(page, b"old")
    runs.write_bytes(page.with_name("report.json"), b"{")
    pages.build([root], page)
    assert "1.00" in text_of(page)


@pytest.mark.slow
def test_several_runs_share_one_table_of_settings_and_networks_by_method(tmp_path: Path):
    roots = [make_run(tmp_path / "a"), make_run(tmp_path / "b", rho=None, name="other")]
    distilled(RunFolder(roots[1]), "takd", members("takd", BLKD, teacher="resnet8", assistant="resnet20"))
    distilled(
        RunFolder(roots[0]), "takd", members("takd", WORSE, teacher="resnet8_x2", assistant="resnet8")
    )
    found = [
        records.summary(records.read(root), name)
        for root, name in zip(roots, ("digits", "other"), strict=True)
    ]
    table = tables.settings(found)
    nokd, fake, blkd, none = "12.00 ± 2.00", "10.00 ± 1.00", "12.00 ± 2.65", tables.NONE
    assert table.header == [
        "setting",
        "metric",
        "teacher",
        "assistant",
        "student",
        "nokd",
        "nokd+fake",
        "blkd",
        "takd",
    ]
    assert table.rows == [
        [
            "digits",
            "error (%)",
            "resnet8_x2",
            "resnet8",
            "resnet8_x0_25",
            nokd,
            fake,
            blkd,
            "13.00 ± 2.00",
        ],
        ["other", "error (%)", "resnet8_x2", none, "resnet8_x0_25", nokd, f"{fake} †", blkd, none],
        [
            "other",
            "error (%)",
            "resnet8",
            "resnet20",
            "resnet8_x0_25",
            nokd,
            f"{fake} †",
            none,
            blkd,
        ],
    ]
    assert table.marks == [{6: "better"}] * 3, "what is worse is not bold"

    text = text_of(pages.build(roots, tmp_path / "index.html"))
    assert text.index("setting metric teacher") < text.index(
        "student test error (%) vs NOKD published"
    )
    assert text.count("vs NOKD published seeds") == 2


def test_the_budget_is_said_in_words_and_what_fakes_cost_at_equal_epochs(tmp_path: Path):
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

    run = RunFolder(make_run(tmp_path))
    facts = {"metric": "error", "unit": "%", "rows": 1397, "budget": "epochs"}
    finish(run.distill("nokd"), "distill", members=members("nokd", NOKD), **facts)
    finish(
        run.distill("nokd+fake"),
        "distill",
        members=members("nokd+fake", FAKE, rho=0.5, steps=180),
        **facts,
    )
    one = records.summary(records.read(tmp_path), "digits")
    text = str([*pages.overview([one]), *pages._search(one)])
    assert (
        "Budget: equal epochs: nokd 60 steps, nokd+fake 180 steps (3.0 times as many), blkd 60 "
        "steps." in text
    )
    assert "a candidate with more fakes took more optimiser steps" in text


def test_a_continuous_label_is_shown_before_and_after_the_filter(tmp_path: Path):
    labels, errors = (
        np.float32([0.15, 0.15, 0.15, 0.85, 0.85, 0.85]),
        np.float32([1, 2, 3, 4, 5, 6]),
    )
    rows = {
        "images": np.zeros((6, 3, 8, 8), np.uint8),
        "labels": labels,
        "proposals": np.array([0, 1, 2] * 2),
        "accepted": np.ones(6, bool),
        "ratios": np.ones(6, np.float32),
        "errors": errors,
        "outputs": np.float32([0.2, 0.3, 0.4, 0.8, 1.2, 0.5])[:, None],
        "relabels": labels,
    }
    fakes.write_shard(tmp_path / "pool-00000.h5", rows)
    label = {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}
    finish(
        tmp_path / "pool.json",
        "generate",
        [tmp_path / "pool-00000.h5"],
        per_label=3,
        label=label,
        error_unit="degrees",
    )
    pool = fakes.Pool(tmp_path / "pool.json")
    view = fakes.FakeSelection(rho=2 / 3, bins=2, relabel="unclipped")
    (axes,) = figures.filtered.__wrapped__(pool, view).axes
    before, after = ([bar.get_height() for bar in bars] for bars in axes.containers)
    assert (before[4], before[25], sum(before)) == (3, 3, 6), (
        "bars of 3 degrees: 13.5 and 76.5 degrees"
    )
    assert (after[4], after[25], sum(after)) == (2, 2, 4), (
        "two of three in each range, though the second errs more"
    )
    given, _ = np.histogram(np.clip([18, 27, 72, 108], 0, 90), bins=30, range=(0, 90))
    line = axes.patches[-1].get_path().vertices
    assert {round(x) for x, y in line if y > 0} == {
        edge for bar in np.flatnonzero(given) for edge in (3 * bar, 3 * bar + 3)
    }
    (axes,) = figures.errors.__wrapped__(pool, view).axes
    assert not axes.lines, "two ranges have no common cut"


def test_published_numbers_stand_beside_ours_with_their_note(
    built: tuple[Path, Path], tmp_path: Path
):
    one = records.summary(records.read(built[0]), "digits")
    methods, ablation = tables.methods(one), tables.ablation(one)
    place = methods.header.index("published")
    assert methods.header[place - 1 : place + 2] == ["vs NOKD", "published", "seeds"]
    assert [[row[0], row[place]] for row in methods.rows] == [
        ["nokd", "8.42"],
        ["nokd+fake †", "6.80"],
        ["blkd", tables.NONE],
    ]
    assert [row[3] for row in ablation.rows] == [tables.NONE, tables.NONE, "6.94"]
    assert "published (digits): quoted in the preset, not measured here. Single runs." in text_of(
        built[1]
    )

    run = RunFolder(make_run(tmp_path))
    runs.write_bytes(run.preset, preset.dump(preset.load("digits", SETTINGS[:-1])).encode())
    alone = records.summary(records.read(tmp_path), "digits")
    assert "published" not in tables.methods(alone).header
    assert alone["published"] is None
    assert "Published numbers" not in text_of(pages.build([tmp_path], tmp_path / "index.html"))


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


def test_errors_by_the_number_of_fakes_are_a_figure(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    rows = [
        row
        for num, scores in ((0, NOKD), (2, FAKE), (4, BLKD))
        for row in members(f"nokd+fake ({num})", scores, rho=0.5, nfake=num, fakes=num)
    ]
    assert records.summary(records.read(tmp_path), "digits")["curves"] == []
    distilled(run, "nokd+fake", rows)
    (curve,) = records.summary(records.read(tmp_path), "digits")["curves"]
    assert [(point["fakes"], point["mean"]) for point in curve["points"]] == [
        (0, 12.0),
        (2, 10.0),
        (4, 12.0),
    ]
    assert curve["published"] == []


def test_the_figure_holds_our_points_with_their_bars_and_the_published_ones():
    points = [
        {"fakes": 0, "mean": 12.0, "standard_error": 0.5},
        {"fakes": 5, "mean": 10.0, "standard_error": None},
    ]
    chain = {"teacher": "", "assistant": "", "student": "vgg11"}
    lines = [
        {"method": "nokd+fake", **chain, "points": points, "published": [(0, 8.42), (5, 8.1)]},
        {"method": "blkd+fake", **chain, "teacher": "resnet18", "points": points, "published": []},
    ]
    figure = figures.curves.__wrapped__(lines, "error (%)")
    fakes, blkd = figure.axes
    ours, published = [
        line
        for line in fakes.lines
        if len(line.get_xdata()) == 2 and line.get_linestyle() != "None"
    ]
    assert (list(ours.get_xdata()), list(ours.get_ydata())) == ([0, 5], [12.0, 10.0])
    (bars,) = fakes.containers[0].lines[2]
    assert [bar[:, 1].tolist() for bar in bars.get_segments()] == [[11.5, 12.5], [10.0, 10.0]]
    assert (list(published.get_xdata()), list(published.get_ydata())) == ([0, 5], [8.42, 8.1])
    assert [text.get_text() for text in fakes.get_legend().get_texts()] == [
        "vgg11, published",
        "vgg11",
    ]
    assert [text.get_text() for text in blkd.get_legend().get_texts()] == ["resnet18 · vgg11"]
    assert (fakes.get_title(), fakes.get_ylabel()) == ("nokd+fake", "error (%)")


def test_the_head_of_a_teacher_is_no_row(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    distilled(run, "sskd", members("sskd", FAKE, teacher="resnet8_x2"))
    finish(
        run.student("resnet8_x2-sskd-head-seed0"),
        "distill",
        network="resnet8_x2",
        parameters=16512,
        steps=5,
    )
    one = records.summary(records.read(tmp_path), "digits")
    assert [row["method"] for row in one["methods"]] == ["nokd", "nokd+fake", "blkd", "sskd"]
    assert not any("head" in row[1] for row in tables.students(one).rows)


@pytest.mark.slow
def test_a_leaky_search_is_marked(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    honest = records.summary(records.read(tmp_path), "digits")
    facts = {
        key: honest["rho"][key] for key in ("rho", "best_rho", "standard_error", "table", "rows")
    }
    finish(run.rho, "select-rho", leaky=True, **facts)
    leaky = records.summary(records.read(tmp_path), "digits")
    assert honest["cautions"] == []
    assert "The search for rho is leaky" in leaky["cautions"][0]
    text = text_of(pages.build([tmp_path], tmp_path / "index.html"))
    assert "chosen on 200 validation rows (leaky: see the caution above)" in text


@pytest.mark.slow
def test_fakes_of_a_file_are_named_and_not_judged_by_the_search(tmp_path: Path):
    run = RunFolder(make_run(tmp_path, rho=None))
    without = members("nokd+fake (0)", NOKD, nfake=0, file="")
    file = members("nokd+fake (9)", FAKE, nfake=9, fakes=9, file="/data/other fakes.h5")
    distilled(run, "nokd+fake", [*without, *file])
    one = records.summary(records.read(tmp_path), "digits")
    assert [row["note"] for row in one["methods"]] == [""] * 4
    again = (
        "cgankd distill --preset preset.toml --out runs/digits --method nokd+fake --fake "
        "'/data/other fakes.h5'"
    )
    assert again in one["commands"]
    text = text_of(pages.build([tmp_path], tmp_path / "index.html"))
    assert "the fakes of nokd+fake (9) are those of /data/other fakes.h5, not of the pool" in text


def test_runs_of_one_preset_are_told_apart_by_their_folders(tmp_path: Path):
    found = [records.read(make_run(tmp_path / name)) for name in ("a", "b")]
    assert pages._names(found) == [f"digits ({tmp_path}/a)", f"digits ({tmp_path}/b)"]


def test_a_run_without_pool_search_or_nokd_has_a_page(tmp_path: Path):
    run = RunFolder(tmp_path)
    runs.write_bytes(run.preset, preset.dump(preset.load("digits")).encode())
    distilled(run, "ablation", members("nokd", NOKD))
    page = pages.build([tmp_path], tmp_path / "out" / "index.html")
    assert "Ablation" in text_of(page)
    assert "Search for rho" not in text_of(page)


def test_importing_the_report_is_light():
    code = (
        "import sys, cgankd.report.page; print({'torch', 'matplotlib', 'jinja2'} & "
        "set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
