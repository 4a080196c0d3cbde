"""Students: trained once, the same bits anywhere, taught by their chain, on the fakes selected for
them.
"""

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cgankd import fakes, preset, runs
from cgankd.fakes import FakeSelection
from cgankd.job import Job
from cgankd.models import make_network
from cgankd.models.saved import save_network
from cgankd.plan import HEAD, Student, StudentPlanner, StudentSpec
from cgankd.runs import Artefact, RunFolder, hdf5
from cgankd.stages import students
from cgankd.stages.students import StudentInputs
from cgankd.training.machine import Machine

LABEL = {"kind": "class", "classes": list("0123456789")}

STUDENT, TEACHER = "resnet8_x0_0625", "resnet8_x0_125"
HALF = FakeSelection(rho=0.5)
CHANGES = [
    "data.size=8",
    "data.num_train=50",
    "data.num_validation=50",
    f"teacher.networks=['{TEACHER}']",
    f"generate.teacher='{TEACHER}'",
    f"distill.pairs=[['{TEACHER}', '{STUDENT}', '{STUDENT}']]",
    "distill.steps=4",
    "distill.batch=16",
    "distill.learning_rate=0.05",
    "distill.schedule=cosine",
    "distill.sskd.head.steps=3",
    "distill.sskd.head.batch=16",
]


def set_up(root, *changes: str) -> StudentInputs:
    """A run with a teacher and a pool that are just random."""
    run, draws = RunFolder(root), np.random.default_rng(0)
    torch.manual_seed(0)
    made = Artefact(run.teacher(TEACHER), "train-teacher", {})
    made.begin()
    architecture = {
        "name": "cnn",
        "trunk": TEACHER,
        "side": 8,
        "outputs": 10,
        "mean": [0.3] * 3,
        "std": [0.4] * 3,
    }
    made.finish(
        save_network(made.folder, "network", make_network(architecture), architecture), made_on={}
    )
    pool = Artefact(run.pool, "generate", {})
    pool.begin()
    num = 120
    fakes.write_shard(
        pool.folder / "pool-00000.h5",
        {
            "images": draws.integers(0, 256, (num, 3, 8, 8), dtype=np.uint8),
            "labels": np.arange(num) % 10,
            "proposals": np.arange(num) // 10,
            "accepted": np.ones(num, bool),
            "ratios": np.ones(num, np.float32),
            "outputs": draws.random((num, 10), dtype=np.float32),
            "errors": np.zeros(num, np.float32),
            "clipped_errors": draws.random(num, dtype=np.float32),
            "relabels": draws.integers(10, size=num),
        },
    )
    pool.finish([pool.folder / "pool-00000.h5"], made_on={}, per_label=12, label=LABEL)
    job = Job(preset.load("digits", [*CHANGES, *changes]), run)
    return StudentInputs(job, Machine("cpu"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return set_up(tmp_path_factory.mktemp("inputs"))


def nokd(seed: int = 0, **values) -> StudentSpec:
    """A student that nobody teaches."""
    return StudentSpec(STUDENT, "nokd", seed, **values)


def plan(spec: StudentSpec, inputs: StudentInputs) -> Student:
    return StudentPlanner(inputs.job).plan(spec)


def train_student(spec: StudentSpec, inputs: StudentInputs) -> Path:
    """Trains what a spec names; its record."""
    return students.train_student(plan(spec, inputs), inputs)


class Shown(Exception):
    """What a training was begun with."""


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """The batches that a student is trained on, and their number."""

    def fit(update, batches, *, steps, session):
        raise Shown(batches, steps)

    def ask(spec: StudentSpec, *changes: str) -> tuple[Any, int]:
        with pytest.raises(Shown) as begun:
            train_student(spec, set_up(tmp_path / str(next(runs_made)), *changes))
        return begun.value.args

    runs_made = count()
    monkeypatch.setattr(students, "fit", fit)
    return ask


def weights(record) -> dict[str, torch.Tensor]:
    return load_file(record.parent / "network.safetensors")


def same(one, other) -> bool:
    return all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_under_the_published_protocol_only_the_search_leaves_out_the_validation_rows(tmp_path):
    inputs = set_up(tmp_path, "data.protocol=paper")
    every, held_out = (inputs.real(plan(nokd(held_out=value), inputs)) for value in (False, True))
    assert (len(every), len(held_out)) == (100, 50)
    validation = {image.numpy().tobytes() for image in inputs.splits["validation"].pixels}
    assert len(validation) == 50
    assert not validation & {image.numpy().tobytes() for image in held_out.pixels}
    assert validation < {image.numpy().tobytes() for image in every.pixels}


def test_rows_of_rare_labels_are_repeated_with_and_without_the_validation_rows(tmp_path):
    inputs = set_up(tmp_path, "data.protocol=paper", "data.min_per_label=15")
    for held_out in (False, True):
        labels = inputs.real(plan(nokd(held_out=held_out), inputs)).labels
        assert labels.bincount().tolist() == [15] * 10
    validation = {image.numpy().tobytes() for image in inputs.splits["validation"].pixels}
    assert not validation & {image.numpy().tobytes() for image in inputs.held_out.pixels}


KINDS = {
    "nokd": nokd(),
    "nokd+fake": nokd(selection=HALF),
    "blkd": StudentSpec(STUDENT, "blkd", 0, TEACHER),
    "takd+fake": StudentSpec(STUDENT, "takd", 0, TEACHER, STUDENT, HALF),
    "sskd+fake": StudentSpec(STUDENT, "sskd", 0, TEACHER, selection=HALF),
    "blkd+uda": StudentSpec(STUDENT, "blkd+uda", 0, TEACHER),
}


@pytest.fixture(scope="module")
def trained(inputs):
    return {name: train_student(student, inputs) for name, student in KINDS.items()}


def test_a_student_is_trained_once_and_records_its_score(inputs, trained):
    record = runs.verify_files(trained["nokd+fake"], "distill")
    assert (record["network"], record["steps"], record["fakes"]) == (STUDENT, 4, 60)
    assert record["validation"] == inputs.score(
        inputs.load(plan(KINDS["nokd+fake"], inputs)), "validation"
    )
    assert record["parameters"] == sum(
        value.numel()
        for name, value in weights(trained["nokd"]).items()
        if "running" not in name and "num_batches" not in name and "normalise" not in name
    )
    assert {path.name for path in trained["nokd"].parent.iterdir()} == {
        "student.json",
        "network.json",
        "network.safetensors",
        "metrics.jsonl",
    }
    before = trained["nokd"].stat().st_mtime_ns
    assert train_student(KINDS["nokd"], inputs) == trained["nokd"]
    assert trained["nokd"].stat().st_mtime_ns == before


def test_a_student_has_the_same_bits_in_another_folder_and_in_another_order(trained, tmp_path):
    other = set_up(tmp_path)
    for name in reversed(KINDS):
        assert same(train_student(KINDS[name], other), trained[name]), name


def test_seed_method_and_fakes_each_make_another_student(inputs, trained):
    again = train_student(nokd(seed=1), inputs)
    assert not same(again, trained["nokd"])
    assert not same(trained["nokd+fake"], trained["nokd"])
    assert not same(trained["blkd"], trained["nokd"])


def test_takd_trains_its_assistant_first_and_learns_from_it(inputs, trained):
    assistants = list((inputs.job.run.root / "students").glob("*-blkd+fake-*"))
    assert len(assistants) == 1
    made_from = runs.read_json(trained["takd+fake"])["inputs"]
    assert made_from["assistant"] == runs.read_json(assistants[0] / "student.json")["digest"]
    direct = train_student(StudentSpec(STUDENT, "blkd", 0, TEACHER, selection=HALF), inputs)
    assert direct.parent == assistants[0]
    assert not same(direct, trained["takd+fake"])


def test_the_teacher_is_not_changed_by_its_students(inputs, trained):
    runs.verify_files(inputs.job.run.teacher(TEACHER), "train-teacher")
    teacher = inputs.network(inputs.job.run.teacher(TEACHER), "train-teacher")
    assert teacher is inputs.network(inputs.job.run.teacher(TEACHER), "train-teacher"), (
        "loaded once"
    )
    assert set(weights(trained["blkd"])) == set(weights(trained["nokd"])), "and no part of them"


def test_students_are_normalised_by_the_real_images_alone(inputs, trained):
    source = inputs.splits["train"].pixels.double() / 255
    for record in trained.values():
        described = runs.read_json(record.parent / "network.json")
        assert described["mean"] == pytest.approx(source.mean((0, 2, 3)).tolist())


def test_the_fakes_of_a_selection_are_its_rows_with_its_labels(inputs):
    for selection in (HALF, FakeSelection(rho=0.5, relabel="keep"), FakeSelection(num=30)):
        pool = fakes.Pool(inputs.job.run.pool)
        rows = pool.rows(selection, inputs.job.preset.seed)
        found = inputs.fakes(plan(nokd(selection=selection), inputs))
        assert found.labels.tolist() == pool.labels(selection, rows).tolist()
        np.testing.assert_array_equal(found.pixels.numpy(), pool.images(rows))


def test_fakes_of_a_file_are_used_as_they_are_and_drawn_evenly_from_the_classes(inputs, tmp_path):
    draws = np.random.default_rng(1)
    labels = np.repeat(np.arange(10), 6)
    pixels = draws.integers(0, 256, (60, 3, 8, 8), dtype=np.uint8)
    path = tmp_path / "fakes.h5"
    path.write_bytes(
        hdf5.to_bytes({"fake_images": pixels, "fake_labels": labels.astype(np.float64)}, {})
    )
    selection = FakeSelection(subsample=False, relabel="keep")
    found = inputs.fakes(plan(nokd(selection=selection, fakes_file=str(path)), inputs))
    np.testing.assert_array_equal(found.pixels.numpy(), pixels)
    assert found.labels.tolist() == labels.tolist()
    twenty = FakeSelection(subsample=False, relabel="keep", num=20)
    some = inputs.fakes(plan(nokd(selection=twenty, fakes_file=str(path)), inputs))
    assert torch.bincount(some.labels).tolist() == [2] * 10


def heads_of(inputs: StudentInputs) -> list[Path]:
    """The folders of projection heads."""
    return list((inputs.job.run.root / "students").glob(f"*-{HEAD}*"))


def test_the_head_of_sskd_is_trained_once_for_all_seeds_and_students_learn_with_it(inputs, trained):
    heads = heads_of(inputs)
    assert len(heads) == 1
    record = runs.read_json(heads[0] / "student.json")
    assert (record["steps"], record["fakes"], "validation" in record) == (3, 60, False)
    train_student(StudentSpec(STUDENT, "sskd", 1, TEACHER, selection=HALF), inputs)
    assert heads_of(inputs) == heads
    assert runs.read_json(trained["sskd+fake"])["inputs"]["assistant"] == record["digest"]
    assert set(weights(trained["sskd+fake"])) == set(weights(trained["nokd"])), (
        "the student's own head is dropped"
    )


def test_a_batch_has_the_asked_share_of_fakes(shown):
    batches, steps = shown(nokd(selection=HALF), "distill.fake_share=0.25")
    assert steps == 4
    real, fake = batches.parts
    assert (real.size, fake.size) == (12, 4)
    assert len(fake.images) == 60
    images, labels = batches(0)
    assert len(images) == len(labels) == 16


def test_proportional_fakes_join_the_real_images(shown):
    batches, _ = shown(nokd(selection=HALF), "distill.fake_share=proportional")
    assert len(batches.images) == 50 + 60
    assert batches.size == 16


def test_a_budget_of_epochs_counts_batches_of_all_images(shown):
    epochs = ["distill.budget=epochs", "distill.epochs=3"]
    assert shown(nokd(), *epochs)[1] == 3 * 4  # 50 images in batches of 16
    assert shown(nokd(selection=HALF), *epochs)[1] == 3 * 7  # 110 images


def test_students_of_one_seed_see_the_same_real_images_with_and_without_distillation(shown):
    (plain, _), (with_fakes, _) = (shown(KINDS[name]) for name in ("nokd", "nokd+fake"))
    again, _ = shown(KINDS["blkd"])
    other, _ = shown(nokd(seed=1))
    assert torch.equal(plain(2)[0], again(2)[0])
    assert not torch.equal(plain(2)[0], other(2)[0])
    assert len(with_fakes(2)[0]) == len(plain(2)[0]), "equal batches, so that steps are comparable"


def test_all_splits_are_scored_by_the_task(inputs):
    class Zero(torch.nn.Module):
        def forward(self, images):
            return torch.eye(10)[torch.zeros(len(images), dtype=torch.int64)]

    for split, images in inputs.splits.items():
        assert inputs.score(Zero(), split) == pytest.approx(
            100 * (images.labels != 0).float().mean().item()
        )
