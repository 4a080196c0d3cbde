"""evaluate: what it writes, and what the report makes of it."""

import math
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy

from cgankd import pipeline, plan, report, runs, sources
from cgankd.fakes import FakeSelection, Pool
from cgankd.models.saved import load_network
from cgankd.runs import RunFolder

# The stage


@pytest.fixture
def not_evaluated(chain, tmp_path):
    """A toy run that is not evaluated yet."""
    shutil.copytree(chain[1], tmp_path / "run", ignore=shutil.ignore_patterns("evaluate"))
    return tmp_path / "run"


only_angles = pytest.mark.parametrize("chain", ["digits-angle"], indirect=True)


def dense(one: np.ndarray, two: np.ndarray) -> float:
    """The Frechet distance by way of the eigenvalues of the product of covariances."""
    first, second = (np.cov(features, rowvar=False) for features in (one, two))
    root = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()
    return float(
        ((one.mean(0) - two.mean(0)) ** 2).sum() + first.trace() + second.trace() - 2 * root
    )


@pytest.mark.slow
@only_angles
def test_the_scores_are_those_of_the_pool_and_of_the_features(chain, tmp_path):
    job = toy.job(*chain)
    run, settings = job.run, job.preset
    record = runs.read_json(run.evaluation)
    rows = {row["row"]: row for row in record["rows"]}
    assert list(rows) == ["real (validation)", *plan.evaluated(settings)]
    assert (record["types"]["num"], record["types"]["maximum"]) == (10, pytest.approx(math.log(10)))
    assert record["missing"] == {
        "intra": "labels are not repeated: no label has two training images and two fakes"
    }
    assert {name for name, row in rows.items() if row["label_score"] is None} == set(list(rows)[3:])
    assert rows["real (validation)"]["num"] == 200
    teacher = runs.read_json(run.teacher("resnet8_x0_25"))
    assert rows["real (validation)"]["label_score"]["mean"] == pytest.approx(teacher["validation"])

    pool, source = Pool(run.pool), sources.load(settings.data, 0)
    raw = pool.rows(FakeSelection(subsample=False))
    assert len(raw) == rows["raw fakes"]["num"] == 6 * 12
    assert rows["raw fakes"]["label_score"]["mean"] == pytest.approx(
        pool.columns["errors"][raw].mean()
    )
    extract = load_network(run.dre.parent, "features", torch.device("cpu"))
    train = source.rows["train"]
    with torch.no_grad():
        real, fake = (
            extract(torch.from_numpy(images).float() / 127.5 - 1).double().numpy()
            for images in (source.images[train], pool.images(raw))
        )
    angles_of = source.labels[train], 90 * pool.columns["labels"][raw]
    windows = [[np.abs(labels - center) <= 20 for labels in angles_of] for center in (20, 70)]
    distances = [dense(real[ours], fake[theirs]) for ours, theirs in windows]
    assert rows["raw fakes"]["sliding"]["fid"]["mean"] == pytest.approx(
        np.mean(distances), rel=1e-4
    )
    assert rows["raw fakes"]["sliding"]["real"]["min"] == min(ours.sum() for ours, _ in windows)

    page = report.build([run.root], tmp_path / "index.html").with_name("report.md").read_text()
    assert "| raw fakes | 72 |" in page


@pytest.mark.slow
def test_students_of_fakes_alone_are_scored_on_validation_rows_and_no_fake_is_left_out(chain):
    job = toy.job(*chain)
    record = runs.read_json(job.run.evaluation)
    table = plan.evaluation(job)
    raw, used = "raw fakes", "+ filter, relabel (rho = 1)"
    assert list(table.rows) == ["real (validation)", raw, used]
    assert [student.alone for student in table.students] == [False, True, True]
    scores = {row["row"]: row["alone"] for row in record["rows"]}
    for name, (student,) in table.rows.items():
        made = runs.read_json(student.artefact.record)
        labels = len(Pool(job.run.pool).record["labels"])
        assert scores[name] == made["validation"]
        assert made["fakes"] == (12 * labels if student.alone else 0), "twelve of each label"
        assert made["steps"] == 16, "as those of real images"
    assert scores["+ subsampling"] is None
    alone = record["alone"]
    assert (alone["real"], alone["steps"]) == (scores["real (validation)"], 16)
    source = sources.load(job.preset.data, 0)
    labels = source.labels[source.rows["validation"]]
    if chain[0] == "digits":
        most = np.bincount(source.labels[source.rows["train"]]).argmax()
        assert alone["constant"] == pytest.approx(100 * np.mean(labels != most))
    else:
        middle = np.sort(source.labels[source.rows["train"]])[19]
        assert alone["constant"] == pytest.approx(np.abs(labels - middle).mean(), rel=1e-4)


@pytest.mark.slow
def test_the_student_of_real_images_is_the_one_that_the_search_has_trained(chain):
    job = toy.job(*chain)
    (real,) = plan.evaluation(job).rows["real (validation)"]
    searched = plan.search(job).rows["none"]
    assert real.artefact.record in {one.artefact.record for one in searched}
    other = toy.job(*chain, "evaluate.steps=8")
    (real,) = plan.evaluation(other).rows["real (validation)"]
    assert real.artefact.record not in {one.artefact.record for one in searched}
    assert real.num_steps(40, 0) == 8
    assert plan.evaluation(toy.job(*chain, "evaluate.student=none")).students == []


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_classes_are_scored_each_by_itself_and_together(chain, tmp_path):
    job = toy.job(*chain)
    record = runs.read_json(job.run.evaluation)
    rows = {row["row"]: row for row in record["rows"]}
    raw, real = rows["raw fakes"], rows["real (validation)"]
    assert (raw["sliding"], record["radius"], record["unit"]) == (None, None, "%")
    assert [part["center"] for part in raw["intra"]["parts"]] == list(range(10))
    assert real["overall"]["copies"] <= 0.5, "half of them are nearer than the median"
    assert real["overall"]["coverage"] > raw["overall"]["coverage"], "a GAN of 24 steps"
    pool, source = Pool(job.run.pool), sources.load(job.preset.data, 0)
    drawn = pool.rows(FakeSelection(subsample=False))
    wrong = pool.columns["relabels"][drawn] != pool.columns["labels"][drawn]
    assert raw["label_score"]["mean"] == pytest.approx(100 * wrong.mean())
    teacher = runs.read_json(job.run.teacher("resnet8_x0_25"))
    assert real["label_score"]["mean"] == pytest.approx(teacher["validation"])
    train, fakes = source.images[source.rows["train"]], pool.images(drawn)
    gaps = [((train.astype(float) - fake) ** 2).mean((1, 2, 3)).min() ** 0.5 for fake in fakes]
    lower = sorted(gaps)[(len(gaps) - 1) // 2]
    assert raw["overall"]["nearest"] == pytest.approx(lower)
    shares = [row["effective"] for row in pool.record["labels"]]
    known = runs.read_json(job.run.dre)["auc"]
    assert record["ratio"] == {"auc": known, "effective": pytest.approx(np.mean(shares))}
    assert any(finding["is_fault"] for finding in record["verdict"])

    page = report.build([job.run.root], tmp_path / "index.html").with_name("report.md").read_text()
    for finding in record["verdict"]:
        assert f"> **Caution:** {finding['text'][:40]}" in page


@pytest.mark.slow
@only_angles
def test_killed_while_it_trains_the_classifier_it_ends_with_the_same_content(chain, not_evaluated):
    whole = runs.read_json(RunFolder(chain[1]).evaluation)
    job = toy.job("digits-angle", not_evaluated)
    process = toy.start("evaluate", job)
    while not list(not_evaluated.glob("evaluate/types-training/checkpoints/step-*")):
        assert process.is_alive()
        time.sleep(0.002)
    process.kill()
    process.join()
    assert toy.build("evaluate", job) == 0
    assert runs.read_json(job.run.evaluation)["content"] == whole["content"]
    assert {path.name for path in job.run.evaluation.parent.iterdir()} == {
        "evaluate.json",
        "types.json",
        "types.safetensors",
        "types-training",
    }


@pytest.mark.slow
@only_angles
def test_repeated_labels_have_a_distance_each_and_without_types_there_is_no_diversity(
    not_evaluated, monkeypatch
):
    job = toy.job("digits-angle", not_evaluated)
    source = sources.load(job.preset.data, 0)
    asked = np.unique(Pool(job.run.pool).columns["labels"]) * 90
    middles = asked[(source.labels // 15).astype(int)].astype(np.float32)
    monkeypatch.setattr(
        sources, "load", lambda settings, seed: replace(source, labels=middles, types=None)
    )
    pipeline.build_stage("evaluate", job)
    record = runs.read_json(job.run.evaluation)
    rows = {row["row"]: row for row in record["rows"]}
    in_train = np.unique(middles[source.rows["train"]], return_counts=True)[1]
    intra = rows["raw fakes"]["intra"]
    assert (intra["windows"], intra["fake"]) == ((in_train > 1).sum(), {"min": 12, "median": 12})
    assert intra["real"]["min"] == in_train[in_train > 1].min()
    assert rows["+ filter, relabel (rho = 1)"]["intra"] is None, (
        "the teacher's labels are not those asked for"
    )
    assert (record["types"], rows["raw fakes"]["sliding"]["diversity"]) == (None, None)
    assert record["missing"] == {"diversity": "the data have no types"}
    assert record["files"] == {}
