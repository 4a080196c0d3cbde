"""The whole chain at toy size, for both kinds of label."""

import json
import shutil

import numpy as np
import pytest
import toy
from PIL import Image

from cgankd import fakes, pipeline, plan, report, runs, sources
from cgankd.errors import UserError
from cgankd.sources.prepare import prepare
from cgankd.stages import train_teacher

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
        assert all(
            artefact.state() == "done"
            for artefact in plan.artefacts(stage, toy.settings(kind), runs.RunFolder(root))
        )
        pipeline.build(stage, toy.job(kind, root))
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_results_have_every_seed_and_a_score_of_each_split(chain):
    _kind, root = chain
    for method in ("nokd", "nokd+fake"):
        result = runs.read_json(runs.RunFolder(root).distill(method))
        assert [member["seed"] for member in result["members"]] == [0, 1]
        assert all(
            0 <= member["test"] <= 100 and 0 <= member["validation"] <= 100
            for member in result["members"]
        )
        assert {member["steps"] for member in result["members"]} == {16}
        assert all((member["fakes"] > 0) == (method == "nokd+fake") for member in result["members"])


def test_the_pool_keeps_what_it_promises(chain):
    kind, root = chain
    pool = fakes.Pool(runs.RunFolder(root).pool)
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


def test_other_seeds_build_only_distill_and_keep_the_students_there_are(copied):
    kind, root = copied
    students = set((root / "students").iterdir())
    change = "distill.seeds=[0, 1, 2]"
    for stage in toy.STAGES[:-1]:
        artefacts = plan.artefacts(stage, toy.settings(kind, change), runs.RunFolder(root))
        assert all(artefact.state() == "done" for artefact in artefacts)
    assert toy.build("distill", root, kind, change) == 65
    assert toy.build("distill", root, kind, change, rebuild=True) == 0
    assert len(set((root / "students").iterdir()) - students) == 2
    assert len(runs.read_json(runs.RunFolder(root).distill("nokd"))["members"]) == 3
    assert len(list((root / "distill").glob("nokd.*.json"))) == 1, (
        "the former result was moved aside, not lost"
    )


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
    result = runs.read_json(runs.RunFolder(root).distill("takd"))
    assert [member["assistant"] for member in result["members"]] == ["resnet8_x0_125"] * 2
    assert len(list((root / "students").glob("resnet8_x0_125-blkd-seed0-*"))) == 1


def test_the_ablation_has_its_five_rows_in_order(copied):
    kind, root = copied
    assert toy.build("distill", root, kind, call={"ablation": True}) == 0
    result = runs.read_json(runs.RunFolder(root).distill("ablation"))
    assert list(dict.fromkeys(member["row"] for member in result["members"])) == list(plan.ABLATION)
    full = runs.read_json(runs.RunFolder(root).distill("nokd+fake"))["members"]
    assert [m["test"] for m in result["members"] if m["row"] == "+ relabel"] == [
        m["test"] for m in full
    ]


def test_rho_none_trains_without_fakes(copied):
    kind, root = copied
    assert (
        toy.build("distill", root, kind, call={"method": "nokd+fake", "rho": "none"}, rebuild=True)
        == 0
    )
    with_none = runs.read_json(runs.RunFolder(root).distill("nokd+fake"))["members"]
    plain = runs.read_json(runs.RunFolder(root).distill("nokd"))["members"]
    assert [member["test"] for member in with_none] == [member["test"] for member in plain]


def test_a_missing_input_names_the_command_that_makes_it(tmp_path):
    for stage, needed in (
        ("fit-dre", "train-gan"),
        ("generate", "train-gan"),
        ("select-rho", "generate"),
    ):
        with pytest.raises(UserError) as error:
            plan.artefacts(stage, toy.settings("digits"), runs.RunFolder(tmp_path))
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
    assert (
        toy.build(
            "train-teacher", tmp_path / "run", "digits-angle", "teacher.steps=1", "teacher.batch=2"
        )
        == 70
    )
    assert "constant answer" in (tmp_path / "run" / "error.txt").read_text()
    assert not json.loads(
        (tmp_path / "run" / "teacher" / "resnet8_x0_25" / "teacher.json").read_text()
    )["finished"]


# Images of one's own


def paint(path, shade: int, size: tuple[int, int], mode: str) -> None:
    """A picture of noise about a shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng([shade, len(path.name), ord(path.name[0])])
    noise = draws.integers(-20, 21, (*size[::-1], 3)) + shade
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).convert(mode).save(path)


def test_class_folders_of_odd_grey_and_broken_pictures_go_through_prepare_and_a_run(tmp_path):
    folder = tmp_path / "pictures"
    for label in range(10):
        for number in range(9):
            size, mode = [((20, 14), "RGB"), ((16, 16), "L"), ((9, 31), "RGB")][number % 3]
            paint(folder / f"class{label}" / f"{number}.png", 20 + 23 * label, size, mode)
    (folder / "class3" / "broken.png").write_bytes(b"\x89PNG and nothing else")
    given = [
        "data.source=folder",
        f"data.path={folder}",
        "data.num_train=40",
        "data.num_validation=20",
    ]
    with pytest.raises(UserError, match=r"broken\.png"):
        sources.load(toy.settings("digits", *given).data, 0)
    prepared = tmp_path / "prepared.h5"
    prepare(toy.settings("digits", *given, "data.skip_broken=true").data, 0, prepared)
    changes = ["data.source=h5", f"data.path={prepared}", *given[2:]]
    toy.build_all(tmp_path / "run", "digits", *changes, upto="generate")
    pool = fakes.Pool(runs.RunFolder(tmp_path / "run").pool)
    assert pool.record["label"]["classes"] == [f"class{label}" for label in range(10)]
    assert len(pool.rows(fakes.FakeSelection())) == 120


def test_the_official_tiny_imagenet_folder_goes_through_prepare_and_a_run(tmp_path):
    folder = tmp_path / "tiny-imagenet-200"
    names = [f"n{label:08d}" for label in range(10)]
    annotations = []
    for label, name in enumerate(names):
        for number in range(8):
            paint(
                folder / "train" / name / "images" / f"{name}_{number}.JPEG",
                20 + 23 * label,
                (64, 64),
                "RGB",
            )
        paint(folder / "val" / "images" / f"val_{label}.JPEG", 20 + 23 * label, (64, 64), "L")
        annotations.append(f"val_{label}.JPEG\t{name}\t0\t0\t62\t62")
    (folder / "wnids.txt").write_text("\n".join(names))
    (folder / "val" / "val_annotations.txt").write_text("\n".join(annotations))
    given = ["data.num_train=40", "data.num_validation=20"]
    prepared = tmp_path / "tiny.h5"
    prepare(
        toy.settings("digits", "data.source=tiny-imagenet", f"data.path={folder}", *given).data,
        0,
        prepared,
    )
    changes = ["data.source=tiny-imagenet", f"data.path={prepared}", *given]
    toy.build_all(tmp_path / "run", "digits", *changes, upto="train-teacher")
    assert runs.read_json(runs.RunFolder(tmp_path / "run").gan)["label"]["classes"] == names
    known = sources.load(toy.settings("digits", *changes).data, 0)
    assert [len(known.rows[split]) for split in sources.SPLITS] == [40, 20, 10]


def test_a_table_of_pictures_with_numbers_goes_through_a_run(tmp_path):
    lines = ["file,label"]
    for number in range(90):
        paint(tmp_path / "pictures" / f"{number}.png", 20 + 2 * number, (18, 18), "RGB")
        lines.append(f"pictures/{number}.png,{number / 2}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines))
    changes = [
        "data.source=csv",
        f"data.path={table}",
        "data.range=[0.0, 50.0]",
        "data.unit=mm",
        "data.num_train=40",
        "data.num_validation=20",
    ]
    toy.build_all(tmp_path / "run", "digits-angle", *changes, upto="generate")
    pool = fakes.Pool(runs.RunFolder(tmp_path / "run").pool)
    assert pool.record["label"] == {"kind": "continuous", "min": 0.0, "max": 50.0, "unit": "mm"}
    assert len(pool.rows(fakes.FakeSelection())) == 72


def test_the_public_rc49_file_goes_through_prepare_and_a_run(tmp_path):
    toy.rc49(tmp_path / "RC-49_64x64.h5", (1, 2))
    given = ["data.source=rc49", "data.num_train=450", "data.num_validation=100"]
    asked = toy.settings("digits-angle", *given, f"data.path={tmp_path / 'RC-49_64x64.h5'}").data
    prepare(asked, 0, tmp_path / "r1.h5")
    toy.build_all(
        tmp_path / "run", "digits-angle", *given, f"data.path={tmp_path / 'r1.h5'}", upto="generate"
    )
    pool = fakes.Pool(runs.RunFolder(tmp_path / "run").pool)
    assert pool.record["label"] == {
        "kind": "continuous",
        "min": 0.0,
        "max": 90.0,
        "unit": "degrees",
        "step": 0.1,
    }
    assert len(pool.rows(fakes.FakeSelection())) == 72


def test_the_preset_of_rc49_runs_on_a_published_file_from_end_to_end(tmp_path, monkeypatch):
    toy.rc49_split(tmp_path / "x.h5")
    monkeypatch.setattr(train_teacher, "check", lambda *given: 0.0)  # no teacher learns from noise
    job = toy.job(
        "rc49-r25",
        tmp_path / "run",
        f"data.path={tmp_path / 'x.h5'}",
        "data.num_train=360",
        "data.num_validation=90",
    )
    for stage in pipeline.stages(job.preset):
        pipeline.build(stage, job, whole_chain=True)
    known = runs.read_json(job.run.data)
    assert {split: rows["num"] for split, rows in known["rows"].items()} == {
        "train": 360,
        "validation": 90,
        "test": 1348,
    }
    assert len(fakes.Pool(job.run.pool).rows(fakes.FakeSelection())) == 72
    members = runs.read_json(job.run.distill("nokd+fake"))["members"]
    assert {(member["steps"], member["fakes"]) for member in members} == {(24, 20)}, (
        "an epoch of 380 in batches of 16"
    )
    page = report.build([job.run.root], job.run.report).read_text()
    assert "0.34" in page, "the published error stands beside ours"


def test_a_folder_of_faces_goes_through_prepare_and_a_run(tmp_path):
    toy.faces(tmp_path / "UTKFace", {**dict.fromkeys(range(1, 61, 4), 9), 70: 2})
    given = [
        "data.source=utkface",
        "data.num_train=auto",
        "data.num_validation=auto",
        "data.min_per_label=8",
    ]
    prepare(
        toy.settings("digits-angle", *given, f"data.path={tmp_path / 'UTKFace'}").data,
        0,
        tmp_path / "faces.h5",
    )
    changes = [*given, f"data.path={tmp_path / 'faces.h5'}", "gan.network=sagan", "gan.width=4"]
    toy.build_all(tmp_path / "run", "digits-angle", *changes, upto="generate")
    known = runs.read_json(tmp_path / "run" / "data.json")
    assert {split: rows["num"] for split, rows in known["rows"].items()} == {
        "train": 120,
        "validation": 22,
        "test": 27,
    }
    pool = fakes.Pool(runs.RunFolder(tmp_path / "run").pool)
    assert pool.record["label"]["unit"] == "years"
    assert len(pool.rows(fakes.FakeSelection())) == 72
