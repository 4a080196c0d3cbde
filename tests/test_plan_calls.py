"""What a call asks for beside its preset: methods, rho, numbers of fakes, ablation and curve."""

from dataclasses import asdict

import pytest
from planning import job

from cgankd import plan, runs
from cgankd.errors import UserError
from cgankd.fakes import FakeSelection
from cgankd.job import Job
from cgankd.plan import STAGES
from cgankd.plan.selections import rho_of, selections_of
from cgankd.plan.specs import ablation_rows, curve_rows, method_rows, methods, search_rows

HALF = FakeSelection(rho=0.5)
KEEP_50 = ["distill.nfake=50", "distill.relabel=keep"]


def test_methods_are_those_of_the_preset_unless_the_call_names_others(finished_run):
    assert methods(job(finished_run)) == ["nokd", "takd+fake"]
    several = job(finished_run, methods=("blkd+fake", "fake", "nokd", "nokd+fake"))
    assert methods(several) == ["blkd+fake", "nokd+fake", "nokd"], "of one and the same, one"
    assert methods(job(finished_run, methods=("blkd+fake",))) == ["blkd+fake"]


def test_a_method_of_the_call_that_does_not_apply_is_refused(finished_run):
    with pytest.raises(UserError, match=r"--method sskd: sskd needs the table") as caught:
        methods(job(finished_run, methods=("sskd",)))
    assert caught.value.code == 2


# rho


def test_rho_is_that_of_the_call_else_of_the_preset_else_the_selected_one(finished_run):
    asked = job(finished_run, *KEEP_50, rho="0.25")
    assert selections_of(asked) == [FakeSelection(0.25, True, "keep", 50)]
    assert selections_of(job(finished_run, *KEEP_50)) == [FakeSelection(0.5, True, "keep", 50)]
    selected = job(finished_run, "distill.rho=selected")
    assert rho_of(selected) == selections_of(selected)[0].rho == 0.7
    finished_run.search.unlink()
    with pytest.raises(UserError, match="not found") as caught:
        selections_of(selected)
    assert "cgankd select-rho" in caught.value.hint


def test_with_rho_none_students_are_those_without_fakes(finished_run):
    without = method_rows("nokd", job(finished_run))["nokd"]
    assert [one.selection for one in without] == [None, None]
    for asked in (job(finished_run, rho="none"), job(finished_run, "distill.rho=none")):
        assert method_rows("nokd+fake", asked) == {"nokd+fake": without}
    again = job(finished_run, "distill.rho=none", rho="0.5")
    assert [one.selection for one in method_rows("nokd+fake", again)["nokd+fake"]] == [HALF, HALF]


@pytest.mark.parametrize("value", ["0", "1.1", "-0.5", "nan", "inf", "half"])
def test_a_rho_that_is_no_share_is_refused(finished_run, value):
    with pytest.raises(UserError, match=f"--rho {value}: expected a number in") as caught:
        selections_of(job(finished_run, rho=value))
    assert caught.value.code == 2


# Numbers of fakes


def test_a_list_of_numbers_of_fakes_gives_a_row_each_and_zero_is_without(finished_run):
    asked = job(finished_run, "distill.nfake=[0, 10, 50]")
    rows = method_rows("nokd+fake", asked)
    assert {name: [one.selection for one in students] for name, students in rows.items()} == {
        "nokd+fake (0)": [None] * 2,
        "nokd+fake (10)": [FakeSelection(rho=0.5, num=10)] * 2,
        "nokd+fake (50)": [FakeSelection(rho=0.5, num=50)] * 2,
    }
    plain = method_rows("nokd", asked)
    assert list(plain) == ["nokd"]
    assert rows["nokd+fake (0)"] == plain["nokd"], "the same students"
    searched = [one.selection for row in search_rows(asked.preset).values() for one in row]
    assert {selection.num for selection in searched if selection} == {50}


# The ablation


def test_each_row_of_the_ablation_adds_one_step(finished_run):
    asked = job(finished_run, "distill.nfake=50", ablation=True)
    rows = ablation_rows(asked)
    chosen = {name: students[0].selection for name, students in rows.items()}
    assert {name: one and asdict(one) for name, one in chosen.items()} == {
        "nokd": None,
        "raw fakes": {
            "rho": 1.0,
            "subsample": False,
            "relabel": "keep",
            "num": 50,
            "bins": 1,
            "clip": True,
        },
        "+ subsampling": {
            "rho": 1.0,
            "subsample": True,
            "relabel": "keep",
            "num": 50,
            "bins": 1,
            "clip": True,
        },
        "+ filter": {
            "rho": 0.5,
            "subsample": True,
            "relabel": "keep",
            "num": 50,
            "bins": 1,
            "clip": True,
        },
        "+ relabel": {
            "rho": 0.5,
            "subsample": True,
            "relabel": "hard",
            "num": 50,
            "bins": 1,
            "clip": True,
        },
    }
    assert [[one.seed for one in students] for students in rows.values()] == [[0, 1]] * 5
    full = method_rows("nokd+fake", job(finished_run, "distill.nfake=50"))
    assert rows["+ relabel"] == full["nokd+fake"]


def test_the_ablation_of_a_preset_that_keeps_labels_ends_with_the_teachers_all_the_same(
    finished_run,
):
    rows = ablation_rows(job(finished_run, "distill.relabel=keep", ablation=True))
    assert rows["+ filter"][0].selection == FakeSelection(rho=0.5, relabel="keep")
    assert rows["+ relabel"][0].selection == FakeSelection(rho=0.5, relabel="hard")


def test_search_methods_and_ablation_filter_within_the_same_ranges_of_labels(finished_run):
    changes = ["distill.filter_bins=9", "distill.relabel=unclipped"]
    asked = job(finished_run, *changes, name="digits-angle", rho="0.7", ablation=True)
    expected = FakeSelection(0.7, relabel="unclipped", bins=9, clip=False)
    assert {one.selection for one in search_rows(asked.preset)["0.7, 0.25"]} == {expected}
    assert selections_of(asked) == [expected]
    rows = ablation_rows(asked)
    assert rows["+ relabel"][0].selection == expected
    assert rows["+ filter"][0].selection == FakeSelection(0.7, relabel="keep", bins=9, clip=False)


def test_the_ablation_is_one_artefact_beside_those_of_the_methods(finished_run):
    (made,) = plan.distilled(job(finished_run, ablation=True))
    assert made.record == finished_run.root / "distill" / "ablation.json"
    assert not made.owns_folder
    assert {table.record.name for table in plan.distilled(job(finished_run))} == {
        "nokd.json",
        "takd+fake.json",
    }


@pytest.mark.parametrize(
    ("changes", "overrides", "words"),
    [
        (["distill.rho=none"], {}, "the ablation adds fakes step by step, but rho is none"),
        ([], {"rho": "none"}, "the ablation adds fakes step by step, but rho is none"),
        ([], {"fakes": "theirs.h5"}, "needs the pool of the run, not a file of fakes"),
    ],
)
def test_an_ablation_without_the_fakes_of_the_run_is_refused(
    finished_run, changes, overrides, words
):
    with pytest.raises(UserError, match=words) as caught:
        plan.distilled(job(finished_run, *changes, ablation=True, **overrides))
    assert caught.value.code == 2


# The curve


def test_the_curve_has_students_of_each_number_of_steps(finished_run):
    asked = job(finished_run, curve="steps=800,200")
    rows = curve_rows(asked)
    assert list(rows) == ["nokd", "takd+fake"]
    for row in rows.values():
        assert [(one.steps, one.seed) for one in row] == [(200, 0), (200, 1), (800, 0), (800, 1)]
    (table,) = plan.distilled(asked)
    assert table.record == finished_run.root / "distill" / "curve.json"
    assert [one.training.steps for one in table.rows["nokd"]] == [200, 200, 800, 800]
    assistants = [one.previous for one in table.rows["takd+fake"]]
    assert {one.training.steps for one in assistants} == {asked.preset.distill.steps}


def test_a_student_of_the_curve_is_the_ordinary_one_where_its_steps_are_those_of_the_preset(
    finished_run,
):
    ordinary, *_ = plan.distilled(job(finished_run, "distill.steps=800"))
    (curve,) = plan.distilled(job(finished_run, curve="steps=200,800"))
    folders = [student.artefact.record for student in curve.rows["nokd"]]
    assert folders[2:] == [student.artefact.record for student in ordinary.rows["nokd"]]
    assert len(set(folders)) == 4


def test_the_curve_is_compared_on_rows_that_its_students_have_not_seen(finished_run):
    paper = job(finished_run, "data.protocol=paper", curve="steps=1,2")
    for asked, held_out in ((job(finished_run, curve="steps=1,2"), False), (paper, True)):
        (table,) = plan.distilled(asked)
        assert {one.held_out for one in table.students} == {held_out}
        assert table.split == "validation"
    assert {table.split for table in plan.distilled(job(finished_run))} == {"test"}


@pytest.mark.parametrize(
    ("curve", "changes", "overrides", "words"),
    [
        ("200,800", [], {}, "--curve 200,800: expected several numbers of steps"),
        ("steps=200", [], {}, "expected several numbers of steps"),
        ("steps=200,200", [], {}, "expected several numbers of steps"),
        ("steps=200,-8", [], {}, "expected several numbers of steps"),
        ("steps=200,1e3", [], {}, "expected several numbers of steps"),
        ("gan.steps=200,800", [], {}, "expected several numbers of steps"),
        ("steps=0,800", [], {}, "expected numbers from 1 to 100,000,000"),
        ("steps=1,100000001", [], {}, "expected numbers from 1 to 100,000,000"),
        ("steps=1,2", [], {"ablation": True}, "--curve and --ablation are two calls"),
        (
            "steps=1,2",
            ["distill.budget=epochs", "distill.epochs=3"],
            {},
            "the budget of preset digits is epochs",
        ),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(finished_run, curve, changes, overrides, words):
    with pytest.raises(UserError, match=words) as caught:
        plan.distilled(job(finished_run, *changes, curve=curve, **overrides))
    assert caught.value.code == 2


# The share of fakes in a batch


SHARES = ("distill.rho=selected", "rho.shares=[0.25, 0.5]")


def shares(job: Job) -> set[float | str | None]:
    """The shares of fakes of the students that learn from any."""
    planned = [one for table in plan.distilled(job) for one in table.students if one.selection]
    assert planned
    return {one.share for one in planned}


def test_every_rho_is_searched_with_every_share_and_equal_students_are_one(finished_run):
    rows = plan.search(job(finished_run, *SHARES)).rows
    found = [row[0].share for row in rows.values()]
    assert found == [None, 0.25, 0.5, 0.25, 0.5]
    other = plan.search(job(finished_run, "distill.fake_share=0.5")).rows["0.5, 0.5"]
    assert [one.artefact.digest for one in other] == [
        one.artefact.digest for one in rows["0.5, 0.5"]
    ], "whoever asks for a share"


def test_the_share_is_the_one_that_was_chosen_unless_the_call_names_it(finished_run):
    record = runs.read_json(finished_run.search)
    runs.write_json(finished_run.search, {**record, "best_share": 0.5})
    asked = job(finished_run, *SHARES)
    assert shares(asked) == {0.5}
    assert shares(asked.asking(rho="0.7")) == {0.5}, "select-rho prints rho alone"
    assert shares(asked.asking(share=0.3)) == {0.3}
    assert shares(job(finished_run, *SHARES[1:])) == {0.25}, "rho is that of the preset"
    assert shares(job(finished_run)) == {0.25}
    assert shares(asked.asking(ablation=True)) == {0.5}


def test_a_share_that_is_still_to_be_chosen_waits_for_the_search(finished_run):
    finished_run.search.unlink()
    asked = job(finished_run, *SHARES, rho="0.7")
    read = [command for command, _ in STAGES["distill"].reads(asked)]
    assert "select-rho" in read
    named = [command for command, _ in STAGES["distill"].reads(asked.asking(share=0.5))]
    assert "select-rho" not in named
    without = [command for command, _ in STAGES["distill"].reads(job(finished_run, *SHARES))]
    assert "select-rho" in without


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_share_that_is_none_is_refused(finished_run, share):
    with pytest.raises(UserError, match=r"--share .* expected a number between 0 and 1") as caught:
        plan.distilled(job(finished_run, share=share))
    assert caught.value.code == 2
