"""The whole chain at toy size, for both kinds of label."""

import json
import shutil

import numpy as np
import pytest
import toy

from cgankd import fakes, pipeline, plan, runs
from cgankd.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(chain, tmp_path):
    kind, root = chain
    shutil.copytree(root, tmp_path / "run")
    return kind, tmp_path / "run"


def test_every_stage_is_done_and_a_second_call_builds_nothing(chain):
    kind, root = chain
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    for stage in toy.STAGES:
        assert all(artefact.state() == "done" for artefact in plan.artefacts(stage, toy.settings(kind), runs.Run(root)))
        pipeline.build(stage, toy.job(kind, root))
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_results_have_every_seed_and_a_score_of_each_split(chain):
    _kind, root = chain
    for method in ("nokd", "nokd+fake"):
        result = runs.read_json(runs.Run(root).distill(method))
        assert [member["seed"] for member in result["members"]] == [0, 1]
        assert all(0 <= member["test"] <= 100 and 0 <= member["validation"] <= 100 for member in result["members"])
        assert {member["steps"] for member in result["members"]} == {16}
        assert all((member["fakes"] > 0) == (method == "nokd+fake") for member in result["members"])


def test_the_pool_keeps_what_it_promises(chain):
    kind, root = chain
    pool = fakes.Pool(runs.Run(root).pool)
    column = pool.columns
    labels = np.unique(column["labels"])
    assert len(labels) == (10 if kind == "digits" else 6)
    for label in labels:
        mine = column["labels"] == label
        numbers = column["proposals"][mine]
        assert len(np.unique(numbers)) == len(numbers), "no proposal twice"
        assert set(range(12)) <= set(numbers.tolist()), "the first proposals are all there"
        assert column["accepted"][mine & (column["proposals"] >= 12)].all(), "later ones only if accepted"
        assert column["accepted"][mine].sum() >= 12
    assert len(pool.rows(fakes.View(num=None))) == 12 * len(labels)


def test_other_seeds_build_only_distill_and_keep_the_students_there_are(copied):
    kind, root = copied
    students = set((root / "students").iterdir())
    change = "distill.seeds=[0, 1, 2]"
    for stage in toy.STAGES[:-1]:
        artefacts = plan.artefacts(stage, toy.settings(kind, change), runs.Run(root))
        assert all(artefact.state() == "done" for artefact in artefacts)
    assert toy.build("distill", root, kind, change) == 65
    assert toy.build("distill", root, kind, change, rebuild=True) == 0
    assert len(set((root / "students").iterdir()) - students) == 2
    assert len(runs.read_json(runs.Run(root).distill("nokd"))["members"]) == 3
    assert len(list((root / "distill").glob("nokd.*.json"))) == 1, "the former result was moved aside, not lost"


def test_other_settings_are_refused_with_the_key_that_differs(copied):
    kind, root = copied
    with pytest.raises(UserError, match=r"gan\.steps: 24 -> 25") as error:
        pipeline.build("train-gan", toy.job(kind, root, "gan.steps=25"))
    assert error.value.code == 65
    assert "--rebuild" in error.value.hint
    assert (root / "gan" / "generator.safetensors").exists()


def test_takd_trains_its_assistant_once_for_both_kinds_of_data(copied):
    kind, root = copied
    assert toy.build("distill", root, kind, call={"method": "takd"}) == 0
    assert toy.build("distill", root, kind, call={"method": "blkd"}) == 0
    result = runs.read_json(runs.Run(root).distill("takd"))
    assert [member["assistant"] for member in result["members"]] == ["resnet8_x0_125"] * 2
    assert len(list((root / "students").glob("resnet8_x0_125-blkd-seed0-*"))) == 1


def test_the_ablation_has_its_five_rows_in_order(copied):
    kind, root = copied
    assert toy.build("distill", root, kind, call={"ablation": True}) == 0
    result = runs.read_json(runs.Run(root).distill("ablation"))
    assert list(dict.fromkeys(member["row"] for member in result["members"])) == list(plan.ABLATION)
    full = runs.read_json(runs.Run(root).distill("nokd+fake"))["members"]
    assert [m["test"] for m in result["members"] if m["row"] == "+ relabel"] == [m["test"] for m in full]


def test_rho_none_trains_without_fakes(copied):
    kind, root = copied
    assert toy.build("distill", root, kind, call={"method": "nokd+fake", "rho": "none"}, rebuild=True) == 0
    with_none = runs.read_json(runs.Run(root).distill("nokd+fake"))["members"]
    plain = runs.read_json(runs.Run(root).distill("nokd"))["members"]
    assert [member["test"] for member in with_none] == [member["test"] for member in plain]


def test_a_missing_input_names_the_command_that_makes_it(tmp_path):
    for stage, needed in (("fit-dre", "train-gan"), ("generate", "train-gan"), ("select-rho", "generate")):
        with pytest.raises(UserError) as error:
            plan.artefacts(stage, toy.settings("digits"), runs.Run(tmp_path))
        assert error.value.code == 65
        assert f"cgankd {needed}" in error.value.hint


def test_a_changed_file_of_an_artefact_is_refused(copied):
    kind, root = copied
    weights = root / "gan" / "generator.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    shutil.rmtree(root / "dre")
    assert toy.build("fit-dre", root, kind) == 65
    assert "generator.safetensors has other content" in (root / "error.txt").read_text()


def test_a_teacher_no_better_than_a_constant_stops_with_a_clear_error(tmp_path):
    assert toy.build("train-teacher", tmp_path / "run", "digits-angle", "teacher.steps=1", "teacher.batch=2") == 70
    assert "constant answer" in (tmp_path / "run" / "error.txt").read_text()
    assert not json.loads((tmp_path / "run" / "teacher" / "resnet8_x0_25" / "teacher.json").read_text())["finished"]
