"""Trained networks on disk: they come back exact, and nothing that is no network comes back at
all.
"""

import os
import pickle

import pytest
import torch
from torch import nn

from cgankd import runs
from cgankd.errors import UserError
from cgankd.models import make_network
from cgankd.models.saved import load_network, num_parameters, save_network

CPU = torch.device("cpu")
CNN = {
    "name": "cnn",
    "trunk": "resnet8_x0_125",
    "side": 8,
    "outputs": 3,
    "mean": [0.1, 0.2, 0.3],
    "std": [0.4, 0.5, 0.6],
}
GENERATOR = {"name": "biggan", "size": 8, "latent": 4, "width": 1, "num_classes": 3}


def refused(folder, words: str, name: str = "network") -> UserError:
    with pytest.raises(UserError, match=words) as caught:
        load_network(folder, name, CPU)
    assert caught.value.code == 65
    return caught.value


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = make_network(CNN)
    network(torch.randn(16, 3, 8, 8))  # batch norm has statistics of its own
    files = save_network(tmp_path, "network", network, CNN)
    return tmp_path, network, files


def test_a_network_comes_back_exact_in_eval_mode_and_without_gradients(saved):
    folder, network, files = saved
    assert (
        {path.name for path in files}
        == {path.name for path in folder.iterdir()}
        == {"network.safetensors", "network.json"}
    )
    loaded, images = load_network(folder, "network", CPU), torch.randn(5, 3, 8, 8)
    assert torch.equal(loaded(images), network.eval()(images))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_spectral_norms_come_back_exact(tmp_path):
    torch.manual_seed(0)
    network = make_network(GENERATOR)
    z, classes = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    network(z, classes)
    save_network(tmp_path, "generator", network, GENERATOR)
    assert torch.equal(
        load_network(tmp_path, "generator", CPU)(z, classes), network.eval()(z, classes)
    )


def test_a_network_without_weights_is_saved_too(tmp_path):
    save_network(
        tmp_path,
        "condition",
        make_network({"name": "class-index", "num_classes": 3}),
        {"name": "class-index", "num_classes": 3},
    )
    assert load_network(tmp_path, "condition", CPU).num_classes == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    network = make_network(CNN)
    with torch.no_grad():
        network.head.bias[1] = value
    with pytest.raises(UserError, match=r"head\.bias is not finite") as caught:
        save_network(tmp_path, "network", network, CNN)
    assert caught.value.code == 70
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_with_the_name_of_weights_is_refused_and_not_run(saved):
    folder, network, _ = saved

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(folder / "payload ran"),)

    for data in (pickle.dumps(Payload()), pickle.dumps({"a": Payload()})):
        (folder / "network.safetensors").write_bytes(data)
        assert "safetensors" in refused(folder, "not the weights of cnn").hint
    torch.save(network.state_dict(), folder / "network.safetensors")
    refused(folder, "not the weights of cnn")
    assert not (folder / "payload ran").exists()


def test_weights_that_do_not_fit_are_refused(saved):
    folder, _, _ = saved
    runs.write_json(folder / "network.json", {**CNN, "outputs": 4})
    refused(folder, "not the weights of cnn")
    runs.write_json(folder / "network.json", GENERATOR)
    refused(folder, "not the weights of biggan")


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({**CNN, "name": "resnet"}, "unknown network 'resnet'"),
        ({}, "unknown network None"),
        ({**CNN, "trunk": "vgg"}, "not the weights of cnn"),
        ({**CNN, "extra": 1}, "not the weights of cnn"),
        ({**CNN, "mean": "grey"}, "not the weights of cnn"),
        ({**CNN, "outputs": 1 << 50}, "not the weights of cnn"),
    ],
)
def test_a_description_that_makes_no_network_is_refused(saved, description, words):
    folder, _, _ = saved
    runs.write_json(folder / "network.json", description)
    refused(folder, words)


def test_a_description_that_is_no_object_or_was_changed_is_refused(saved):
    folder, _, _ = saved
    file = folder / "network.json"
    whole = file.read_text()
    file.write_text("[]")
    refused(folder, "expected an object, found list")
    file.write_text(whole.replace("0.1", "0.2"))
    refused(folder, "changed since it was written")


@pytest.mark.parametrize(
    "description",
    [{**CNN, "name": ["cnn"]}, {**CNN, "trunk": 5}, {**GENERATOR, "size": 20}],
    ids=["name", "trunk", "size"],
)
def test_a_description_of_another_type_is_refused(saved, description):
    folder, _, _ = saved
    runs.write_json(folder / "network.json", description)
    refused(folder, "network")


def test_missing_and_damaged_files_are_named(saved):
    folder, _, (weights, description) = saved
    refused(folder, r"other\.json", name="other")
    weights.write_bytes(weights.read_bytes()[:-1])
    refused(folder, r"network\.safetensors")
    weights.unlink()
    refused(folder, r"network\.safetensors")
    description.write_bytes(b"{")
    refused(folder, r"network\.json: not readable as JSON")


def test_parameters_are_counted_without_buffers():
    assert num_parameters(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))) == 3 * 4 + 4 + 4 + 4
