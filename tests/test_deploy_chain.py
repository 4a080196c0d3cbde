"""What a run has trained, in use: every way to it gives the same answers."""

import json
import re
import sys

import numpy as np
import pytest
import torch

import cgankd
from cgankd import preset, report, runs, sources
from cgankd.deploy.loading import best_student
from cgankd.runs import RunFolder
from cgankd.sources.prepare import prepare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(chain):
    """The test images of a run."""
    settings = preset.load(RunFolder(chain[1]).preset)
    source = sources.load(settings.data, settings.seed)
    return source.images[source.rows["test"]]


@pytest.fixture
def prepared(chain, tmp_path):
    """The data of a run as a file of others."""
    settings = preset.load(RunFolder(chain[1]).preset)
    prepare(settings.data, settings.seed, tmp_path / "data.h5")
    return tmp_path / "data.h5"


def test_run_folder_student_folder_and_exported_files_answer_alike(chain, images, tmp_path):
    _, root = chain
    best = cgankd.load(root)
    expected = best.task.readout(best.outputs(images))
    others = [cgankd.load(best_student(root))]
    for suffix in (".safetensors", ".pt2", ".onnx"):
        facts = best.export(tmp_path / f"x{suffix}")
        assert facts["images"] == "200 validation images"
        assert facts["difference"] <= 1e-6
        others.append(cgankd.load(tmp_path / f"x{suffix}"))
    for other in others:
        given = other.task.readout(other.outputs(images))
        torch.testing.assert_close(given.float(), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(other.predict(images), best.predict(images), rtol=1e-5)
        assert (other.size, other.facts.label) == (best.size, best.facts.label)


def test_score_of_the_runs_own_test_images_is_the_runs_to_the_last_digit(
    chain, prepared, tmp_path, invoke
):
    _, root = chain
    members = runs.read_json(RunFolder(root).distill("nokd+fake"))["members"]
    for member in members:
        folder = root / "students" / member["student"]
        code, out, err = invoke("score", folder, prepared, "--json")
        found = json.loads(out)["result"]
        assert code == 0, err
        assert found["score"] == member["test"]
        assert [part["error"] for part in found["parts"]] == [
            part["error"] for part in member["parts"]
        ]
        assert found["images"] == 1557
        assert "trained on" not in err
    cgankd.load(folder).export(tmp_path / "x.pt2")
    again = json.loads(invoke("score", tmp_path / "x.pt2", prepared, "--json")[1])["result"]
    assert again == found


def test_images_that_the_network_was_trained_on_are_told(chain, tmp_path, invoke):
    _, root = chain
    settings = preset.load(RunFolder(root).preset)
    source = sources.load(settings.data, settings.seed)
    rows = np.concatenate([source.rows["train"][:15], source.rows["test"][:15]])
    arrays = {"images": source.images[rows], "labels": source.labels[rows]}
    if "classes" in source.label:
        arrays["labels"] = np.arange(30) % 10
    runs.hdf5.write(tmp_path / "all.h5", arrays, {})
    code, _, err = invoke("score", root, tmp_path / "all.h5")
    assert code == 0, err
    assert "15 of 30 images are among those it was trained on" in err


def test_the_student_to_ship_is_the_best_on_validation_rows(chain):
    _, root = chain
    ship = cgankd.Run(root, device="cpu").results()["ship"]
    records = report.read(root)
    assert ship["validation"] == min(member.validation for member in records.members)
    assert cgankd.load(root).place.parent == root / "students" / ship["student"]
    assert ship["path"] == str(root / "students" / ship["student"])


def test_every_scored_student_has_a_card_that_says_how_well_it_does(chain):
    _, root = chain
    records = report.read(root)
    assert records.members
    for member in records.members:
        text = (root / "students" / member.student / "README.md").read_text()
        assert f"{member.test:.3g}" in text
        assert f"seed {member.seed}" in text
        assert records.data.content in text
        assert "40 train, 200 validation, 1,557 test" in text
        assert "Over 2 seeds" in text
        assert len(re.findall(r"^\| .* \| 1\d\d \| |^\| .* \| 3\d\d \| ", text, re.M)) in (5, 10)
        assert ("rho = 0.5 kept" in text or "rho = 1 kept" in text) == ("fake" in member.row)


def test_eight_bits_are_calibrated_on_the_run_and_cost_what_is_said(chain, images, tmp_path):
    _, root = chain
    best = cgankd.load(root)
    facts = best.export(tmp_path / "x.onnx", int8=True)["int8"]
    small = cgankd.load(tmp_path / "x.onnx")
    home = cgankd.deploy.home.home_of(best)
    rows = home.images("validation")
    assert facts["rows"] == 200
    assert facts["fp32"] == best.task.score(best.outputs(rows.pixels), rows.labels)
    assert facts["int8"] == best.task.score(small.outputs(rows.pixels), rows.labels)
    given, expected = (one.task.readout(one.outputs(images)) for one in (small, best))
    error = (given - expected).abs().max() / best.task.readout_span
    assert 0 < error < 0.1
    assert "compute in 8 bits" in (tmp_path / "x.onnx.md").read_text()
    import onnx

    kinds = {node.op_type for node in onnx.load(tmp_path / "x.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_eight_bits_are_calibrated_on_training_images_and_accepted_fakes(chain):
    _, root = chain
    home = cgankd.deploy.home.home_of(cgankd.load(root))
    from cgankd import fakes

    pool = fakes.Pool(RunFolder(root).pool)
    accepted = pool.images(pool.candidates(fakes.FakeSelection()))
    known = {image.tobytes() for image in (*home.images("train").pixels.numpy(), *accepted)}
    pixels = home.calibration()
    assert len(pixels) == 40 + min(256, len(accepted))
    assert {image.tobytes() for image in pixels.numpy()} <= known
    assert torch.equal(pixels, home.calibration())


def test_a_teacher_is_used_and_exported_as_a_student_is(chain, tmp_path, images):
    _, root = chain
    teacher = cgankd.load(root / "teacher" / "resnet8_x0_25")
    teacher.export(tmp_path / "teacher.safetensors")
    again = cgankd.load(tmp_path / "teacher.safetensors")
    np.testing.assert_array_equal(again.predict(images), teacher.predict(images))


def test_the_run_knows_what_is_black_and_white_in_its_images_of_more_than_8_bits(copied):
    _, root = copied
    assert cgankd.load(root).facts.span is None
    run = RunFolder(root)
    runs.write_json(run.data, {**runs.read_json(run.data), "span": [0, 4095]})
    assert cgankd.load(root).facts.span == (0.0, 4095.0)


def test_a_run_without_scored_students_says_what_to_run(tmp_path, chain):
    _, root = chain
    runs.write_bytes(tmp_path / "preset.toml", (root / "preset.toml").read_bytes())
    runs.write_bytes(tmp_path / ".cgankd", b"")
    with pytest.raises(cgankd.UserError, match="no students have been scored") as caught:
        cgankd.load(tmp_path)
    assert "cgankd distill" in caught.value.hint


def test_the_five_lines_of_the_readme_need_no_cgankd(chain, tmp_path, images, monkeypatch):
    _, root = chain
    readme = (runs.files.Path(__file__).parent.parent / "README.md").read_text()
    (code,) = [part for part in readme.split("\n\n") if "onnxruntime.InferenceSession" in part]
    lines = [line.removeprefix("    ") for line in code.splitlines()]
    assert len(lines) == 5
    monkeypatch.chdir(tmp_path)
    best = cgankd.load(root)
    best.export("digits.onnx")
    space: dict[str, object] = {"images": images[:7]}
    for name in [name for name in sys.modules if name.partition(".")[0] == "cgankd"]:
        monkeypatch.setitem(sys.modules, name, None)
    exec("\n".join(lines), space)
    expected = best.task.readout(best.outputs(images[:7]))
    np.testing.assert_allclose(space["answers"], expected, rtol=1e-5, atol=1e-5)
    assert space["facts"]["size"] == 16
