"""Exported files: they answer as the network does, and what is no such file is refused by name,
with nothing run.
"""

import io
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from deployed import CLASSES, DEGREES, network, pixels
from safetensors.torch import load, save

import cgankd
from cgankd.deploy import description, export, pt2_file, safetensors_file
from cgankd.deploy.model import Deployed
from cgankd.runs import sealed

SMALL = [  # networks that are exported in a few seconds: label, trunk, side, width of the head
    (CLASSES, "resnet8_x0_125", 8, None),
    (DEGREES, "resnet8_x0_125", 8, 16),
    (CLASSES, "vgg11", 32, None),
    (DEGREES, "mobilenetv2", 16, None),
]


def refused(path: Path, words: str, code: int = 65) -> cgankd.UserError:
    with pytest.raises(cgankd.UserError, match=words) as caught:
        cgankd.load(path)
    assert caught.value.code == code
    assert str(path) in str(caught.value)
    return caught.value


@pytest.fixture
def safetensors(tmp_path) -> Path:
    path = tmp_path / "network.safetensors"
    network().export(path)
    return path


@pytest.fixture(scope="module")
def pt2(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "network.pt2"
    network().export(path)
    return path


@pytest.fixture(scope="module")
def onnx(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    network().export(path)
    return path


def test_what_is_deployed_gives_probabilities_or_values_in_their_unit():
    classes, degrees = network(), network(DEGREES)
    given = Deployed(classes)(pixels())
    torch.testing.assert_close(given, classes.outputs(pixels()).softmax(1))
    torch.testing.assert_close(
        Deployed(degrees)(pixels()), 10 + 80 * degrees.outputs(pixels()).squeeze(1)
    )


# .safetensors


@pytest.mark.parametrize("label", [CLASSES, DEGREES])
def test_safetensors_come_back_with_the_same_answers_label_and_side(tmp_path, label):
    before = network(label, head=8)
    facts = before.export(tmp_path / "x.safetensors")
    after = cgankd.load(tmp_path / "x.safetensors")
    assert facts["difference"] == 0
    assert torch.equal(after.outputs(pixels()), before.outputs(pixels()))
    np.testing.assert_array_equal(after.predict(pixels()), before.predict(pixels()))
    assert (after.facts.label, after.size) == (label, 8)
    assert after.export(tmp_path / "y.safetensors")["bytes"] == facts["bytes"]
    card = (tmp_path / "x.safetensors.md").read_text()
    assert "cgankd.load('x.safetensors')" in card
    assert ("ant, bee, cat" if label is CLASSES else "from 10 to 90 degrees") in card


def rewritten(path: Path, change) -> Path:
    """The file with another description, as someone would write it who can seal."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    told = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["cgankd"])
    change(told)
    path.write_bytes(save(load(data), {"cgankd": json.dumps(sealed(told))}))
    return path


def test_a_file_that_was_changed_cut_or_made_by_others_is_refused(safetensors):
    data = safetensors.read_bytes()
    safetensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused(safetensors, "its content was changed since it was written")
    safetensors.write_bytes(data.replace(b"ant", b"cow"))
    refused(safetensors, "its description was changed")
    safetensors.write_bytes(data[:-10])
    refused(safetensors, "not readable as safetensors")
    safetensors.write_bytes(b"")
    refused(safetensors, "not readable as safetensors")
    safetensors.write_bytes(save(load(data)))
    refused(safetensors, "does not say what it is")
    with pytest.raises(cgankd.UserError, match="not found"):
        cgankd.load(safetensors.with_name("none.onnx"))
    refused(Path(__file__), "no trained network")


def test_a_file_of_another_version_is_told_apart_from_a_damaged_one(safetensors):
    error = refused(rewritten(safetensors, lambda told: told.update(format=2)), "in format 2")
    assert "export it again" in error.hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 10**9}, "not that of a network"),
        ({"label": {"kind": "class"}}, "not that of a network"),
        ({"label": {"kind": "grade", "grades": []}}, "not that of a network"),
        ({"label": {"kind": "class", "classes": [1, 2, 3]}}, "not that of a network"),
        ({"label": {"kind": "class", "classes": ["a", "b"]}}, "not that of a network"),
        ({"architecture": []}, "not that of a network"),
        ({"architecture": {"name": "none", "outputs": 3}}, "cannot be made"),
        ({"architecture": {"name": "cnn", "trunk": "os.system", "outputs": 3}}, "cannot be made"),
    ],
)
def test_a_description_of_something_else_is_refused(safetensors, change, words):
    refused(rewritten(safetensors, lambda told: told.update(change)), words)


def test_an_architecture_that_asks_for_more_memory_than_there_is_takes_none(safetensors):
    rewritten(safetensors, lambda told: told["architecture"].update(head=10**7))  # 400 terabytes
    refused(safetensors, "its tensors are not those of its network")


# .pt2


@pytest.mark.slow
def test_a_pt2_answers_as_the_network_in_torch_alone_and_here(pt2):
    expected = torch.softmax(network().outputs(pixels()), 1)
    told = {"cgankd.json": ""}
    program = torch.export.load(pt2, extra_files=told).module()
    for num in (1, 2, 5):
        torch.testing.assert_close(program(pixels()[:num]), expected[:num], rtol=0, atol=1e-6)
    assert json.loads(told["cgankd.json"])["classes"] == ["ant", "bee", "cat"]
    assert torch.equal(cgankd.load(pt2).outputs(pixels()), network().outputs(pixels()))
    assert str(Path(__file__).parent.parent).encode() not in pt2.read_bytes()


def repacked(path: Path, to: Path, changes: dict[str, bytes], *, seal: bool) -> Path:
    """The archive with other entries, and if asked with a description that fits them."""
    with zipfile.ZipFile(path) as archive:
        held = {info.filename: archive.read(info) for info in archive.infolist()}
    (root,) = {name.partition("/")[0] for name in held}
    held |= {f"{root}/{name}": data for name, data in changes.items()}
    if seal:
        inner = {name.partition("/")[2]: data for name, data in held.items()}
        told = json.loads(inner["extra/cgankd.json"])
        told["payload"] = pt2_file._payload(inner)
        held[f"{root}/extra/cgankd.json"] = json.dumps(sealed(told)).encode()
    with zipfile.ZipFile(to, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return to


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.slow
def test_nothing_in_a_pt2_runs_when_it_is_loaded(pt2, tmp_path):
    mark = tmp_path / "ran"
    buffer = io.BytesIO()
    torch.save(Bomb(mark), buffer)
    # Torch's own loader would run both of these.
    program = json.loads(zipfile.ZipFile(pt2).read(_entry(pt2, "models/model.json")))
    program["graph_module"]["graph"]["sym_int_values"] = {
        "s77": {"as_expr": {"expr_str": f"__import__('pathlib').Path({str(mark)!r}).touch()"}}
    }
    changes = {
        "data/sample_inputs/model.pt": buffer.getvalue(),
        "models/model.json": json.dumps(program).encode(),
        "data/constants/custom_obj_0": pickle.dumps(Bomb(mark)),
    }
    hostile = repacked(pt2, tmp_path / "hostile.pt2", changes, seal=True)
    assert torch.equal(cgankd.load(hostile).outputs(pixels()), network().outputs(pixels()))
    assert not mark.exists()

    config = json.loads(zipfile.ZipFile(pt2).read(_entry(pt2, pt2_file.CONFIG)))
    for held in config["config"].values():
        held["use_pickle"] = True
    changes = {pt2_file.CONFIG: json.dumps(config).encode()}
    changes |= {f"data/weights/weight_{place}": buffer.getvalue() for place in range(30)}
    hostile = repacked(pt2, tmp_path / "weights.pt2", changes, seal=True)
    refused(hostile, "not stored as plain numbers")
    assert not mark.exists()


def _entry(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as archive:
        return next(one for one in archive.namelist() if one.endswith(name))


@pytest.mark.slow
def test_a_pt2_that_was_changed_cut_or_made_by_others_is_refused(pt2, tmp_path):
    data, path = pt2.read_bytes(), tmp_path / "x.pt2"
    path.write_bytes(data[: len(data) // 2])
    refused(path, "not readable as an archive of torch")
    for name in ("models/model.json", "data/weights/weight_0", "extra/more"):
        refused(repacked(pt2, path, {name: b"other"}, seal=False), "its content was changed")
    refused(repacked(pt2, path, {"data/weights/weight_0": b"other"}, seal=True), "has 5 bytes")
    refused(repacked(pt2, path, {"extra/cgankd.json": b""}, seal=False), "does not say what it is")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/bomb", b"\0" * 10**6)
    refused(path, "it is compressed")


# .onnx


@pytest.mark.slow
def test_an_onnx_answers_as_the_network_whatever_the_size_of_the_batch(onnx):
    import onnxruntime

    expected = torch.softmax(network().outputs(pixels()), 1).numpy()
    session = onnxruntime.InferenceSession(onnx)
    for num in (1, 2, 5):
        (given,) = session.run(["probabilities"], {"images": pixels()[:num].numpy()})
        np.testing.assert_allclose(given, expected[:num], rtol=0, atol=1e-6)
    loaded = cgankd.load(onnx)
    np.testing.assert_array_equal(loaded.predict(pixels()), network().predict(pixels()))
    assert loaded.network is None
    with pytest.raises(cgankd.UserError, match="no network to export"):
        loaded.export("again.pt2")
    told = json.loads(session.get_modelmeta().custom_metadata_map["cgankd"])
    assert (told["classes"], told["size"], told["precision"]) == (["ant", "bee", "cat"], 8, "fp32")
    assert str(Path(__file__).parent.parent).encode() not in onnx.read_bytes()


def regraphed(path: Path, to: Path, change) -> Path:
    """The file with another graph, sealed as if it were ours."""
    import onnx as library

    whole = library.load(path)
    told = json.loads(next(one.value for one in whole.metadata_props if one.key == "cgankd"))
    del whole.metadata_props[:]
    change(whole)
    graph = whole.SerializeToString()
    told["payload"] = {"graph": description.sha256(graph)}
    tail = library.ModelProto()
    tail.metadata_props.add(key="cgankd", value=json.dumps(sealed(told)))
    to.write_bytes(graph + tail.SerializeToString())
    return to


@pytest.mark.slow
def test_an_onnx_that_names_other_files_code_or_loops_is_refused(onnx, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(10**6))

    def external(whole) -> None:
        tensor = max(whole.graph.initializer, key=lambda one: len(one.raw_data))
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        tensor.external_data.add(key="location", value=str(secret))

    def looping(whole) -> None:
        whole.graph.node[0].op_type = "Loop"

    def foreign(whole) -> None:
        whole.graph.node[0].domain = "com.example"

    path = tmp_path / "hostile.onnx"
    refused(regraphed(onnx, path, external), "a tensor in another file")
    refused(regraphed(onnx, path, looping), "the operator Loop")
    refused(regraphed(onnx, path, foreign), "the operator com.example")

    def other_side(whole) -> None:
        whole.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9

    refused(regraphed(onnx, path, other_side), "its graph does not run")


@pytest.mark.slow
def test_an_onnx_that_was_changed_cut_or_made_by_others_is_refused(onnx, tmp_path):
    import onnx as library

    data, path = onnx.read_bytes(), tmp_path / "x.onnx"
    path.write_bytes(data[:2000])
    refused(path, "not readable as ONNX|does not say what it is")
    path.write_bytes(data.replace(b"bee", b"cow"))
    refused(path, "its description was changed")
    path.write_bytes(data + library.ModelProto(producer_name="other").SerializeToString())
    refused(path, "its content was changed")
    middle = data.index(library.load(onnx).graph.initializer[0].raw_data[:16])
    path.write_bytes(data[:middle] + b"\1" + data[middle + 1 :])
    refused(path, "its content was changed")


def test_without_the_extra_an_onnx_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(cgankd.UserError, match="needs the package onnx") as caught:
        network().export(tmp_path / "x.onnx")
    assert caught.value.code == 69
    assert "cgankd[onnx]" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


# The gate


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize(("label", "trunk", "side", "head"), SMALL)
def test_networks_of_every_kind_pass_the_gate(tmp_path, suffix, label, trunk, side, head):
    before = network(label, trunk, side, head)
    facts = before.export(tmp_path / f"x{suffix}")
    assert facts["difference"] <= 1e-5
    given = cgankd.load(tmp_path / f"x{suffix}").outputs(pixels(3, side))
    expected = before.task.readout(before.outputs(pixels(3, side)))
    torch.testing.assert_close(
        before.task.readout(given).double(), expected.double(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("label", [CLASSES, DEGREES])
def test_a_file_that_would_answer_otherwise_is_not_written(tmp_path, label, monkeypatch):
    other = network(label)
    other.network.head.bias[0] += 0.01
    monkeypatch.setattr(
        safetensors_file, "write", lambda model, write=safetensors_file.write: write(other)
    )
    with pytest.raises(cgankd.UserError, match=r"not written, its answers differ") as caught:
        network(label).export(tmp_path / "x.safetensors")
    assert caught.value.code == 70
    assert list(tmp_path.iterdir()) == []


def test_a_gate_that_meets_no_numbers_is_shut(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "LARGEST", float("inf"))
    broken = network()
    broken.network.head.bias[0] = float("nan")
    with pytest.raises(cgankd.UserError, match="differ by up to nan") as caught:
        broken.export(tmp_path / "x.safetensors")
    assert caught.value.code == 70


def test_what_cannot_be_exported_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_images", None)
    given, taken = network(), tmp_path / "taken.pt2"
    taken.write_text("mine")
    for path, options, code, words in (
        ("x.tflite", {}, 2, "the format is told by the ending"),
        ("x.pt2", {"int8": True}, 2, "only .onnx files hold 8 bits"),
        ("x.onnx", {"int8": True}, 65, "the images of its run are needed"),
        ("taken.pt2", {}, 73, "exists"),
    ):
        with pytest.raises(cgankd.UserError, match=words) as caught:
            given.export(tmp_path / path, **options)
        assert caught.value.code == code
    assert taken.read_text() == "mine"
