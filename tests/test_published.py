"""Published weights: files named as the original code names its tensors become networks, and all
else is refused.
"""

import os
import pickle
import zipfile

import pytest
import torch
from published_files import (
    LAYER,
    MAIN,
    REGRESSORS,
    RESNET18,
    RESNET50,
    cnn,
    densenet,
    images,
    load,
    made,
    mobilenet,
    refused,
    regressor_names,
    renamed,
    resnet,
    shufflenet,
    vgg,
)
from torch import Tensor
from torch.nn.functional import relu

from cgankd.errors import UserError
from cgankd.models import architectures, published
from cgankd.preset import Embedding
from cgankd.runs import file_digest

NAMED = {
    "vgg11": (cnn("vgg11"), vgg("64 M 128 M 256 256 M 512 512 M 512 512 M")),
    "mobilenetv2": (cnn("mobilenetv2"), mobilenet(8)),
    "mobilenetv2-64": (cnn("mobilenetv2", 64), mobilenet(64)),
    "shufflenetv2": (cnn("shufflenetv2"), shufflenet()),
    "resnet18-64": (cnn("resnet18", 64), resnet(RESNET18, *MAIN, side=64)),
    "resnet50-sskd": (cnn("resnet50"), resnet(RESNET50, *LAYER, bottleneck=True)),
    "densenet121": (cnn("densenet121"), densenet("linear")),
    "densenet121-extract": (
        {**cnn("densenet121"), "name": "cnn-features", "size": 12},
        densenet("classifier_1.0", "classifier_1.1", "classifier_2.0"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", NAMED)
def test_a_file_in_published_names_is_the_network(tmp_path, without_initial_values, case):
    architecture, names = NAMED[case]
    network = made(architecture)
    state = {f"module.{key}": tensor for key, tensor in renamed(network, names).items()}
    loaded, origin = load(
        tmp_path, {"net_state_dict" if "sskd" not in case else "state_dict": state}, architecture
    )
    x = images(architecture["side"])
    torch.testing.assert_close(loaded(x), network(x), rtol=0, atol=0)
    assert network(x).std(0).mean() > 1e-3, "the outputs tell images apart"
    assert not loaded.training
    assert origin["file"] == "weights.pth"


@pytest.mark.slow
@pytest.mark.parametrize("trunk", REGRESSORS)
def test_each_tensor_of_a_published_regressor_has_its_place(
    tmp_path, without_initial_values, trunk
):
    architecture = architectures.published_regressor(trunk, REGRESSORS[trunk][0])
    network = made(architecture)
    content = {"net_state_dict": renamed(network, regressor_names(trunk))}
    loaded, _ = load(tmp_path, content, architecture)
    found, expected = loaded.state_dict(), network.state_dict()
    assert found.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(found[key], expected[key])] == []


@pytest.mark.slow
def test_a_published_regressor_sees_images_unchanged_and_ends_rectified(
    tmp_path, without_initial_values
):
    architecture = architectures.published_regressor("mobilenetv2-imagenet", 16)
    network, x = made(architecture), images(16, 8)
    state = renamed(network, regressor_names("mobilenetv2-imagenet"))
    loaded, _ = load(
        tmp_path,
        {"net_state_dict": {f"module.{key}": value for key, value in state.items()}},
        architecture,
    )
    linear = network.head[:-1](network.trunk(x))
    assert linear.std(0).mean() > 1e-3, "the outputs tell images apart"
    for shift in (-1, 1):
        loaded.head[-2].bias.copy_(network.head[-2].bias - linear.mean() + shift * linear.std())
        torch.testing.assert_close(loaded(x), relu(linear - linear.mean() + shift * linear.std()))
    error = refused(tmp_path, state, cnn("mobilenetv2", 16), "is no tensor of MobileNetV2")
    assert error.hint == "it fits mobilenetv2-imagenet for images of side 16 and a continuous label"


@pytest.mark.slow
def test_the_published_image_embedding_reads_labels_back_rectified(
    tmp_path, without_initial_values
):
    settings = Embedding(network="resnet18", size=16, images={"steps": 1}, labels={"steps": 1})
    architecture = architectures.published_embedding(settings, 8)
    network, stages = made(architecture), ("main.3", "main.4", "main.5", "main.6")
    parts = ["x2h_res.0", "x2h_res.1", "x2h_res.3", "x2h_res.4", "h2y.0"]
    names = resnet(RESNET18, ("main.0", "main.1"), stages, "")[:-1]
    loaded, _ = load(tmp_path, {"net_state_dict": renamed(network, [*names, *parts])}, architecture)
    x = images(8, 6)
    assert torch.equal(loaded(x), network(x))
    assert loaded(x).std(0).mean() > 1e-3
    h = torch.randn(9, 16)
    torch.testing.assert_close(
        loaded.label(h), relu(h @ network.label[0].weight.T + network.label[0].bias)
    )


# What is refused


@pytest.fixture
def mobile(without_initial_values) -> dict[str, Tensor]:
    return renamed(made(cnn("mobilenetv2")), mobilenet(8))


def test_another_number_of_classes_is_refused_with_both_shapes(tmp_path, mobile):
    architecture = cnn("mobilenetv2", outputs=10)
    refused(
        tmp_path,
        mobile,
        architecture,
        r"linear\.weight is \(3, 1280\), expected \(10, 1280\) for our head\.weight",
    )


def test_a_missing_tensor_or_one_too_many_is_named(tmp_path, mobile):
    architecture = cnn("mobilenetv2")
    bias = mobile.pop("linear.bias")
    refused(
        tmp_path,
        mobile,
        architecture,
        r"missing beside linear\.weight, expected \(3,\) for our head\.bias",
    )
    refused(
        tmp_path,
        {**mobile, "linear.bias": bias, "linear.scale": bias},
        architecture,
        r"linear\.scale is \(3,\)",
    )
    del mobile["linear.weight"]
    refused(
        tmp_path,
        mobile,
        architecture,
        r"missing at its end, expected \(3, 1280\) for our head\.weight",
    )


def test_a_missing_layer_is_refused_where_it_should_stand(tmp_path, mobile):
    del mobile["layers.3.conv2.weight"]
    error = refused(
        tmp_path,
        mobile,
        cnn("mobilenetv2"),
        r"layers\.3\.bn2\.\w+ is \(144,\), expected \(144, 1, 3, 3\)",
    )
    assert "MobileNetV2" in str(error)


def test_weights_that_are_not_finite_are_refused(tmp_path, mobile):
    mobile["conv2.weight"][0, 0] = torch.inf
    refused(tmp_path, mobile, cnn("mobilenetv2"), r"conv2\.weight is not finite")


def test_weights_of_another_network_are_refused(tmp_path, mobile):
    refused(tmp_path, mobile, cnn("vgg11"), "is no tensor of VGG")
    refused(
        tmp_path,
        mobile,
        cnn("resnet8"),
        "no published weights are known for the network cnn resnet8",
    )


@pytest.mark.slow
def test_the_network_that_a_refused_file_fits_is_named(tmp_path, without_initial_values, mobile):
    error = refused(tmp_path, mobile, cnn("vgg11"), "is no tensor of VGG")
    assert error.hint == "it fits mobilenetv2 for images of side 8 and 3 classes"
    deeper = renamed(made(cnn("vgg13")), vgg("64 64 M 128 128 M 256 256 M 512 512 M 512 512 M"))
    shapes = r"features\.3\.weight is \(64, 64, 3, 3\), expected \(128, 64, 3, 3\)"
    assert "it fits vgg13" in refused(tmp_path, deeper, cnn("vgg11"), shapes).hint
    larger = renamed(made(cnn("resnet18", 64)), resnet(RESNET18, *MAIN, side=64))
    for architecture in (cnn("resnet18", 32), cnn("resnet18", 64, outputs=9)):
        error = refused(tmp_path, larger, architecture, "expected")
        assert error.hint == "it fits resnet18 for images of side 64 and 3 classes"
    norm = {"output_layer.0.gain": torch.ones(3)}
    assert (
        refused(tmp_path, norm, cnn("vgg11"), "is no tensor of VGG").hint
        == "its names are those of BigGAN"
    )


@pytest.mark.slow
def test_what_surrounds_a_resnet_tells_which_forward_pass_it_had(tmp_path, without_initial_values):
    state = renamed(made(cnn("resnet18")), resnet(RESNET18, *LAYER))
    assert (
        load(tmp_path, {"model_state_dict": state}, cnn("resnet18-uda"))[1]["layout"]
        == "ResNet of Distiller"
    )
    assert load(tmp_path, {"state_dict": state}, cnn("resnet18"))[1]["layout"] == "ResNet of SSKD"
    error = refused(
        tmp_path,
        {"model_state_dict": state},
        cnn("resnet18"),
        "ResNet of Distiller, whose forward pass",
    )
    assert "-uda" in error.hint
    refused(
        tmp_path, {"state_dict": state}, cnn("resnet18-uda"), "ResNet of SSKD, whose forward pass"
    )


class Hostile:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_file_is_refused_and_does_not_run(tmp_path):
    harm = tmp_path / "harm"
    refused(
        tmp_path,
        {"state_dict": {"a": Hostile(harm)}},
        cnn("vgg11"),
        "not readable as tensors and nothing else",
    )
    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(Hostile(harm)))
    with pytest.raises(UserError, match="not readable as tensors"):
        published.read(file, file_digest(file))
    assert not harm.exists()


def test_a_refusal_does_not_advise_to_load_the_file_all_the_same(tmp_path):
    error = refused(tmp_path, {"a": Hostile(tmp_path / "harm")}, cnn("vgg11"), "UnpicklingError")
    assert "False" not in str(error) + error.hint


def test_a_damaged_or_strange_file_is_refused(tmp_path, mobile):
    file = tmp_path / "weights.pth"
    torch.save(mobile, file)
    whole = file.read_bytes()
    with zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data.pkl", bytes(1 << 20))
    for data in (
        whole[: len(whole) // 2],
        b"",
        b"not weights",
        (tmp_path / "packed.pth").read_bytes(),
    ):
        file.write_bytes(data)
        with pytest.raises(UserError, match=r"weights\.pth: not readable as tensors") as caught:
            published.read(file, file_digest(file))
        assert caught.value.code == 65
    refused(tmp_path, [1, 2], cnn("vgg11"), "expected tensors by name")
    refused(tmp_path, {"conv1.weight": 3}, cnn("vgg11"), r"conv1\.weight is int")
    file.write_bytes(whole)
    with pytest.raises(UserError, match="has changed"):
        published.read(file, "0" * 64)
