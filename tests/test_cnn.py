"""The published networks: their sizes, and their outputs against functions that take the weights in
published order.
"""

import itertools
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import relu, relu6, silu

from cgankd.models import make_network
from cgankd.models.cnn import TRUNKS, make_trunk
from cgankd.models.resnet import Strided
from cgankd.models.saved import num_parameters

HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}
SIZES = {  # with 10 classes of side 32, with 200 classes of side 64
    "vgg11": (9_231_114, 9_635_784),
    "vgg13": (9_416_010, 9_820_680),
    "vgg16": (14_728_266, 15_132_936),
    "vgg19": (20_040_522, 20_445_192),
    "shufflenetv2": (1_263_854, 1_458_604),
    "mobilenetv2": (2_296_922, 2_539_880),
    "efficientnet-b0": (3_598_598, 3_659_588),  # published 1,088 more, which are never used
    "resnet18": (11_173_962, 11_275_656),
    "resnet34": (21_282_122, 21_383_816),
    "resnet50": (23_520_842, 23_910_152),
    "resnet18-uda": (11_173_962, 11_275_656),
    "resnet50-uda": (23_520_842, 23_910_152),
    "densenet121": (6_956_298, 7_151_048),
}
REGRESSORS = {  # of images of side 64, with a head of width 128
    "vgg11": 9_505_409,
    "vgg13": 9_690_305,
    "vgg16": 15_002_561,
    "vgg19": 20_314_817,
    "resnet18": 11_255_873,
    "resnet34": 21_364_033,
    "resnet50": 23_779_777,
    "densenet121": 7_094_401,
    "shufflenetv2-imagenet": 1_401_957,
    "mobilenetv2-imagenet": 2_404_993,
    "efficientnet-b0-imagenet": 4_188_669,
}
CIFAR_SIZES = {"resnet8": 78_042, "resnet20": 272_474, "resnet110": 1_730_714}


def size_of(**architecture) -> int:
    return num_parameters(make_network({**architecture, **HALF}))


def test_every_trunk_has_a_published_size():
    assert SIZES.keys() | CIFAR_SIZES.keys() | REGRESSORS.keys() == TRUNKS.keys()


@pytest.mark.parametrize("trunk", CIFAR_SIZES)
def test_the_cifar_resnets_have_their_published_size(without_initial_values, trunk):
    assert size_of(name="cnn", trunk=trunk, side=32, outputs=10) == CIFAR_SIZES[trunk]


@pytest.mark.parametrize("trunk", SIZES)
def test_the_networks_have_their_published_size(without_initial_values, trunk):
    ten = size_of(name="cnn", trunk=trunk, side=32, outputs=10)
    two_hundred = size_of(name="cnn", trunk=trunk, side=64, outputs=200)
    assert (ten, two_hundred) == SIZES[trunk]


@pytest.mark.parametrize("trunk", REGRESSORS)
def test_the_regressors_have_their_published_size(without_initial_values, trunk):
    with torch.device("meta"):
        assert size_of(name="cnn", trunk=trunk, side=64, outputs=1, head=128) == REGRESSORS[trunk]


def test_the_feature_extractors_have_their_published_size(without_initial_values):
    common = {"name": "cnn-features", "trunk": "densenet121"}
    assert size_of(**common, side=32, size=3 * 32 * 32, outputs=10) == 10_131_722
    assert size_of(**common, side=64, size=3 * 64 * 64, outputs=200) == 22_023_624


# Each trunk again, written down layer by layer


class Weights:
    """The tensors of a network one after another, as its state dict has them."""

    def __init__(self, network: nn.Module) -> None:
        self.values = iter(network.state_dict().values())

    def conv(self, x, stride: int = 1, bias: bool = False):
        weight = next(self.values)
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(
            x,
            weight,
            next(self.values) if bias else None,
            stride,
            weight.shape[-1] // 2,
            groups=groups,
        )

    def norm(self, x):
        gain, bias, mean, variance, _count = itertools.islice(self.values, 5)
        return F.batch_norm(x, mean, variance, gain, bias)


def vgg11(w, x, side):
    for entry in "64 M 128 M 256 256 M 512 512 M 512 512 M".split():
        if entry != "M":
            x = relu(w.norm(w.conv(x, bias=True)))
        elif x.shape[-1] > 1:
            x = F.max_pool2d(x, 2)
    return x.flatten(1)


def resnet(w, x, side, blocks, *, bottleneck=False, uda=False):
    x = relu(w.norm(w.conv(x)))
    for stage, num_blocks in enumerate(blocks):
        for index in range(num_blocks):
            stride = 1 if index or (stage == 0 and side < 64) else 2
            h = relu(w.norm(w.conv(x, 1 if bottleneck else stride)))
            h = relu(w.norm(w.conv(h, stride))) if bottleneck else h
            h = w.norm(w.conv(h))
            x = h + (x if x.shape == h.shape else w.norm(w.conv(x, stride)))
            x = x if uda and index < num_blocks - 1 else relu(x)
    return x.mean((2, 3))


def densenet121(w, x, side):
    x = w.conv(x)
    for stage, num_layers in enumerate((6, 12, 24, 16)):
        for _ in range(num_layers):
            h = w.conv(relu(w.norm(x)))
            x = torch.cat([w.conv(relu(w.norm(h))), x], 1)
        x = relu(w.norm(x))
        x = F.avg_pool2d(w.conv(x), 2) if stage < 3 else x
        x = F.max_pool2d(x, 2) if stage == 0 and side == 64 else x
    return x.mean((2, 3))


def mobilenetv2(w, x, side):
    x = relu(w.norm(w.conv(x)))
    second = 2 if side == 64 else 1
    for num_blocks, first in ((1, 1), (2, second), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)):
        for stride in [first] + [1] * (num_blocks - 1):
            h = relu(w.norm(w.conv(x)))
            h = relu(w.norm(w.conv(h, stride)))
            h = w.norm(w.conv(h))
            if stride == 1:
                h = h + (x if x.shape == h.shape else w.norm(w.conv(x)))
            x = h
    return relu(w.norm(w.conv(x))).mean((2, 3))


def shufflenetv2(w, x, side, stem=1):
    x = relu(w.norm(w.conv(x, stem)))
    x = F.max_pool2d(x, 3, 2, 1) if side == 64 or stem == 2 else x
    for num_units in (4, 8, 4):
        for index in range(num_units):
            if index == 0:
                left, right, stride = relu(w.norm(w.conv(w.norm(w.conv(x, 2))))), x, 2
            else:
                (left, right), stride = x.chunk(2, 1), 1
            right = w.norm(w.conv(relu(w.norm(w.conv(right))), stride))
            right = relu(w.norm(w.conv(right)))
            x = torch.stack([left, right], 2).flatten(1, 2)  # left and right by turns
    return relu(w.norm(w.conv(x))).mean((2, 3))


def imagenet_mobilenetv2(w, x, side):
    x = relu6(w.norm(w.conv(x, 2)))
    for stage, (num_blocks, first) in enumerate(
        ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))
    ):
        for stride in [first] + [1] * (num_blocks - 1):
            h = relu6(w.norm(w.conv(x))) if stage else x
            h = w.norm(w.conv(relu6(w.norm(w.conv(h, stride)))))
            x = x + h if stride == 1 and x.shape == h.shape else h
    return relu6(w.norm(w.conv(x))).mean((2, 3))


def imagenet_efficientnet(w, x, side):
    def same(x, stride=1):
        """Padded so that every `stride`-th pixel is in the middle of a window, the odd
        one behind.
        """
        weight = next(w.values)
        kernel = weight.shape[-1]
        more = max(0, kernel - (stride if x.shape[-1] % stride == 0 else x.shape[-1] % stride))
        x = F.pad(x, (more // 2, more - more // 2) * 2)
        return F.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])

    def norm(x):
        gain, bias, mean, variance, _count = itertools.islice(w.values, 5)
        return F.batch_norm(x, mean, variance, gain, bias, eps=1e-3)

    x = silu(norm(same(x, 2)))
    for stage, (num_blocks, first) in enumerate(
        ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
    ):
        for stride in [first] + [1] * (num_blocks - 1):
            h = silu(norm(w.conv(x))) if stage else x
            h = silu(norm(same(h, stride)))
            gate = silu(w.conv(h.mean((2, 3), keepdim=True), bias=True))
            h = norm(w.conv(h * w.conv(gate, bias=True).sigmoid()))
            x = x + h if stride == 1 and x.shape == h.shape else h
    return silu(norm(w.conv(x))).mean((2, 3))


def efficientnet(w, x, side):
    x = silu(w.norm(w.conv(x)))
    for stage, (num_blocks, first) in enumerate(
        ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
    ):
        for stride in [first] + [1] * (num_blocks - 1):
            h = silu(w.norm(w.conv(x))) if stage else x
            h = silu(w.norm(w.conv(h, stride)))
            gate = silu(w.conv(h.mean((2, 3), keepdim=True), bias=True))
            h = w.norm(w.conv(h * w.conv(gate, bias=True).sigmoid()))
            x = x + h if stride == 1 and x.shape == h.shape else h
    return x.mean((2, 3))


WRITTEN_DOWN = {
    "vgg11": vgg11,
    "resnet18": lambda w, x, side: resnet(w, x, side, (2, 2, 2, 2)),
    "resnet50": lambda w, x, side: resnet(w, x, side, (3, 4, 6, 3), bottleneck=True),
    "densenet121": densenet121,
    "mobilenetv2": mobilenetv2,
    "shufflenetv2": shufflenetv2,
    "efficientnet-b0": efficientnet,
    "shufflenetv2-imagenet": lambda w, x, side: shufflenetv2(w, x, side, stem=2),
    "mobilenetv2-imagenet": imagenet_mobilenetv2,
    "efficientnet-b0-imagenet": imagenet_efficientnet,
}


def trained(
    name: str, side: int, dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, torch.Tensor]:
    """A trunk in eval mode whose batch norms have weights and statistics of their own, and two
    images.
    """
    torch.manual_seed(0)
    trunk = make_trunk(name, side).to(dtype)
    images = torch.randn(6, 3, side, side).to(dtype)
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    with torch.no_grad():
        trunk.train()(images)
    return trunk.eval().requires_grad_(False), images[:2]


CASES = [
    pytest.param(
        name,
        side,
        marks=[pytest.mark.slow] * (side == 64 or (name.endswith("-imagenet") and side > 16)),
    )
    for name, side in itertools.product(WRITTEN_DOWN, (16, 32, 64))
]


@pytest.mark.parametrize(("name", "side"), CASES)
def test_a_trunk_computes_what_is_written_down_with_its_weights_in_their_order(name, side):
    # Norms of few numbers magnify what is rounded.
    deep = side == 16 or name.startswith("efficientnet") or name.endswith("-imagenet")
    trunk, images = trained(name, side, torch.float64 if deep else torch.float32)
    features = trunk(images)
    assert features.shape[1] == trunk.num_features
    assert features.std(0).mean() > 0.01, "the features tell images apart"
    for index in range(2):  # each image by itself: in eval mode no other has a part in its features
        weights = Weights(trunk)
        expected = WRITTEN_DOWN[name](weights, images[index : index + 1], side)
        assert next(weights.values, None) is None, "every tensor has its place"
        torch.testing.assert_close(features[index : index + 1], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * name.endswith("-imagenet"))
        for name in WRITTEN_DOWN
    ]
    + ["resnet18-uda", "resnet8"],
)
def test_every_parameter_gets_a_gradient_even_of_the_smallest_images(name):
    torch.manual_seed(0)
    network = make_network({"name": "cnn", "trunk": name, "side": 8, "outputs": 3, **HALF})
    F.cross_entropy(network(torch.randn(4, 3, 8, 8)), torch.arange(4) % 3).backward()
    assert [key for key, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("resnet18", (2, 2, 2, 2)), pytest.param("resnet50", (3, 4, 6, 3), marks=pytest.mark.slow)],
)
def test_the_uda_resnets_take_the_weights_of_the_others_and_rectify_less(name, blocks):
    trunk, images = trained(name, 16, torch.float64)
    uda = make_trunk(f"{name}-uda", 16).eval().double()
    uda.load_state_dict(trunk.state_dict())
    expected = resnet(Weights(trunk), images, 16, blocks, bottleneck=name == "resnet50", uda=True)
    torch.testing.assert_close(uda(images), expected, rtol=1e-4, atol=1e-4)
    assert (uda(images) - trunk(images)).abs().mean() > 0.1 * trunk(images).abs().mean()


@pytest.mark.parametrize("rectified", [False, True])
def test_a_head_has_two_hidden_layers_and_ends_linear_unless_it_was_published_otherwise(rectified):
    torch.manual_seed(0)
    architecture = {
        "name": "cnn",
        "trunk": "resnet8_x0_125",
        "side": 8,
        "outputs": 5,
        "head": 7,
        **HALF,
    }
    network = make_network({**architecture, "rectified": rectified}).eval()
    assert [
        tuple(layer.weight.shape) for layer in network.head if isinstance(layer, nn.Linear)
    ] == [(7, 8), (7, 7), (5, 7)]
    images = torch.randn(9, 3, 8, 8)
    first, norm1, _, second, norm2, _, last = network.head[:7]
    expected = last(relu(norm2(second(relu(norm1(first(network.features(images))))))))
    assert expected.min() < 0 < expected.max()
    torch.testing.assert_close(network(images), relu(expected) if rectified else expected)


def test_the_mobilenet_of_imagenet_starts_its_head_as_published():
    architecture = {
        "name": "cnn",
        "trunk": "mobilenetv2-imagenet",
        "side": 8,
        "outputs": 1,
        "head": 128,
        **HALF,
    }
    torch.manual_seed(0)
    for layer in make_network(architecture).head:
        if isinstance(layer, nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.2)
            assert not layer.bias.any()


@pytest.mark.slow
def test_the_efficientnet_of_imagenet_drops_late_blocks_more_often():
    blocks = [
        layer.p
        for layer in make_trunk("efficientnet-b0-imagenet", 64).modules()
        if type(layer).__name__ == "StochasticDepth"
    ]
    assert blocks == pytest.approx([0.2 * index / 16 for index in range(16)])


def test_the_efficientnet_drops_a_fifth_of_its_features_in_training():
    trunk, images = trained("efficientnet-b0", 16)
    assert (trunk(images) != 0).all()
    assert (trunk.train()(images) == 0).float().mean().item() == pytest.approx(0.2, abs=0.05)


def test_the_published_networks_have_one_width():
    with pytest.raises(TypeError):
        make_trunk("vgg11_x0_5", 32)


@pytest.mark.parametrize("side", [7, 64])
def test_a_strided_shortcut_is_the_convolution_that_it_stands_for(side):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 8, 1, 2, bias=False)
    strided = Strided(4, 8, 1, 2, bias=False)
    strided.load_state_dict(plain.state_dict())
    strided = strided.to(memory_format=torch.channels_last)
    x = torch.randn(3, 4, side, side)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = strided(other.to(memory_format=torch.channels_last))
    expected = plain(one)
    torch.testing.assert_close(found, expected)
    for output in (found, expected):
        output.square().sum().backward()
    torch.testing.assert_close(other.grad, one.grad)
    torch.testing.assert_close(strided.weight.grad, plain.weight.grad)


@pytest.mark.slow
def test_a_narrow_network_trains_at_a_side_of_64_without_harm_to_its_memory():
    code = (
        "import torch; from cgankd.models.cnn import make_trunk; torch.set_num_threads(1);"
        "network = make_trunk('resnet8_x0_25', 64).to(memory_format=torch.channels_last);"
        "x = torch.randn(32, 3, 64, 64).to(memory_format=torch.channels_last);"
        "[network(x).square().mean().backward() for _ in range(6)]"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-300:]
