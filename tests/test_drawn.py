"""Images that others have drawn in the place of a GAN's: how they are read, accepted and judged."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from planning import digest, digests, job
from refusals import refused
from sets import classes, noise
from sklearn.datasets import load_digits

from cgankd import fakes, pipeline, plan, preset, report, runs, sources
from cgankd.data.batches import Images
from cgankd.data.images import to_uint8
from cgankd.errors import UserError
from cgankd.fakes import FakeSelection
from cgankd.fakes.drawn import NEAR, DrawnFakes, accept
from cgankd.job import Job
from cgankd.label import ClassLabel, ContinuousLabel
from cgankd.plan import chain_of
from cgankd.preset import Preset
from cgankd.runs import RunFolder, hdf5
from cgankd.sources import drawn
from cgankd.task import Classification, Regression

AB = ClassLabel(["a", "b", "c"])
TURNED = ContinuousLabel(0.0, 90.0, "degrees")


def asking(path: object, *changes: str) -> Preset:
    """A preset whose fakes are images in a place."""
    return preset.load("digits", [f"generate.images={path}", "data.size=8", *changes])


def file_of(path: Path, labels: list[float] | None, **arrays: np.ndarray) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    given = {} if labels is None else {"fake_labels": np.array(labels)}
    hdf5.write(path, {"fake_images": images, **given, **arrays}, {})
    return path


# Reading


def test_class_folders_get_the_numbers_that_their_names_have_in_the_data(tmp_path):
    images, labels = drawn.read(asking(classes(tmp_path / "d", 2, ("c", "a"))), AB)
    assert labels.tolist() == [0, 0, 2, 2]
    assert images.shape == (4, 3, 8, 8)
    assert images.dtype == np.uint8


def test_labels_of_a_file_become_those_that_networks_take(tmp_path):
    _, labels = drawn.read(asking(file_of(tmp_path / "f.h5", [0, 2, 1, 0])), AB)
    assert (labels.dtype, labels.tolist()) == (np.int64, [0, 2, 1, 0])
    _, labels = drawn.read(asking(file_of(tmp_path / "g.h5", [0.0, 45.0, 90.0, 9.0])), TURNED)
    assert labels == pytest.approx([0.0, 0.5, 1.0, 0.1])


def test_unlabelled_images_are_all_that_a_folder_holds_or_a_file_without_labels(tmp_path):
    for name in ("b.png", "a.png", "inner/c.png"):
        noise(tmp_path / "d" / name, len(name))
    unlabelled = "generate.label_by_teacher=true"
    images, labels = drawn.read(asking(tmp_path / "d", unlabelled), AB)
    assert (len(images), labels) == (3, None)
    images, labels = drawn.read(asking(file_of(tmp_path / "f.h5", None), unlabelled), AB)
    assert (len(images), labels) == (4, None)


@pytest.mark.parametrize(
    ("make", "label", "words"),
    [
        (lambda path: path / "nowhere", AB, "generate.images = .*nowhere not found"),
        (lambda path: classes(path / "d", 1, ("a", "z")), AB, "z is no class of the data, which"),
        (lambda path: classes(path / "d", 1), TURNED, "says nothing of the numbers"),
        (lambda path: file_of(path / "f.h5", [0, 1, 2, 3]), AB, "its labels row 3 is 3, expected"),
        (lambda path: file_of(path / "f.h5", [0, 1, 2, 0.5]), AB, "row 3 is 0.5, expected classes"),
        (lambda path: file_of(path / "f.h5", None), AB, "no images with labels"),
        (
            lambda path: file_of(
                path / "f.h5", [0, 1, 2, 0], class_names=np.frombuffer(b'["b", "a"]', np.uint8)
            ),
            AB,
            "its classes are b, a, those of the data a, b, c",
        ),
    ],
)
def test_images_that_do_not_fit_the_data_are_refused(tmp_path, make, label, words):
    for look in (drawn.check, drawn.read):
        with pytest.raises(UserError, match=words) as caught:
            look(asking(make(tmp_path)), label)
        assert caught.value.code == 65


def test_the_same_images_in_another_place_are_the_same_and_changed_ones_are_not(tmp_path):
    place = classes(tmp_path / "d", 2)
    known = drawn.identify(asking(place))
    shutil.copytree(place, tmp_path / "e")
    assert drawn.identify(asking(tmp_path / "e")) == known
    noise(tmp_path / "e" / "a" / "00.png", 99)
    assert drawn.identify(asking(tmp_path / "e")) != known
    (tmp_path / "e" / "a" / "00.png").unlink()
    assert drawn.identify(asking(tmp_path / "e")) != known


def test_images_of_the_test_or_of_validation_are_refused_as_fakes(tmp_path):
    given = asking(tmp_path, "data.num_train=40", "data.num_validation=20")
    source = sources.load(given.data, 0)
    for split, fault in (("train", None), ("validation", "3 of 3"), ("test", "3 of 3")):
        images = source.images[source.rows[split][:3]]
        if fault is None:
            drawn.check_apart(images, source, given)
            continue
        with pytest.raises(UserError, match=f"{fault} images are validation or test images"):
            drawn.check_apart(images, source, given)
        allowed = asking(tmp_path, "data.allow_overlap=true")
        drawn.check_apart(images, source, allowed)


# Accepting


def settings(*changes: str):
    return asking("x", *changes).generate


def test_without_a_density_ratio_all_are_accepted_and_numbered_within_their_label():
    labels = np.array([0, 2, 2, 0, 2])
    taken = accept(labels, None, settings(), 0, discrete=True)
    assert taken.accepted.all()
    assert sorted(taken.proposals[labels == 2]) == [0, 1, 2]
    assert sorted(taken.proposals[labels == 0]) == [0, 1]
    assert taken.bounds.tolist() == [1, 1]


def test_images_are_accepted_with_probability_ratio_over_the_bound_of_their_label():
    labels = np.repeat([0, 1], 40_000)
    ratios = np.tile(np.float32([0.1, 0.2, 0.4]), 40_000)[:80_000] * (1 + 9 * labels)
    ratios = ratios.astype(np.float32)
    taken = accept(labels, ratios, settings(), 3, discrete=True)
    assert taken.bounds == pytest.approx([0.4, 4.0])
    for share in (0.25, 0.5, 1.0):
        alike = np.isclose(ratios / taken.bounds[labels], share)
        assert taken.accepted[alike].mean() == pytest.approx(share, abs=0.015)


def test_continuous_labels_have_a_bound_for_each_range_of_them():
    labels = np.float32([0.1, 0.2, 0.8, 0.9])
    ratios = np.float32([1, 2, 30, 40])
    asked = settings("generate.bound_bins=2", "generate.bound_quantile=1.0")
    assert accept(labels, ratios, asked, 0, discrete=False).bounds.tolist() == [2, 2, 40, 40]


def test_a_fake_is_drawn_of_the_label_that_is_asked_for():
    labels = torch.tensor([2, 0, 2, 1, 0])
    pixels = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 4, 4)
    made = DrawnFakes(Images(pixels, labels), Classification(["a", "b", "c", "d"]))
    wanted = torch.tensor([0, 1, 2] * 50)
    torch.manual_seed(0)
    rows = to_uint8(made(wanted))[:, 0, 0, 0].long()
    assert torch.equal(labels[rows], wanted)
    assert set(rows.tolist()) == set(range(5)), "each has its turn"
    real = Images(pixels[:4], torch.tensor([0, 3, 3, 1]))
    assert made.of_known(real).labels.tolist() == [0, 1], "none is drawn of d"


def test_a_fake_of_a_continuous_label_is_one_of_the_nearest():
    labels = torch.linspace(0, 1, 201)
    pixels = torch.arange(201, dtype=torch.uint8).view(201, 1, 1, 1).expand(201, 3, 2, 2)
    made = DrawnFakes(Images(pixels, labels), Regression(0, 1, ""))
    torch.manual_seed(0)
    for label in (0.0, 0.5, 1.0):
        rows = to_uint8(made(torch.full((400,), label)))[:, 0, 0, 0].long()
        assert len(set(rows.tolist())) == NEAR
        assert (labels[rows] - label).abs().max() < (NEAR if label % 1 == 0 else NEAR / 2 + 1) / 200


# Presets and plans


def test_only_drawn_images_spare_gan_and_ratio():
    refused("digits", "gan is missing: only generate.images", ["gan=none"])
    refused("digits", "dre is missing: only generate.images", ["dre=none"])
    assert asking("x", "gan=none", "dre=none").gan_if_any is None
    angle = ["generate.images=x", "data.size=8"]
    refused("digits-angle", "evaluate must be absent without dre", [*angle, "dre=none"])
    refused("digits-angle", "dre must be absent without gan.embedding", [*angle, "gan=none"])
    refused("digits", "label_by_teacher: only images", ["generate.label_by_teacher=true"])


def test_the_chain_has_the_stages_that_drawn_images_need():
    names = [stage.name for stage in chain_of(asking("x"))]
    assert names[:3] == ["train-teacher", "fit-dre", "generate"]
    assert "fit-dre" not in [stage.name for stage in chain_of(asking("x", "dre=none"))]
    written = preset.dump(asking("x", "gan=none", "dre=none"))
    assert "[gan]" not in written
    assert "[dre]" not in written


def test_a_pool_of_drawn_images_depends_on_them_and_not_on_what_a_gan_needs(finished_run, tmp_path):
    place = classes(tmp_path / "d", 2)
    images = f"generate.images={place}"
    known = digests("generate", job(finished_run, images))
    for change, same in (
        ("generate.burn_in=7", True),
        ("gan.steps=7", True),
        ("generate.per_label=7", False),
        ("generate.bound_quantile=0.5", False),
        ("dre=none", False),
        ("generate.label_by_teacher=true", False),
    ):
        assert (digests("generate", job(finished_run, images, change)) == known) == same, change
    selection = FakeSelection(rho=0.5)
    before = digest(job(finished_run, images), selection=selection)
    noise(place / "a" / "00.png", 99)
    assert digests("generate", job(finished_run, images)) != known
    assert digest(job(finished_run, images), selection=selection) == before, "by the pool's content"


def test_a_ratio_of_drawn_images_depends_on_the_teacher_where_it_labels_them(
    finished_run, tmp_path
):
    images = f"generate.images={classes(tmp_path / 'd', 2)}"
    by_teacher = "generate.label_by_teacher=true"
    made = {
        change: plan.dre(job(finished_run, images, *change)).inputs
        for change in ((), (by_teacher,))
    }
    assert all("train-gan" not in inputs for inputs in made.values())
    assert ["train-teacher" in inputs for inputs in made.values()] == [False, True]


def test_a_command_whose_table_is_absent_says_so(finished_run, tmp_path):
    asked = job(finished_run, f"generate.images={tmp_path}", "gan=none", "dre=none")
    for name, table in (("train-gan", "gan"), ("fit-dre", "dre")):
        with pytest.raises(UserError, match=rf"has no table \[{table}\]: its fakes are") as caught:
            plan.STAGES[name].plan(asked)
        assert caught.value.code == 2


def test_images_that_cannot_be_used_are_told_before_anything_is_trained(tmp_path):
    changes = [f"generate.images={classes(tmp_path / 'd', 1)}", "dre=none"]
    asked = Job(preset.load("digits", changes), RunFolder(tmp_path / "run"), device="cpu")
    for build in (pipeline.build_chain, lambda job: pipeline.check(None, job)):
        with pytest.raises(UserError, match="a is no class of the data, which has 0, 1, 2"):
            build(asked)
    assert not (tmp_path / "run" / "teacher").exists()


# Whole chains


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The handwritten digits of scikit-learn in a random order."""
    data, order = load_digits(), np.random.default_rng(0).permutation(1797)
    pixels = np.rint(data.images[order] / 16 * 255).astype(np.uint8)
    return np.repeat(pixels[:, None], 3, 1), data.target[order]


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Half of the digits as data, the other as fakes, of which a tenth has wrong labels; which
    these are.
    """
    root = tmp_path_factory.mktemp("halves")
    images, labels = digits()
    hdf5.write(root / "real.h5", {"images": images[:897], "labels": labels[:897]}, {})
    draws = np.random.default_rng(1)
    wrong = np.isin(np.arange(900), draws.permutation(900)[:90])
    given = (labels[897:] + wrong * draws.integers(1, 10, 900)) % 10
    hdf5.write(root / "fakes.h5", {"fake_images": images[897:], "fake_labels": given}, {})
    return root, labels[897:], wrong


def chain(root: Path, name: str, *changes: str) -> Job:
    base = [
        "data.source=h5", f"data.path={root / 'real.h5'}", "data.size=8", "data.num_train=400",
        "data.num_validation=200", "teacher.networks=['resnet8_x0_5']", "teacher.steps=300",
        "generate.teacher=resnet8_x0_5", "distill.methods=['nokd', 'nokd+fake']",
        "distill.pairs=[['resnet8_x0_5', 'resnet8_x0_25', 'resnet8_x0_125']]", "distill.steps=20",
        "distill.seeds=[0]", "rho.grid=[0.9]", "rho.seeds=[0]", "dre.features.network=resnet8_x0_5",
        "dre.features.size=32", "dre.features.steps=60", "dre.width=32", "dre.steps=60",
        f"generate.images={root / 'fakes.h5'}",
    ]  # fmt: skip
    return Job(preset.load("digits", [*base, *changes]), RunFolder(root / name), device="cpu")


@pytest.mark.slow
def test_the_filter_finds_the_wrong_labels_of_drawn_images_and_students_learn_from_the_rest(halves):
    root, truth, wrong = halves
    asked = chain(root, "plain", "dre=none", "gan=none")
    page = pipeline.build_chain(asked)
    pool = fakes.Pool(asked.run.pool)
    kept = pool.rows(FakeSelection(rho=0.9))
    dropped = np.setdiff1d(np.arange(900), kept)
    assert wrong[dropped].mean() > 0.9, "precision"
    assert wrong[dropped].sum() / wrong.sum() > 0.9, "recall"
    assert (pool.labels(FakeSelection(), kept) == truth[kept]).mean() > 0.97, "relabelled"
    (member,) = runs.read_json(asked.run.distill("nokd+fake"))["members"]
    assert (member["fakes"], member["rho"]) == (810, 0.9)
    record = runs.read_json(asked.run.pool)
    assert (record["num_images"], record["num_accepted"]) == (900, 900)
    assert not asked.run.gan.exists()
    assert "900 fakes, at most 300 per label, of 900 images" in page.read_text()
    assert report.read(asked.run.root).pool.images == str(root / "fakes.h5")


@pytest.mark.slow
def test_a_ratio_that_is_fitted_to_drawn_images_drops_those_that_look_unlike_real_ones(
    halves, tmp_path
):
    root, _, _ = halves
    images, labels = digits()
    spoilt = images[897:].copy()
    spoilt[::2] = 255 - spoilt[::2]  # white paper
    hdf5.write(tmp_path / "spoilt.h5", {"fake_images": spoilt, "fake_labels": labels[897:]}, {})
    learns = [
        "dre.network=mlp3", "dre.dropout=0.0", "dre.penalty=0.1", "dre.steps=300",
        "dre.output=softplus",
    ]  # fmt: skip
    asked = chain(root, "ratio", f"generate.images={tmp_path / 'spoilt.h5'}", *learns)
    for name in ("train-teacher", "fit-dre", "generate"):
        pipeline.build_stage(name, asked)
    pool = fakes.Pool(asked.run.pool)
    accepted = pool.columns["accepted"]
    assert accepted[1::2].mean() > 3 * accepted[::2].mean()
    assert pipeline.states(asked)["generate"] == "generate/pool.json: done"
    assert (asked.run.dre.parent / "condition.safetensors").is_file()


@pytest.mark.slow
def test_unlabelled_images_are_labelled_by_the_teacher(halves):
    root, truth, _ = halves
    asked = chain(root, "unlabelled", "dre=none", "generate.label_by_teacher=true")
    for name in ("train-teacher", "generate"):
        pipeline.build_stage(name, asked)
    columns = fakes.Pool(asked.run.pool).columns
    assert (columns["labels"] == truth).mean() > 0.9
    assert np.array_equal(columns["labels"], columns["relabels"])


@pytest.mark.slow
def test_drawn_images_of_a_continuous_label_are_judged_alike(tmp_path):
    given = preset.load("digits-angle", ["data.size=8"])
    source = sources.load(given.data, 0)
    rows = source.rows["train"]
    hdf5.write(
        tmp_path / "f.h5",
        {"fake_images": 255 - source.images[rows], "fake_labels": source.labels[rows]},
        {},
    )
    changes = [
        f"generate.images={tmp_path / 'f.h5'}", "data.size=8", "teacher.steps=60",
        "teacher.networks=['resnet8_x0_25']", "generate.teacher=resnet8_x0_25", "evaluate=none",
        "gan.embedding.network=resnet8_x0_125", "gan.embedding.size=16",
        "gan.embedding.images.steps=8", "gan.embedding.labels.steps=8", "dre.width=32",
        "dre.features.size=32", "dre.features.steps=12", "dre.features.width=4", "dre.steps=20",
        "distill.pairs=[['resnet8_x0_25', 'resnet8_x0_25', 'resnet8_x0_25']]", "dre.penalty=10.0",
        "dre.output=softplus",
    ]  # fmt: skip
    asked = Job(preset.load("digits-angle", changes), RunFolder(tmp_path / "run"), device="cpu")
    for name in ("train-teacher", "fit-dre", "generate"):
        pipeline.build_stage(name, asked)
    pool = fakes.Pool(asked.run.pool)
    assert np.allclose(pool.columns["labels"], pool.label.scaled(source.labels[rows]))
    assert 0 < pool.columns["accepted"].mean() < 1
