"""Networks of timm and torchvision as teachers: how they are made, and weights of local files."""

import json
import sys

import pytest
import timm
import torch
import torchvision
import toy
from refusals import refused
from safetensors.torch import save_file

from cgankd import pipeline, preset, runs
from cgankd.errors import UserError
from cgankd.job import ImportFile, Job
from cgankd.models import architectures, make_network, published
from cgankd.models.foreign import facts
from cgankd.models.saved import load_network, save_network
from cgankd.plan import artefacts
from cgankd.preset import TeacherSettings
from cgankd.runs import file_digest
from cgankd.task import Classification

TASK = Classification(["a", "b", "c"])
TIMM, VISION = "timm/resnet10t", "torchvision/squeezenet1_0"
SMALL = ["timm/test_resnet", "torchvision/shufflenet_v2_x0_5"]


def architecture(trunk: str, outputs: int = 3, **settings):
    table = TeacherSettings(networks=[trunk], steps=1, **{"input_size": 32, **settings})
    return architectures.teacher(trunk, table, 8, outputs, {"mean": [0.5] * 3, "std": [0.5] * 3})


def whole(trunk: str, outputs: int) -> torch.nn.Module:
    """The library's own network, classifier and all, with weights that no other call gives."""
    library, _, name = trunk.partition("/")
    torch.manual_seed(outputs)
    if library == "timm":
        return timm.create_model(name, num_classes=outputs).eval()
    return torchvision.models.get_model(name, num_classes=outputs).eval()


def file_of(tmp_path, trunk: str, outputs: int, name: str = "w.pth") -> ImportFile:
    path, state = tmp_path / name, whole(trunk, outputs).state_dict()
    if name.endswith("safetensors"):
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    return ImportFile(str(path), file_digest(path))


def test_networks_of_other_libraries_may_teach_and_nothing_else():
    names = ["teacher.networks=['timm/resnet10t']", "generate.teacher=timm/resnet10t"]
    pairs = "distill.pairs=[['timm/resnet10t', 'resnet8', 'resnet8']]"
    assert preset.load("digits", [*names, pairs]).generate.teacher == "timm/resnet10t"
    student = "distill.pairs=[['timm/resnet10t', 'resnet8', 'timm/resnet10t']]"
    refused("digits", "unknown network", [*names, student])
    for wrong in ("keras/resnet", "timm/../x", "timm/", "timm/a/b"):
        refused("digits", "unknown network; of other libraries", [f"teacher.networks=['{wrong}']"])


def test_a_network_sees_images_at_its_own_side_and_normalised_by_its_own_constants():
    for trunk, side in ((TIMM, 176), ("torchvision/resnet18", 224)):
        known = facts(trunk)
        assert (known.side, known.mean) == (side, [0.485, 0.456, 0.406])
        assert architecture(trunk, input_size=None)["resized"] == side
    network = make_network(architecture(SMALL[1])).eval()
    seen = []
    network.trunk.model.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network(torch.full((1, 3, 8, 8), 1.0))
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert seen[0].shape[2:] == (32, 32)
    assert torch.allclose(seen[0].mean((0, 2, 3)), white, atol=1e-5)


@pytest.mark.parametrize("trunk", SMALL)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_of_the_library_gives_the_same_outputs(tmp_path, trunk, name):
    imported = published.load(file_of(tmp_path, trunk, 3, name), architecture(trunk))
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    mean, std = (torch.tensor(facts(trunk).__dict__[key]).view(3, 1, 1) for key in ("mean", "std"))
    expected = whole(trunk, 3)(((images + 1) / 2 - mean) / std)
    assert torch.allclose(imported.network(images), expected, atol=1e-5)
    assert imported.origin["layout"] == trunk
    assert imported.network.features(images).shape == (4, imported.network.trunk.num_features)


@pytest.mark.parametrize("trunk", SMALL)
def test_weights_with_other_outputs_are_refused_but_may_be_tuned(tmp_path, trunk):
    file = file_of(tmp_path, trunk, 7)
    with pytest.raises(UserError, match=r"is \(7, \d+\), expected 3 outputs of") as caught:
        published.load(file, architecture(trunk))
    assert "teacher.tune = true" in caught.value.hint
    tuned = published.load(file, architecture(trunk), tune=True).network
    theirs = whole(trunk, 7).state_dict()
    own = tuned.trunk.model.state_dict()
    assert own
    assert all(torch.equal(value, theirs[key]) for key, value in own.items())
    assert tuned.head.out_features == 3


def test_weights_of_another_network_are_refused_by_the_first_tensor_that_differs(tmp_path):
    file = file_of(tmp_path, SMALL[1], 3)
    with pytest.raises(
        UserError, match=r"conv1\.0\.weight is \(24, 3, 3, 3\), expected \(16"
    ) as caught:
        published.load(file, architecture(SMALL[0]))
    assert "weights of this very network" in caught.value.hint


def test_networks_that_are_none_are_refused_with_the_nearest_name(monkeypatch):
    with pytest.raises(UserError, match="timm has no network resnet11t; did you mean"):
        facts("timm/resnet11t")
    with pytest.raises(UserError, match="torchvision has no network resnet19; did you mean"):
        facts("torchvision/resnet19")
    with pytest.raises(UserError, match="does not end in one linear layer"):
        make_network(architecture(VISION))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="need the package timm") as caught:
        facts(TIMM)
    assert "cgankd[timm]" in caught.value.hint


def test_a_network_of_one_side_is_made_for_that_which_it_sees():
    network = make_network(architecture("timm/test_vit", input_size=64)).eval()
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    with pytest.raises(UserError, match="sees images of one side only"):
        make_network(architecture("torchvision/maxvit_t", input_size=64))


def test_a_network_that_looks_at_its_values_can_be_estimated():
    with torch.device("meta"):
        network = make_network(architecture("torchvision/regnet_y_400mf"))
        assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    assert next(network.parameters()).is_meta


def test_a_teacher_survives_being_saved(tmp_path):
    described = architecture(SMALL[0], head=8)
    network = make_network(described).eval()
    save_network(tmp_path, "network", network, described)
    loaded = load_network(tmp_path, "network", torch.device("cpu"))
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(loaded(images), network(images))


# The stage


def job(root, *changes: str, network: str = SMALL[0], **overrides) -> Job:
    names = [
        f"teacher.networks=['{network}']", f"generate.teacher={network}", "teacher.input_size=32",
        f"distill.pairs=[['{network}', 'resnet8_x0_25', 'resnet8_x0_25']]",
    ]  # fmt: skip
    return toy.job("digits", root, *names, *changes).asking(**overrides)


@pytest.mark.slow
def test_a_teacher_of_another_library_is_trained_and_then_tuned(tmp_path):
    asked = job(tmp_path / "run", "teacher.steps=80", "teacher.learning_rate=0.05")
    pipeline.build_stage("train-teacher", asked)
    record = tmp_path / "run" / "teacher" / "timm-test_resnet" / "teacher.json"
    trained = runs.read_json(record)
    assert trained["validation"] < 60
    assert json.loads(record.with_name("network.json").read_text())["resized"] == 32
    file = file_of(tmp_path, SMALL[0], 1000)
    tune = ["teacher.tune=true", "teacher.steps=1", "teacher.learning_rate=1e-9"]
    tuned = job(tmp_path / "tuned", *tune, imports={SMALL[0]: file})
    with pytest.raises(UserError, match="no better than"):  # of one step that changes nothing
        pipeline.build_stage("train-teacher", tuned)
    again = job(tmp_path / "again", *tune[:1], "teacher.steps=80", imports={SMALL[0]: file})
    pipeline.build_stage("train-teacher", again)
    made = runs.read_json(again.run.teacher(SMALL[0]))
    assert made["origin"][SMALL[0]]["sha256"] == file.sha256
    assert made["seen"] == trained["seen"], "its rows are known, and rho may be chosen"


def test_only_what_a_teacher_uses_changes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(artefacts.inputs, "data", lambda job: {})
    file = ImportFile("w.pth", "0" * 64)
    imports = {"imports": {SMALL[0]: file}}

    def digest(*changes: str, network: str = SMALL[0], **overrides) -> str:
        return artefacts.teacher(network, job(tmp_path, *changes, **overrides)).digest

    size, steps, tune = "teacher.input_size=64", "teacher.steps=7", "teacher.tune=true"
    assert digest() != digest(size)
    assert digest() == digest(tune), "there is nothing to begin with"
    assert digest(**imports) == digest(steps, **imports) != digest(size, **imports)
    assert digest(tune, **imports) not in (digest(**imports), digest(tune, steps, **imports))
    own = {"network": "resnet8"}
    assert digest(**own) == digest(size, **own)
