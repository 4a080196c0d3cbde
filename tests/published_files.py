"""Files of published weights, made of networks of ours under the names of the original code."""

import random

import pytest
import torch
from torch import Tensor

from cgankd.errors import UserError
from cgankd.job import ImportFile
from cgankd.models import make_network, published
from cgankd.runs import file_digest

CONSTANTS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}


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
    widths, nums = (16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1)
    firsts = (1, 2 if side >= 64 else 1, 2, 2, 1, 2, 1)
    for outputs, num_blocks, first in zip(widths, nums, firsts, strict=True):
        for stride in [first] + [1] * (num_blocks - 1):
            names += [f"layers.{index}.{kind}{n}" for n in (1, 2, 3) for kind in ("conv", "bn")]
            if stride == 1 and inputs != outputs:
                names += [f"layers.{index}.shortcut.0", f"layers.{index}.shortcut.1"]
            index, inputs = index + 1, outputs
    return [*names, "conv2", "bn2", "linear"]


def shufflenet() -> list[str]:
    units = [
        f"layer{stage}.{index}.{kind}{n}"
        for stage, num_units in ((1, 4), (2, 8), (3, 4))
        for index in range(num_units)
        for n in range(1, 4 if index else 6)
        for kind in ("conv", "bn")
    ]
    return ["conv1", "bn1", *units, "conv2", "bn2", "linear"]


def densenet(*head: str) -> list[str]:
    names = ["conv1"]
    for stage, num_layers in enumerate((6, 12, 24, 16), 1):
        names += [
            f"dense{stage}.{index}.{layer}"
            for index in range(num_layers)
            for layer in ("bn1", "conv1", "bn2", "conv2")
        ]
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


def regressor_names(trunk: str) -> list[str]:
    _, names, head, parts = REGRESSORS[trunk]
    return [*names, *(f"{head}.{part}" for part in parts)]
