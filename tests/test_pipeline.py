"""Building stages: what is done is left alone, what is out of date is refused or moved aside, and
nobody else writes meanwhile.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy

from cgankd import fakes, pipeline, plan, runs
from cgankd.errors import UserError
from cgankd.job import make_job
from cgankd.plan.specs import ABLATION
from cgankd.runs import RunFolder


def times(root: Path) -> dict[Path, int]:
    """When every file of a run was written; the lock is taken anew each time."""
    return {
        path: path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


# The job of a call


def test_a_job_is_that_of_the_preset_named_else_of_the_folder_else_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = make_job()
    assert (plain.preset.name, plain.run.root) == ("digits", Path("runs/digits"))
    named = make_job(None, "digits-angle", ["gan.steps=7"], device="cpu")
    assert (named.preset.name, named.run.root) == ("digits-angle", Path("runs/digits-angle"))
    assert (named.preset.gan.steps, named.device) == (7, "cpu")
    runs.write_bytes(Path("mine/preset.toml"), b'extends = "digits"\nname = "own"\n')
    own = make_job(Path("mine"))
    assert (own.preset.name, own.run.root) == ("own", Path("mine"))
    assert make_job(Path("mine"), "digits").preset.name == "digits"
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}, "a job makes no folder"


@pytest.mark.parametrize(
    ("name", "words"), [("file", "--out file is a file"), ("thesis", "holds other files")]
)
def test_a_file_or_a_folder_of_something_else_is_no_run_folder(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    runs.write_bytes(Path("thesis/thesis.txt"), b"do not touch")
    with pytest.raises(UserError, match=words) as caught:
        make_job(Path(name))
    assert caught.value.code == 73


@pytest.mark.parametrize(
    "build", [lambda job: pipeline.build_stage("train-gan", job), pipeline.build_chain]
)
def test_callers_from_python_hold_the_lock_of_the_folder_too(tmp_path, monkeypatch, build):
    job = toy.job("digits", tmp_path / "run")
    with runs.locked(job.run.root), pytest.raises(UserError, match="in use by process") as caught:
        build(job)
    assert caught.value.code == 73
    assert {path.name for path in job.run.root.iterdir()} <= {".lock", ".cgankd", "data.json"}


def test_of_several_processes_the_first_alone_locks_and_moves_things_aside(tmp_path, monkeypatch):
    job = toy.job("digits", tmp_path / "run")
    made = []
    monkeypatch.setattr(pipeline.launch, "launch", lambda perform, num, *work: made.append(work))
    monkeypatch.setenv("RANK", "1")
    with runs.locked(job.run.root):  # by the first process, in the name of all
        records = pipeline.build_stage("train-gan", job)
    assert records == [job.run.gan]
    assert made == [("train-gan", job)]
    assert not job.run.preset.exists()


# The chain


@pytest.mark.slow
def test_every_stage_is_done_and_a_second_call_builds_nothing(chain):
    job = toy.job(*chain)
    before = times(job.run.root)
    for stage in plan.STAGES.values():
        assert set(toy.states(stage.name, job)) == {"done"}, stage.name
        records = pipeline.build_stage(stage.name, job)
        assert records == [artefact.record for artefact in stage.plan(job)]
    assert times(job.run.root) == before
    assert pipeline.states(job)["train-gan"] == "gan/gan.json: done"


@pytest.mark.slow
def test_results_have_every_seed_and_a_score_of_each_split(chain):
    for method in ("nokd", "nokd+fake"):
        result = runs.read_json(RunFolder(chain[1]).distill(method))
        assert [member["seed"] for member in result["members"]] == [0, 1]
        assert all(
            0 <= member["test"] <= 100 and 0 <= member["validation"] <= 100
            for member in result["members"]
        )
        assert {member["steps"] for member in result["members"]} == {16}
        assert all((member["fakes"] > 0) == (method == "nokd+fake") for member in result["members"])


@pytest.mark.slow
def test_the_pool_keeps_what_it_promises(chain):
    kind, root = chain
    pool = fakes.Pool(RunFolder(root).pool)
    column = pool.columns
    labels = np.unique(column["labels"])
    assert len(labels) == (10 if kind == "digits" else 6)
    for label in labels:
        mine = column["labels"] == label
        numbers = column["proposals"][mine]
        assert len(np.unique(numbers)) == len(numbers), "no proposal twice"
        assert set(range(12)) <= set(numbers.tolist()), "the first proposals are all there"
        assert column["accepted"][mine & (column["proposals"] >= 12)].all(), (
            "later ones only if accepted"
        )
        assert column["accepted"][mine].sum() >= 12
    assert len(pool.rows(fakes.FakeSelection(num=None))) == 12 * len(labels)


@pytest.mark.slow
def test_other_seeds_build_only_distill_and_keep_the_students_there_are(copied):
    _kind, root = copied
    students = set((root / "students").iterdir())
    job = toy.job(*copied, "distill.seeds=[0, 1, 2]")
    states = {stage.name: set(toy.states(stage.name, job)) for stage in plan.STAGES.values()}
    assert states.pop("distill") == {"other"}
    assert set.union(*states.values()) == {"done"}
    assert toy.build("distill", job) == 65
    assert toy.build("distill", replace(job, rebuild=True)) == 0
    assert len(set((root / "students").iterdir()) - students) == 2
    assert len(runs.read_json(job.run.distill("nokd"))["members"]) == 3
    assert len(list((root / "distill").glob("nokd.*.json"))) == 1, (
        "the former result was moved aside, not lost"
    )


@pytest.mark.slow
def test_other_settings_are_refused_with_the_key_that_differs(copied):
    job = toy.job(*copied, "gan.steps=25")
    with pytest.raises(UserError, match=r"gan\.steps: 24 -> 25") as error:
        pipeline.build_stage("train-gan", job)
    assert error.value.code == 65
    assert "--rebuild" in error.value.hint
    assert (job.run.gan.parent / "generator.safetensors").exists()
    assert pipeline.states(job)["train-gan"] == "gan/gan.json: other"


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "num"), [(2, 1), (3, 2), (9, 2)])
def test_students_share_the_cores_if_each_process_has_some_of_them(copied, monkeypatch, seeds, num):
    monkeypatch.setattr(pipeline.os, "cpu_count", lambda: 2)
    started = []
    monkeypatch.setattr(pipeline.launch, "launch", lambda _, num, *work: started.append(num))
    kind, root = copied
    changes = f"distill.seeds={list(range(10, 10 + seeds))}", "distill.methods=['nokd', 'fake']"
    pipeline.build_stage("distill", replace(toy.job(kind, root, *changes), rebuild=True))
    assert started == [num]


@pytest.mark.slow
def test_takd_trains_its_assistant_once_for_both_kinds_of_data(copied):
    job = toy.job(*copied)
    assert toy.build("distill", job.asking(methods=("takd",))) == 0
    assert toy.build("distill", job.asking(methods=("blkd",))) == 0
    result = runs.read_json(job.run.distill("takd"))
    assert [member["assistant"] for member in result["members"]] == ["resnet8_x0_125"] * 2
    assert len(list((job.run.root / "students").glob("resnet8_x0_125-blkd-seed0-*"))) == 1


@pytest.mark.slow
def test_the_ablation_has_its_five_rows_in_order(copied):
    job = toy.job(*copied)
    assert toy.build("distill", job.asking(ablation=True)) == 0
    result = runs.read_json(job.run.distill("ablation"))
    assert list(dict.fromkeys(member["row"] for member in result["members"])) == list(ABLATION)
    full = runs.read_json(job.run.distill("nokd+fake"))["members"]
    assert [m["test"] for m in result["members"] if m["row"] == "+ relabel"] == [
        m["test"] for m in full
    ]


@pytest.mark.slow
def test_the_curve_trains_what_is_missing_and_is_scored_on_validation_rows(copied):
    job = toy.job(*copied)
    before = set((job.run.root / "students").iterdir())
    assert toy.build("distill", job.asking(curve="steps=4,16")) == 0
    members = runs.read_json(job.run.distill("curve"))["members"]
    assert [(one["row"], one["seed"], one["steps"]) for one in members] == [
        (method, seed, steps)
        for method in ("nokd", "nokd+fake")
        for steps in (4, 16)
        for seed in (0, 1)
    ]
    assert not any("test" in one for one in members)
    at_16 = [one["student"] for one in members if one["steps"] == 16]
    ordinary = [
        member["student"]
        for method in ("nokd", "nokd+fake")
        for member in runs.read_json(job.run.distill(method))["members"]
    ]
    assert at_16 == ordinary
    new = {path.name for path in set((job.run.root / "students").iterdir()) - before}
    assert new == {one["student"] for one in members if one["steps"] == 4}


@pytest.mark.slow
def test_a_changed_file_of_an_artefact_is_refused(copied):
    job = toy.job(*copied)
    weights = job.run.gan.parent / "generator.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    shutil.rmtree(job.run.dre.parent)
    assert toy.build("fit-dre", job) == 65
    assert "generator.safetensors has other content" in toy.error(job)


@pytest.mark.slow
def test_a_teacher_no_better_than_a_constant_stops_with_a_clear_error(tmp_path):
    job = toy.job("digits-angle", tmp_path / "run", "teacher.steps=1", "teacher.batch=2")
    assert toy.build("train-teacher", job) == 70
    assert "constant answer" in toy.error(job)
    assert not runs.read_json(job.run.teacher("resnet8_x0_25"))["finished"]


@pytest.mark.slow
def test_students_of_other_settings_are_refused_with_the_keys_that_differ(copied):
    kind, root = copied
    for change, words in (
        ("distill.weight_decay=0.25", "training.weight_decay: 0.005 -> 0.25"),
        ("distill.seeds=[0, 1, 2]", "2 students -> 3"),
    ):
        with pytest.raises(UserError, match=r"nokd.json was made from other settings") as caught:
            pipeline.build_stage("distill", toy.job(kind, root, change).asking(methods=("nokd",)))
        assert words in str(caught.value).replace("0.02 ->", "0.005 ->")
