"""Published networks compute the same here as written down again."""

import pytest
import torch
import torch.nn.functional as F
from published_files import CONSTANTS, cnn, images, load, refused
from torch import Tensor
from written_down import (
    BigGan,
    Published,
    Sagan,
    Sngan,
    efficientnet,
    label_embedding,
    ratio,
    sparse_encoder,
    uda_resnet18,
)

RATIO = {
    "name": "ratio",
    "layers": "mlp5",
    "width": 64,
    "features": 20,
    "embedding": 0,
    "num_classes": 4,
    "dropout": 0.5,
    "output": "relu",
}
LABEL_EMBEDDING = {"name": "label-embedding", "size": 128}
SPARSE_ENCODER = {"name": "sparse-encoder", "side": 64, "width": 2, "size": 48}
IMAGES = torch.linspace(-1, 1, 2 * 3 * 64 * 64).sin().view(2, 3, 64, 64)


def normalised(x: Tensor) -> Tensor:
    return ((x + 1) / 2 - torch.tensor(CONSTANTS["mean"])[:, None, None]) / torch.tensor(
        CONSTANTS["std"]
    )[:, None, None]


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


@pytest.mark.parametrize(
    ("forward", "inputs", "wrapper", "architecture"),
    [
        (label_embedding, torch.linspace(0, 1, 9), "net_state_dict", LABEL_EMBEDDING),
        (sparse_encoder, IMAGES, "encoder_net_state_dict", SPARSE_ENCODER),
    ],
)
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


GENERATORS = [
    ({"size": 32, "latent": 8, "width": 2}, {"widths": [8, 8, 8, 8]}),
    (
        {"size": 64, "latent": 20, "width": 4, "shared": 6, "attention": 32},
        {"widths": [64, 64, 32, 16, 8], "shared": 6, "attend_at": 32},
    ),
]


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
    torch.testing.assert_close(loaded.first.normalised, weight / (u @ weight @ v))
