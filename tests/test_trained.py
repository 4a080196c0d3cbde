"""A trained network to use: it knows its label and size, and says what its score was made of."""

import shutil

import numpy as np
import pytest
import torch

import cgankd
from cgankd import preset, runs, sources
from cgankd.runs import RunFolder


def of(root, split: str):
    """Images and labels of a split, as files write them."""
    settings = preset.load(RunFolder(root).preset)
    source = sources.load(settings.data, settings.seed)
    rows = source.rows[split]
    return source.images[rows], source.labels[rows]


@pytest.mark.slow
def test_predictions_are_those_that_the_score_was_computed_from(chain):
    kind, root = chain
    images, labels = of(root, "test")
    for member in runs.read_json(RunFolder(root).distill("nokd+fake"))["members"]:
        student = cgankd.load(root / "students" / member["student"])
        predicted = student.predict(images)
        if kind == "digits":
            assert predicted.dtype == np.int64
            assert 100 * np.mean(predicted != labels) == pytest.approx(member["test"], rel=1e-6)
        else:
            assert predicted.dtype == np.float64
            assert np.abs(predicted - labels).mean() == pytest.approx(member["test"], rel=1e-5)


@pytest.mark.slow
def test_a_network_knows_its_label_and_the_side_of_its_images(chain):
    kind, root = chain
    for folder in (next((root / "students").iterdir()), root / "teacher" / "resnet8_x0_25"):
        trained = cgankd.load(folder)
        assert trained.size == 16
        if kind == "digits":
            assert trained.label.classes == tuple("0123456789")
        else:
            label = trained.label
            assert (label.low, label.high, label.unit) == (0.0, 90.0, "degrees")


@pytest.mark.slow
def test_arrays_and_tensors_give_the_same_and_other_images_are_refused(chain):
    _, root = chain
    student = cgankd.load(next((root / "students").iterdir()) / "student.json")
    images = of(root, "validation")[0][:5]
    as_tensor = student.predict(torch.from_numpy(images))
    np.testing.assert_array_equal(student.predict(images), as_tensor)
    for wrong in (images.transpose(0, 2, 3, 1), images.astype(np.float32), images[:, :, :8, :8]):
        with pytest.raises(cgankd.UserError, match=r"expected uint8 \(N, 3, 16, 16\)"):
            student.predict(wrong)


@pytest.mark.slow
def test_what_is_no_trained_network_is_refused_by_name(chain, tmp_path):
    _, root = chain
    with pytest.raises(cgankd.UserError, match="no trained network"):
        cgankd.load(root / "gan")
    folder = shutil.copytree(next((root / "students").iterdir()), tmp_path / "student")
    weights = folder / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(cgankd.UserError, match="other content than recorded"):
        cgankd.load(folder)
