"""The border of the task: a third kind of label runs through the whole chain, and the package does
not know it.

Ordinal grades (McCullagh 1980, as networks learn them: one logit for each "above grade k", Frank
and Hall 2001) force the question: they are few numbers as classes are, but a network has fewer
outputs than there are grades, errors have a size, and answers are no distribution.
"""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import cgankd
from cgankd import label, pipeline, preset, runs, task
from cgankd.job import Job
from cgankd.preset.sources import SOURCES, SourceFacts
from cgankd.runs import RunFolder
from cgankd.sources.source import RawData

GRADES = ["poor", "fair", "good", "fine"]
FACTS = {"kind": "grade", "grades": GRADES}
SETTINGS = [
    "data.source=grades", "data.num_train=48", "data.num_validation=40", "gan.width=1",
    "gan.latent=6", "gan.steps=12", "gan.batch=8", "gan.ema_start=4",
    "teacher.networks=['resnet8_x0_25']", "teacher.steps=200", "teacher.batch=16", "dre.width=32",
    "dre.steps=20", "dre.batch=8", "dre.penalty=10.0", "dre.output='softplus'",
    "dre.features.network='resnet8_x0_25'", "dre.features.size=32", "dre.features.steps=12",
    "dre.features.batch=8", "generate.teacher='resnet8_x0_25'", "generate.per_label=12",
    "generate.block=16", "generate.burn_in=16", "rho.grid=[0.5]", "rho.seeds=[0]",
    "distill.methods=['nokd', 'nokd+fake', 'takd+fake']", "distill.seeds=[0]", "distill.rho=0.5",
    "distill.steps=60", "distill.batch=16",
    "distill.pairs=[['resnet8_x0_25', 'resnet8_x0_125', 'resnet8_x0_0625']]",
]  # fmt: skip


class GradeLabel(label.Label):
    """One of several grades in their order, int64 from 0."""

    kind, noun = "grade", "a grade"
    discrete, distribution = True, False
    dtype = "int64"
    metric, score_unit = "MAE", "grades"

    def __init__(self, grades: list[str]) -> None:
        self.classes = tuple(grades)
        self.low, self.high = 0, len(grades) - 1


class Grading(task.Task):
    """K - 1 logits (N, K - 1): whether an image is above grade 0, 1, ..."""

    error_unit = "grades"

    def __init__(self, grades: list[str]) -> None:
        self.label = GradeLabel(grades)
        self.num_classes, self.outputs = len(grades), len(grades) - 1

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        above = labels[:, None] > torch.arange(self.outputs, device=labels.device)
        return F.binary_cross_entropy_with_logits(outputs, above.float())

    def match(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, teacher.sigmoid())

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return (outputs.float().sigmoid().sum(1) - labels).abs()

    def relabel(self, outputs: Tensor) -> Tensor:
        return (outputs > 0).sum(1)

    def score(self, outputs: Tensor, labels: Tensor) -> float:
        return (self.relabel(outputs) - labels).abs().double().mean().item()

    def constant_score(self, train: Tensor, labels: Tensor) -> float:
        return (train.median() - labels).abs().double().mean().item()


def images_of(grades: np.ndarray, seed: int = 0) -> np.ndarray:
    """The better, the brighter."""
    noise = np.random.default_rng(seed).integers(0, 40, (len(grades), 3, 16, 16))
    return (noise + 70 * grades[:, None, None, None]).clip(0, 255).astype(np.uint8)


def read(settings: preset.Data, seed: int) -> RawData:
    grades = np.arange(128) % len(GRADES)
    return RawData(images_of(grades), grades, FACTS, {"development": np.arange(128)})


@pytest.fixture(scope="module", autouse=True)
def _a_label_the_package_has_never_heard_of():
    reader = ModuleType("cgankd.sources.grades")
    reader.read, reader.files, reader.label = read, lambda settings: [], lambda settings: FACTS
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(label.KINDS, "grade", GradeLabel)
        patch.setitem(task.TASKS, "grade", Grading)
        patch.setitem(SOURCES, "grades", SourceFacts("grades", "grade", embedded=True))
        patch.setitem(sys.modules, "cgankd.sources.grades", reader)
        yield


@pytest.fixture(scope="module")
def grades(tmp_path_factory):
    """A run over them."""
    run = RunFolder(tmp_path_factory.mktemp("grades") / "run")
    job = Job(preset.load("digits", SETTINGS), run, device="cpu", num_processes=1)
    pipeline.build_chain(job)
    return run


@pytest.mark.slow
def test_a_third_kind_of_label_runs_through_the_whole_chain(grades):
    (results,) = runs.read_json(grades.report.with_name("report.json"))["runs"]
    assert (results["metric"], results["unit"]) == ("MAE", "grades")
    assert [row["method"] for row in results["methods"]] == ["nokd", "nokd+fake", "takd+fake"]
    assert results["methods"][0]["mean"] < 0.9, "a constant answer is off by one grade"
    assert grades.report.read_text().count("fine") >= 1, "the page names the grades"
    architecture = runs.read_json(grades.gan.parent / "generator.json")
    assert architecture["num_classes"] == 4
    teacher = runs.read_json(grades.teacher("resnet8_x0_25").parent / "network.json")
    assert teacher["outputs"] == 3


@pytest.mark.slow
def test_fakes_of_grades_are_drawn_evenly_and_filtered_by_the_size_of_their_error(grades):
    pool = cgankd.fakes.Pool(grades.pool)
    accepted = cgankd.fakes.FakeSelection(relabel="keep")
    assert np.bincount(pool.labels(accepted, pool.rows(accepted))).tolist() == [12] * 4
    kept = pool.rows(cgankd.fakes.FakeSelection(rho=0.5))
    assert len(kept) == 24
    assert pool.columns["errors"][kept].max() <= np.median(pool.columns["errors"]) + 1.5


@pytest.mark.slow
def test_a_student_of_grades_names_them_and_is_scored_by_its_predictions(grades):
    (member,) = runs.read_json(grades.distill("nokd"))["members"]
    student = cgankd.load(grades.student(member["student"]).parent)
    assert student.label.classes == tuple(GRADES)
    labels = np.arange(128) % 4
    rows = runs.read_json(grades.data)["rows"]
    assert rows["test"]["num"] == 40
    predicted = student.predict(images_of(labels))
    assert predicted.dtype == np.int64
    assert np.abs(predicted - labels).mean() < 0.9


def test_what_only_distributions_have_is_refused_of_grades_by_its_name():
    with pytest.raises(cgankd.UserError, match="sskd is for class labels; for a grade there are"):
        preset.load("digits", [*SETTINGS, "distill.methods=['sskd']"])
    with pytest.raises(cgankd.UserError, match=r"evaluate\.radius is for a continuous label"):
        preset.load("digits", [*SETTINGS, "evaluate={radius=1.0, centers=2}"])
