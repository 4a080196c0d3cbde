"""evaluate: which presets have it, what it depends on, and what it writes."""

import json
import math
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy

from cgankd import pipeline, plan, preset, report, runs, sources
from cgankd.errors import UserError
from cgankd.fakes import FakeSelection, Pool
from cgankd.models.saved import load_network
from cgankd.runs import RunFolder

# The table


def test_only_a_continuous_label_can_be_evaluated():
    with pytest.raises(
        UserError, match="evaluate: for a continuous label only; metrics within classes are not"
    ):
        preset.load("digits", ["evaluate.radius=1.0", "evaluate.centers=3"])


@pytest.mark.parametrize(
    ("given", "span"),
    [
        ([], 90),
        (["data.source=h5", "data.path=x.h5", "data.range=[1.0, 61.0]"], 60),
        (["data.source=utkface"], 60),
    ],
)
def test_a_window_is_no_wider_than_the_range(given, span):
    for radius in (span / 2, span / 2 + 1):
        asked = preset.load("digits-angle", [*given, f"evaluate.radius={radius}"])
        if radius > span / 2:
            with pytest.raises(UserError, match=f"evaluate.radius = {radius:g}, but the range"):
                preset.check_labels(asked, sources.known_label(asked.data))
        else:
            preset.check_labels(asked, sources.known_label(asked.data))


def test_a_preset_without_the_table_has_one_stage_less_and_the_command_says_so(tmp_path):
    assert pipeline.stages(preset.load("digits-angle")) == list(pipeline.BUILDING)
    plain = preset.load("digits")
    assert pipeline.stages(plain) == [stage for stage in pipeline.BUILDING if stage != "evaluate"]
    with pytest.raises(UserError, match=r"digits has no table \[evaluate\]") as caught:
        plan.artefacts("evaluate", plain, RunFolder(tmp_path))
    assert (caught.value.code, "continuous label" in caught.value.hint) == (2, True)


# What it is made from


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose inputs are finished, with contents that are just words."""
    monkeypatch.setattr(
        sources, "identify", lambda data, seed, run: json.dumps([data.model_dump(), seed])
    )
    run = RunFolder(tmp_path)
    for record in (run.gan, run.dre, run.pool, run.search, run.teacher("resnet8")):
        runs.write_json(record, {"finished": True, "content": record.stem})
    return run


def test_the_record_depends_on_its_table_the_grid_and_its_inputs_alone(run):
    def digest(*changes: str) -> str:
        (made,) = plan.artefacts("evaluate", preset.load("digits-angle", list(changes)), run)
        return made.digest

    before = digest()
    for change in (
        "evaluate.radius=4.0",
        "evaluate.centers=8",
        "evaluate.types.steps=7",
        "rho.grid=[0.6, 1.0]",
        "seed=1",
    ):
        assert digest(change) != before, change
    for change in (
        "rho.grid=[1.0, 0.8, 0.7]",
        "rho.seeds=[5]",
        "distill.steps=7",
        "gan.steps=7",
        "report.columns=33",
    ):
        assert digest(change) == before, change
    for record, counts in (
        (run.dre, True),
        (run.pool, True),
        (run.teacher("resnet8"), True),
        (run.search, False),
    ):
        old = runs.read_json(record)
        runs.write_json(record, {**old, "content": "new"})
        assert (digest() != before) == counts, record
        runs.write_json(record, old)


def test_the_ends_of_the_grid_are_evaluated_with_every_step_before():
    views = plan.evaluated(preset.load("digits-angle", ["rho.grid=[0.5, 1.0, 0.7]"]))
    assert views == {
        "raw fakes": FakeSelection(subsample=False, relabel="keep"),
        "+ subsampling": FakeSelection(relabel="keep"),
        "+ filter, relabel (rho = 1)": FakeSelection(rho=1.0),
        "+ filter, relabel (rho = 0.5)": FakeSelection(rho=0.5),
    }
    assert len(plan.evaluated(preset.load("digits-angle", ["rho.grid=[0.5]"]))) == 3


@pytest.mark.slow
def test_the_digits_that_are_turned_are_the_types():
    turned, straight = (
        sources.load(preset.load(name).data, 0) for name in ("digits-angle", "digits")
    )
    assert (turned.types == straight.labels).all()
    assert straight.types is None


# The stage


@pytest.fixture(scope="module")
def evaluated(chain, tmp_path_factory):
    """A toy run with its evaluation, made without a break."""
    root = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(chain[1], root)
    assert toy.build("evaluate", root, "digits-angle", seconds=60.0) == 0
    return root


@pytest.fixture
def angles(chain, tmp_path):
    """A toy run that is not evaluated yet."""
    shutil.copytree(chain[1], tmp_path / "run")
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
def test_the_scores_are_those_of_the_pool_and_of_the_features(evaluated):
    run, settings = RunFolder(evaluated), toy.settings("digits-angle")
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

    before = {path: path.stat().st_mtime_ns for path in evaluated.rglob("*") if path.is_file()}
    pipeline.build("evaluate", toy.job("digits-angle", evaluated))
    assert before == {
        path: path.stat().st_mtime_ns for path in evaluated.rglob("*") if path.is_file()
    }
    page = report.build([evaluated], run.report).with_name("report.md").read_text()
    assert "| raw fakes | 72 |" in page


@pytest.mark.slow
@only_angles
def test_killed_while_it_trains_the_classifier_it_ends_with_the_same_content(evaluated, angles):
    whole = runs.read_json(RunFolder(evaluated).evaluation)
    process = toy.start("evaluate", angles, "digits-angle")
    while not list(angles.glob("evaluate/types-training/checkpoints/step-*")):
        assert process.is_alive()
        time.sleep(0.002)
    process.kill()
    process.join()
    assert toy.build("evaluate", angles, "digits-angle") == 0
    assert runs.read_json(RunFolder(angles).evaluation)["content"] == whole["content"]
    assert {path.name for path in (angles / "evaluate").iterdir()} == {
        "evaluate.json",
        "types.json",
        "types.safetensors",
        "types-training",
    }


@pytest.mark.slow
@only_angles
def test_repeated_labels_have_a_distance_each_and_without_types_there_is_no_diversity(
    angles, monkeypatch
):
    source = sources.load(toy.settings("digits-angle").data, 0)
    asked = np.unique(Pool(RunFolder(angles).pool).columns["labels"]) * 90
    middles = asked[(source.labels // 15).astype(int)].astype(np.float32)
    monkeypatch.setattr(
        sources, "load", lambda settings, seed: replace(source, labels=middles, types=None)
    )
    pipeline.build("evaluate", toy.job("digits-angle", angles))
    record = runs.read_json(RunFolder(angles).evaluation)
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
