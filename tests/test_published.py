"""Published weights: files named as the original code names its tensors become networks that
compute the same.
"""

import itertools
import os
import pickle
import random
import zipfile

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import relu, silu

from cgankd.errors import UserError
from cgankd.job import ImportFile
from cgankd.models import architectures, make_network, published
from cgankd.preset import Embedding
from cgankd.runs import file_digest

CONSTANTS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
RATIO = {"name": "ratio", "layers": "mlp5", "width": 64, "features": 20, "embedding": 0, "num_classes": 4,
         "dropout": 0.5, "output": "relu"}  # fmt: skip


def cnn(trunk: str, side: int = 8, **changes) -> dict:
    return {"name": "cnn", "trunk": trunk, "side": side, "outputs": 3, **CONSTANTS, **changes}


def load(folder, content, architecture: dict):
    """The network of a file with that content, and its origin."""
    file = folder / "weights.pth"
    torch.save(content, file)
    imported = published.load(ImportFile(str(file), file_digest(file)), architecture)
    return imported.network, imported.origin


def refused(folder, content, architecture: dict, words: str) -> UserError:
    with pytest.raises(UserError, match=words) as caught:
        load(folder, content, architecture)
    assert caught.value.code == 65
    return caught.value


def images(side: int = 8, num: int = 2) -> Tensor:
    return torch.rand(num, 3, side, side) * 2 - 1


def normalised(x: Tensor) -> Tensor:
    return ((x + 1) / 2 - torch.tensor(CONSTANTS["mean"])[:, None, None]) / torch.tensor(
        CONSTANTS["std"]
    )[:, None, None]


def made(architecture: dict):
    """A network of which every tensor has values of its own, norms' gains and statistics too."""
    torch.manual_seed(0)
    network = make_network(architecture)
    for key, value in network.state_dict().items():
        if value.ndim > 1 and not key.startswith("normalise."):
            size = (6 / value[0].numel()) ** 0.5
            value.uniform_(-size, size)
        elif value.is_floating_point() and not key.startswith("normalise."):
            value.uniform_(0.5, 1.5) if key.endswith(("var", "weight")) else value.normal_(std=0.1)
    return network.eval().requires_grad_(False)


# The names of each published network, in the order of its forward pass


def vgg(plan: str) -> list[str]:
    names, index = [], 0
    for entry in plan.split():
        names += [] if entry == "M" else [f"features.{index}", f"features.{index + 1}"]
        index += 1 if entry == "M" else 3
    return [*names, "classifier"]


def resnet(blocks, stem, stages, head, *, bottleneck=False, side=8) -> list[str]:
    names = [*stem]
    for stage, (name, num_blocks) in enumerate(zip(stages, blocks, strict=True)):
        for index in range(num_blocks):
            names += [
                f"{name}.{index}.{kind}{n}"
                for n in range(1, 4 if bottleneck else 3)
                for kind in ("conv", "bn")
            ]
            if index == 0 and (stage or bottleneck or side >= 64):
                names += [f"{name}.0.shortcut.0", f"{name}.0.shortcut.1"]
    return [*names, head]


MAIN = (("main.0", "main.1"), ("main.3", "main.4", "main.5", "main.6"), "classifier")
LAYER = (("conv1", "bn1"), ("layer1", "layer2", "layer3", "layer4"), "linear")


def mobilenet(side: int) -> list[str]:
    names, index, inputs = ["conv1", "bn1"], 0, 32
    second = 2 if side >= 64 else 1
    for outputs, num_blocks, first in (
        (16, 1, 1), (24, 2, second), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)
    ):  # fmt: skip
        for stride in [first] + [1] * (num_blocks - 1):
            names += [f"layers.{index}.{kind}{n}" for n in (1, 2, 3) for kind in ("conv", "bn")]
            if stride == 1 and inputs != outputs:
                names += [f"layers.{index}.shortcut.0", f"layers.{index}.shortcut.1"]
            index, inputs = index + 1, outputs
    return [*names, "conv2", "bn2", "linear"]


def shufflenet() -> list[str]:
    units = [f"layer{stage}.{index}.{kind}{n}" for stage, num_units in ((1, 4), (2, 8), (3, 4))
             for index in range(num_units) for n in range(1, 4 if index else 6) for kind in ("conv", "bn")]  # fmt: skip
    return ["conv1", "bn1", *units, "conv2", "bn2", "linear"]


def densenet(*head: str) -> list[str]:
    names = ["conv1"]
    for stage, num_layers in enumerate((6, 12, 24, 16), 1):
        names += [f"dense{stage}.{index}.{layer}" for index in range(num_layers)
                  for layer in ("bn1", "conv1", "bn2", "conv2")]  # fmt: skip
        names += [f"trans{stage}.bn", f"trans{stage}.conv"] if stage < 4 else ["bn"]
    return [*names, *head]


def imagenet_shufflenet() -> list[str]:
    names = ["conv1.0", "conv1.1"]
    for stage, num_units in ((2, 4), (3, 8), (4, 4)):
        for index in range(num_units):
            name = f"stage{stage}.{index}"
            names += [f"{name}.branch1.{part}" for part in range(4)] if index == 0 else []
            names += [f"{name}.branch2.{part}" for part in (0, 1, 3, 4, 5, 6)]
    return [*names, "conv5.0", "conv5.1"]


def imagenet_mobilenet() -> list[str]:
    names = [
        "features.0.0",
        "features.0.1",
        *(f"features.1.conv.{part}" for part in ("0.0", "0.1", "1", "2")),
    ]
    for index in range(2, 18):
        names += [
            f"features.{index}.conv.{part}" for part in ("0.0", "0.1", "1.0", "1.1", "2", "3")
        ]
    return [*names, "features.18.0", "features.18.1"]


def imagenet_efficientnet() -> list[str]:
    names = ["_conv_stem", "_bn0"]
    for index in range(16):
        parts = ["_expand_conv", "_bn0"] if index else []
        parts += ["_depthwise_conv", "_bn1", "_se_reduce", "_se_expand", "_project_conv", "_bn2"]
        names += [f"_blocks.{index}.{part}" for part in parts]
    return [*names, "_conv_head", "_bn1"]


RESNET18, RESNET50 = (2, 2, 2, 2), (3, 4, 6, 3)
BLOCKS = (("block1.0", "block1.1"), ("block1.3", "block2", "block3", "block4"))
REGRESSORS = {  # side, names of the trunk, name of the head and numbers of its modules
    "vgg11": (64, vgg("64 M 128 M 256 256 M 512 512 M 512 512 M")[:-1], "fc", (0, 1, 3, 4, 6)),
    "resnet18": (64, resnet(RESNET18, *BLOCKS, "", side=64)[:-1], "linear", (0, 1, 3, 4, 6)),
    "resnet50": (
        64,
        resnet(RESNET50, *BLOCKS, "", bottleneck=True, side=64)[:-1],
        "linear",
        (0, 1, 3, 4, 6),
    ),
    "densenet121": (16, densenet(), "linear", (0, 1, 3, 4, 6)),
    "shufflenetv2-imagenet": (32, imagenet_shufflenet(), "fc", (0, 1, 3, 4, 6)),
    "mobilenetv2-imagenet": (
        32,
        imagenet_mobilenet(),
        "classifier",
        (1, 2, 4, 5, 7),
    ),  # behind dropout
    "efficientnet-b0-imagenet": (32, imagenet_efficientnet(), "_fc", (0, 1, 3, 4, 6)),
}
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


def renaming(network, names: list[str]) -> dict[str, str]:
    """The published name of each tensor of a network by ours, given those of its modules."""
    ours = [key for key in network.state_dict() if not key.startswith("normalise.")]
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key in ours))
    theirs = dict(zip(modules, names, strict=True))
    return {key: f"{theirs[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}" for key in ours}


def renamed(network, names: list[str]) -> dict[str, Tensor]:
    """The tensors of a network under published names, in any order."""
    own, pairs = network.state_dict(), list(renaming(network, names).items())
    random.Random(0).shuffle(pairs)
    return {theirs: own[ours] for ours, theirs in pairs}


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


def regressor_names(trunk: str) -> list[str]:
    _, names, head, parts = REGRESSORS[trunk]
    return [*names, *(f"{head}.{part}" for part in parts)]


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


# Networks written down again, by published names


class Published:
    """Random tensors by published name, and the layers that read them in eval mode."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.state: dict[str, Tensor] = {}

    def tensor(self, name: str, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        return self.state.setdefault(name, torch.rand(shape) * (high - low) + low)

    def conv(
        self,
        name: str,
        x: Tensor,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        bias=False,
    ):
        inputs = x.shape[1] // groups
        size = 3 / (inputs * kernel**2) ** 0.5
        weight = self.tensor(
            f"{name}.weight", outputs, inputs, kernel, kernel, low=-size, high=size
        )
        offset = self.tensor(f"{name}.bias", outputs) if bias else None
        return F.conv2d(x, weight, offset, stride, kernel // 2, groups=groups)

    def norm(self, name: str, x: Tensor) -> Tensor:
        channels = x.shape[1]
        mean, var = (
            self.tensor(f"{name}.running_mean", channels),
            self.tensor(f"{name}.running_var", channels, low=0.5),
        )
        gain, bias = (
            self.tensor(f"{name}.weight", channels, low=0.5),
            self.tensor(f"{name}.bias", channels),
        )
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)
        return F.batch_norm(x, mean, var, gain, bias)

    def linear(self, name: str, x: Tensor, outputs: int) -> Tensor:
        size = 2 / x.shape[1] ** 0.5
        weight = self.tensor(f"{name}.weight", outputs, x.shape[1], low=-size, high=size)
        return F.linear(x, weight, self.tensor(f"{name}.bias", outputs))


def uda_resnet18(p: Published, x: Tensor) -> Tensor:
    x = relu(p.norm("bn1", p.conv("conv1", x, 64, 3)))
    for stage in (1, 2, 3, 4):
        for index in (0, 1):
            name, width, stride = (
                f"layer{stage}.{index}",
                32 << stage,
                2 if stage > 1 and index == 0 else 1,
            )
            h = relu(p.norm(f"{name}.bn1", p.conv(f"{name}.conv1", x, width, 3, stride)))
            h = p.norm(f"{name}.bn2", p.conv(f"{name}.conv2", h, width, 3))
            if x.shape != h.shape:
                x = p.norm(f"{name}.shortcut.1", p.conv(f"{name}.shortcut.0", x, width, 1, stride))
            x = h + x  # not rectified within a stage
        x = relu(x)
    return p.linear("linear", x.mean((2, 3)), 3)


def efficientnet(p: Published, x: Tensor) -> Tensor:
    x = silu(p.norm("bn1", p.conv("conv1", x, 32, 3)))
    index = 0
    for expansion, outputs, num_blocks, kernel, first in (
        (1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1), (6, 192, 4, 5, 2),
        (6, 320, 1, 3, 1),
    ):  # fmt: skip
        for stride in [first] + [1] * (num_blocks - 1):
            name, inputs = f"layers.{index}", x.shape[1]
            wide = inputs * expansion
            h = silu(
                p.norm(f"{name}.bn1", p.conv(f"{name}.conv1", x, wide))
            )  # the first block has it, unused
            h = x if expansion == 1 else h
            h = silu(p.norm(f"{name}.bn2", p.conv(f"{name}.conv2", h, wide, kernel, stride, wide)))
            gate = silu(
                p.conv(f"{name}.se.se1", h.mean((2, 3), keepdim=True), inputs // 4, bias=True)
            )
            h = h * p.conv(f"{name}.se.se2", gate, wide, bias=True).sigmoid()
            h = p.norm(f"{name}.bn3", p.conv(f"{name}.conv3", h, outputs))
            x = x + h if stride == 1 and inputs == outputs else h
            index += 1
    return p.linear("linear", x.mean((2, 3)), 3)


@pytest.mark.parametrize(
    ("trunk", "forward", "wrapper"),
    [
        ("resnet18-uda", uda_resnet18, "model_state_dict"),
        ("efficientnet-b0", efficientnet, "net_state_dict"),
    ],
)
def test_a_published_network_computes_the_same_here(tmp_path, trunk, forward, wrapper):
    p, x = Published(), images(16)
    expected = forward(p, normalised(x))
    state = {f"module.{key}": tensor for key, tensor in p.state.items()}
    loaded, _ = load(tmp_path, {wrapper: state, "epoch": 3}, cnn(trunk, 16))
    torch.testing.assert_close(loaded(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std(0).mean() > 1e-3, "the outputs tell images apart"


def ratio(p: Published, features: Tensor, embedded: Tensor) -> Tensor:
    x = torch.cat([embedded, features], 1)
    for index, width in enumerate((64, 32, 16, 8, 8)):
        x = p.linear(f"main.{4 * index}", x, width)
        gain, bias = (
            p.tensor(f"main.{4 * index + 1}.{name}", width) for name in ("weight", "bias")
        )
        x = relu(F.group_norm(x, max(1, min(8, width // 16)), gain, bias))
    return relu(p.linear("main.20", x, 1)).squeeze(1)


def test_the_published_ratio_reads_the_class_before_the_features(tmp_path):
    p, features, classes = Published(), torch.rand(30, 20), torch.arange(30) % 4
    embedded = p.tensor("label_emb.weight", 4, 4)[classes]
    ratio(p, features, embedded)
    p.state["main.20.bias"] += 1
    expected = ratio(p, features, embedded)
    assert expected.std() > 1e-3
    loaded, _ = load(tmp_path, {"net_state_dict": p.state}, RATIO)
    torch.testing.assert_close(loaded(features, classes), expected)
    refused(
        tmp_path, p.state, {**RATIO, "output": "softplus"}, "output = relu, the preset has softplus"
    )


def test_the_published_ratio_of_a_continuous_label_reads_h_before_the_features(tmp_path):
    p, features, h = Published(), torch.rand(30, 20), torch.rand(30, 8)
    ratio(p, features, h)
    p.state["main.20.bias"] += 1
    expected = ratio(p, features, h)
    assert expected.std() > 1e-3
    loaded, _ = load(
        tmp_path, {"net_state_dict": p.state}, {**RATIO, "embedding": 8, "num_classes": 0}
    )
    torch.testing.assert_close(loaded(features, h), expected)


def label_embedding(p: Published, labels: Tensor) -> Tensor:
    x = labels[:, None] + 1e-8
    for index in range(4):
        x = p.linear(f"main.{3 * index}", x, 128)
        gain, bias = (p.tensor(f"main.{3 * index + 1}.{name}", 128) for name in ("weight", "bias"))
        x = relu(F.group_norm(x, 8, gain, bias))
    return relu(p.linear("main.12", x, 128))


def sparse_encoder(p: Published, x: Tensor) -> Tensor:
    names = iter(range(0, 100, 3))
    for width in (2, 4, 8):
        for outputs, kernel, stride in ((width, 4, 2), (width, 3, 1)):
            x = halve_or_refine(p, next(names), x, outputs, kernel, stride)
    x = halve_or_refine(p, next(names), x, 16, 4, 2)
    return relu(p.conv(f"conv.{next(names)}", x, 3, 3, bias=True)).flatten(1)


def halve_or_refine(
    p: Published, name: int, x: Tensor, outputs: int, kernel: int, stride: int
) -> Tensor:
    weight = p.tensor(f"conv.{name}.weight", outputs, x.shape[1], kernel, kernel)
    x = F.conv2d(x, weight, p.tensor(f"conv.{name}.bias", outputs), stride, 1)
    return relu(p.norm(f"conv.{name + 1}", x))


@pytest.mark.parametrize(
    ("forward", "inputs", "wrapper", "architecture"),
    [
        (label_embedding, torch.linspace(0, 1, 9), "net_state_dict", {"name": "label-embedding", "size": 128}),
        (sparse_encoder, torch.linspace(-1, 1, 2 * 3 * 64 * 64).sin().view(2, 3, 64, 64), "encoder_net_state_dict",
         {"name": "sparse-encoder", "side": 64, "width": 2, "size": 48}),
    ],
)  # fmt: skip
def test_a_published_embedding_and_encoder_compute_the_same_here(
    tmp_path, forward, inputs, wrapper, architecture
):
    p = Published()
    expected = forward(p, inputs)
    loaded, _ = load(
        tmp_path,
        {wrapper: {f"module.{key}": value for key, value in p.state.items()}},
        architecture,
    )
    torch.testing.assert_close(loaded(inputs), expected, rtol=1e-4, atol=1e-4)
    assert expected.std(0).mean() > 1e-3
    assert expected.min() == 0


class Ccgan(Published):
    """The published generators of a continuous label: `normalised` spectrally or not."""

    normalised = False

    def conv(self, name: str, x: Tensor, outputs: int, kernel: int = 1) -> Tensor:
        return F.conv2d(x, self.weight(name, outputs, x.shape[1], kernel, kernel), self.state[f"{name}.bias"],
                        padding=kernel // 2)  # fmt: skip

    def linear(self, name: str, x: Tensor, outputs: int) -> Tensor:
        return F.linear(x, self.weight(name, outputs, x.shape[1]), self.state[f"{name}.bias"])

    def weight(self, name: str, *shape: int) -> Tensor:
        """A layer's weight, divided by u W v; the layer has a bias."""
        self.tensor(f"{name}.bias", shape[0])
        size = 3 / torch.Size(shape[1:]).numel() ** 0.5
        if not self.normalised:
            return self.tensor(f"{name}.weight", *shape, low=-size, high=size)
        weight = self.tensor(f"{name}.weight_orig", *shape, low=-size, high=size)
        matrix = weight.flatten(1)
        v = self.state.setdefault(
            f"{name}.weight_v", F.normalize(torch.rand(shape[0]) @ matrix, dim=0)
        )
        u = self.state.setdefault(f"{name}.weight_u", F.normalize(matrix @ v, dim=0))
        return weight / (u @ matrix @ v)

    def conditional_norm(self, name: str, x: Tensor, h: Tensor) -> Tensor:
        channels = x.shape[1]
        mean, var = (
            self.tensor(f"{name}.bn.running_{part}", channels, low=0.5) for part in ("mean", "var")
        )
        self.state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)
        gain, bias = (F.linear(h, self.tensor(f"{name}.embed_{part}.weight", channels, h.shape[1]))[:, :, None, None]
                      for part in ("gamma", "beta"))  # fmt: skip
        return F.batch_norm(x, mean, var) * (1 + gain) + bias

    def block(
        self, name: str, x: Tensor, h: Tensor, outputs: int, norm: str, convs: list[str]
    ) -> Tensor:
        y = F.interpolate(relu(self.conditional_norm(f"{name}.{norm}1", x, h)), scale_factor=2)
        y = self.conv(f"{name}.{convs[0]}", y, outputs, 3)
        y = self.conv(
            f"{name}.{convs[1]}", relu(self.conditional_norm(f"{name}.{norm}2", y, h)), outputs, 3
        )
        return y + self.conv(f"{name}.{convs[2]}", F.interpolate(x, scale_factor=2), outputs)


class Sngan(Ccgan):
    def __call__(self, z: Tensor, h: Tensor, widths: list[int]) -> Tensor:
        x = self.linear("dense", z, widths[0] * 16).view(len(z), -1, 4, 4)
        for index, outputs in enumerate(widths[1:]):
            name = f"genblock{index}"
            inputs = x.shape[1]
            x = self.block(name, x, h, outputs, "condbn", ["conv1", "conv2", "bypass_conv"])
            for alias, part in (
                ("model.3", "conv1"),
                ("model.6", "conv2"),
                ("bypass.1", "bypass_conv"),
            ):
                self.state |= {f"{name}.{alias}.{kind}": self.state[f"{name}.{part}.{kind}"]
                               for kind in ("weight", "bias")}  # fmt: skip
            for unused, channels in ((0, inputs), (4, outputs)):
                self.norm(f"{name}.model.{unused}", torch.zeros(1, channels, 1, 1))
        return self.conv("final.2", relu(self.norm("final.0", x)), 3, 3).tanh()


class Sagan(Ccgan):
    normalised = True

    def __call__(self, z: Tensor, h: Tensor, widths: list[int]) -> Tensor:
        x = self.linear("snlinear0", z, widths[0] * 16).view(len(z), -1, 4, 4)
        for index, outputs in enumerate(widths[1:], 1):
            x = self.attention("self_attn", x) if index == len(widths) - 1 else x
            x = self.block(
                f"block{index}", x, h, outputs, "cond_bn", ["snconv2d1", "snconv2d2", "snconv2d0"]
            )
        return self.conv("snconv2d1", relu(self.norm("bn", x)), 3, 3).tanh()

    def attention(self, name: str, x: Tensor) -> Tensor:
        channels = x.shape[1]
        theta = self.conv(f"{name}.snconv1x1_theta", x, channels // 8).flatten(2)
        phi = F.max_pool2d(self.conv(f"{name}.snconv1x1_phi", x, channels // 8), 2).flatten(2)
        g = F.max_pool2d(self.conv(f"{name}.snconv1x1_g", x, channels // 2), 2).flatten(2)
        attention = (theta.transpose(1, 2) @ phi).softmax(-1)
        seen = (g @ attention.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return x + self.tensor(f"{name}.sigma", 1, low=0.5) * self.conv(
            f"{name}.snconv1x1_attn", seen, channels
        )


@pytest.mark.parametrize(("name", "published_network"), [("sngan", Sngan), ("sagan", Sagan)])
def test_a_published_generator_of_a_continuous_label_draws_the_same_images_here(
    tmp_path, name, published_network
):
    p, z, h = published_network(), torch.randn(6, 5), torch.rand(6, 8)
    expected = p(z, h, [64, 32, 16, 8, 4])
    state = {f"module.{key}": value for key, value in p.state.items()}
    content = {"netG_state_dict": state, "netD_state_dict": {"module.score.weight": torch.ones(1)}}
    loaded, origin = load(
        tmp_path, content, {"name": name, "size": 64, "latent": 5, "width": 4, "embedding": 8}
    )
    torch.testing.assert_close(loaded(z, h), expected, rtol=1e-4, atol=1e-4)
    assert (expected[0] - expected[5]).abs().mean() > 0.01, "other z, other image"
    assert (loaded(z, h.flip(0)) - expected).abs().mean() > 1e-3, "other label, other image"
    assert origin["layout"] == name.upper()


class BigGan(Published):
    """The published generator, its weights divided by singular values from one power iteration at
    each evaluation.
    """

    def spectral(self, name: str, *shape: int, bias: int = 0) -> tuple[Tensor, Tensor | None]:
        weight, u = self.tensor(f"{name}.weight", *shape), self.tensor(f"{name}.u0", 1, shape[0])
        self.tensor(f"{name}.sv0", 1)
        matrix = weight.view(shape[0], -1)
        v = F.normalize(u @ matrix, eps=1e-12)
        u = F.normalize(v @ matrix.t(), eps=1e-12)
        return weight / (v @ matrix.t() @ u.t()).squeeze(), self.tensor(
            f"{name}.bias", bias
        ) if bias else None

    def sn_conv(self, name: str, x: Tensor, outputs: int, kernel: int, bias: bool = True) -> Tensor:
        weight, offset = self.spectral(
            name, outputs, x.shape[1], kernel, kernel, bias=outputs if bias else 0
        )
        return F.conv2d(x, weight, offset, padding=kernel // 2)

    def batch_norm(self, name: str, x: Tensor) -> Tensor:
        mean, var = (
            self.tensor(f"{name}.stored_mean", x.shape[1]),
            self.tensor(f"{name}.stored_var", x.shape[1], low=0.5),
        )
        return F.batch_norm(x, mean, var)

    def conditional_norm(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        def affine(part: str) -> Tensor:
            if condition.ndim == 1:
                return self.tensor(f"{name}.{part}.weight", 5, x.shape[1])[condition]
            return F.linear(
                condition, self.spectral(f"{name}.{part}", x.shape[1], condition.shape[1])[0]
            )

        gain, bias = (affine(part)[:, :, None, None] for part in ("gain", "bias"))
        return self.batch_norm(name, x) * (1 + gain) + bias

    def attention(self, name: str, x: Tensor) -> Tensor:
        channels = x.shape[1]
        theta = self.sn_conv(f"{name}.theta", x, channels // 8, 1, bias=False).flatten(2)
        phi = F.max_pool2d(self.sn_conv(f"{name}.phi", x, channels // 8, 1, bias=False), 2).flatten(
            2
        )
        g = F.max_pool2d(self.sn_conv(f"{name}.g", x, channels // 2, 1, bias=False), 2).flatten(2)
        beta = (theta.transpose(1, 2) @ phi).softmax(-1)
        seen = (g @ beta.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return (
            self.tensor(f"{name}.gamma") * self.sn_conv(f"{name}.o", seen, channels, 1, bias=False)
            + x
        )

    def __call__(
        self, z: Tensor, classes: Tensor, widths: list[int], shared: int = 0, attend_at: int = 0
    ) -> Tensor:
        """Images of 5 classes."""
        conditions = [classes] * len(widths)
        if shared:
            z, *chunks = z.split(z.shape[1] // len(widths), 1)
            embedded = self.tensor("shared.weight", 5, shared)[classes]
            conditions = [torch.cat([embedded, chunk], 1) for chunk in chunks]
        weight, bias = self.spectral("linear", widths[0] * 16, z.shape[1], bias=widths[0] * 16)
        x = F.linear(z, weight, bias).view(len(z), -1, 4, 4)
        for index, (_, outputs) in enumerate(itertools.pairwise(widths)):
            name, condition = f"blocks.{index}.0", conditions[index]
            h = relu(self.conditional_norm(f"{name}.bn1", x, condition))
            h, x = F.interpolate(h, scale_factor=2), F.interpolate(x, scale_factor=2)
            h = self.sn_conv(f"{name}.conv1", h, outputs, 3)
            h = self.sn_conv(
                f"{name}.conv2",
                relu(self.conditional_norm(f"{name}.bn2", h, condition)),
                outputs,
                3,
            )
            x = h + self.sn_conv(f"{name}.conv_sc", x, outputs, 1)
            if x.shape[-1] == attend_at:
                x = self.attention(f"blocks.{index}.1", x)
        gain, bias = (
            self.tensor(f"output_layer.0.{name}", x.shape[1]) for name in ("gain", "bias")
        )
        x = relu(self.batch_norm("output_layer.0", x) * gain[:, None, None] + bias[:, None, None])
        return self.sn_conv("output_layer.2", x, 3, 3).tanh()


GENERATORS = [
    ({"size": 32, "latent": 8, "width": 2}, {"widths": [8, 8, 8, 8]}),
    ({"size": 64, "latent": 20, "width": 4, "shared": 6, "attention": 32},
     {"widths": [64, 64, 32, 16, 8], "shared": 6, "attend_at": 32}),
]  # fmt: skip


@pytest.mark.parametrize(("sizes", "published_sizes"), GENERATORS, ids=["32", "64"])
def test_a_published_generator_draws_the_same_images_here(tmp_path, sizes, published_sizes):
    p, z, classes = BigGan(), torch.randn(6, sizes["latent"]), torch.arange(6) % 5
    expected = p(z, classes, **published_sizes)
    loaded, origin = load(tmp_path, p.state, {"name": "biggan", "num_classes": 5, **sizes})
    torch.testing.assert_close(loaded(z, classes), expected, rtol=1e-4, atol=1e-4)
    assert (expected[0] - expected[5]).abs().mean() > 0.01, "other z, other image"
    assert origin["layout"] == "BigGAN"
    stored = loaded.state_dict()["last.parametrizations.weight.0._u"]
    assert not torch.allclose(stored, F.normalize(p.state["output_layer.2.u0"][0], dim=0)), (
        "the iteration mattered"
    )


def test_spectral_norms_that_keep_both_vectors_keep_them(tmp_path):
    p, architecture = BigGan(), {"name": "biggan", "num_classes": 5, **GENERATORS[0][0]}
    p(torch.randn(1, 8), torch.zeros(1, dtype=torch.int64), **GENERATORS[0][1])
    weight, u = p.state.pop("linear.weight"), p.state.pop("linear.u0")[0]
    v = torch.rand(8)
    loaded, _ = load(
        tmp_path,
        {**p.state, "linear.weight_orig": weight, "linear.weight_u": u, "linear.weight_v": v},
        architecture,
    )
    torch.testing.assert_close(loaded.first.weight, weight / (u @ weight @ v))


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
