"""Images of one's own: from files as people have them, through prepare and a whole toy run."""

import numpy as np
import pytest
import toy
from PIL import Image

from cgankd import pipeline, runs, sources
from cgankd.errors import UserError
from cgankd.fakes import FakeSelection, Pool
from cgankd.job import Job
from cgankd.sources.prepare import prepare
from cgankd.stages import train_teacher

pytestmark = pytest.mark.slow


def drawn(job: Job) -> Pool:
    """The pool of a job, its whole chain up to there."""
    toy.build_all(job, upto="generate")
    return Pool(job.run.pool)


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
    pool = drawn(toy.job("digits", tmp_path / "run", *changes))
    assert pool.record["label"]["classes"] == [f"class{label}" for label in range(10)]
    assert len(pool.rows(FakeSelection())) == 120


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
    job = toy.job("digits", tmp_path / "run", *changes)
    toy.build_all(job, upto="train-teacher")
    assert runs.read_json(job.run.gan)["label"]["classes"] == names
    known = sources.load(job.preset.data, 0)
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
    pool = drawn(toy.job("digits-angle", tmp_path / "run", *changes))
    assert pool.record["label"] == {"kind": "continuous", "min": 0.0, "max": 50.0, "unit": "mm"}
    assert len(pool.rows(FakeSelection())) == 72


def test_the_public_rc49_file_goes_through_prepare_and_a_run(tmp_path):
    toy.rc49(tmp_path / "RC-49_64x64.h5", (1, 2))
    given = ["data.source=rc49", "data.num_train=450", "data.num_validation=100"]
    asked = toy.settings("digits-angle", *given, f"data.path={tmp_path / 'RC-49_64x64.h5'}").data
    prepare(asked, 0, tmp_path / "r1.h5")
    changes = [*given, f"data.path={tmp_path / 'r1.h5'}"]
    pool = drawn(toy.job("digits-angle", tmp_path / "run", *changes))
    assert pool.record["label"] == {
        "kind": "continuous",
        "min": 0.0,
        "max": 90.0,
        "unit": "degrees",
        "step": 0.1,
    }
    assert len(pool.rows(FakeSelection())) == 72


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
    page = pipeline.build_chain(job).read_text()
    assert "0.34" in page, "the published error stands beside ours"
    known = runs.read_json(job.run.data)
    assert {split: rows["num"] for split, rows in known["rows"].items()} == {
        "train": 360,
        "validation": 90,
        "test": 1348,
    }
    assert len(Pool(job.run.pool).rows(FakeSelection())) == 72
    members = runs.read_json(job.run.distill("nokd+fake"))["members"]
    assert {(member["steps"], member["fakes"]) for member in members} == {(24, 20)}, (
        "an epoch of 380 in batches of 16"
    )


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
    job = toy.job("digits-angle", tmp_path / "run", *changes)
    pool = drawn(job)
    known = runs.read_json(job.run.data)
    assert {split: rows["num"] for split, rows in known["rows"].items()} == {
        "train": 120,
        "validation": 22,
        "test": 27,
    }
    assert pool.record["label"]["unit"] == "years"
    assert len(pool.rows(FakeSelection())) == 72
