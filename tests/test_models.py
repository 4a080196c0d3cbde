"""Networks: all that can be saved, their published sizes, ratios, embeddings and autoencoders."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cgankd.models import GANS, NETWORKS, make_network, spectral
from cgankd.models.autoencoder import SparseDecoder
from cgankd.models.cnn import Normalisation
from cgankd.models.saved import num_parameters

HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}


SMALL = [
    {"name": "cnn", "trunk": "resnet8_x0_25", "side": 16, "outputs": 3, **HALF},
    {
        "name": "cnn-features",
        "trunk": "resnet8_x0_25",
        "side": 16,
        "size": 16,
        "outputs": 3,
        **HALF,
    },
    {"name": "biggan", "size": 16, "latent": 5, "width": 2, "num_classes": 3},
    {
        "name": "biggan",
        "size": 32,
        "latent": 8,
        "width": 2,
        "num_classes": 3,
        "shared": 4,
        "attention": 16,
    },
    {"name": "sngan", "size": 16, "latent": 5, "width": 2, "embedding": 8},
    {"name": "sagan", "size": 16, "latent": 5, "width": 2, "embedding": 8},
    {"name": "sparse-encoder", "side": 16, "width": 2, "size": 32},
    {"name": "class-index", "num_classes": 3},
    {"name": "label-embedding", "size": 16},
    {"name": "image-embedding", "trunk": "resnet8_x0_25", "side": 16, "size": 16, **HALF},
    {
        "name": "ratio",
        "layers": "mlp3",
        "width": 64,
        "features": 6,
        "embedding": 4,
        "num_classes": 0,
        "dropout": 0.5,
        "output": "relu",
    },
    {"name": "projection", "size": 6},
]


def size_of(**architecture) -> int:
    return num_parameters(make_network(architecture))


def test_the_gans_have_their_published_size(without_initial_values):
    generator, discriminator = GANS["biggan"]
    assert num_parameters(generator(size=32, latent=128, width=64, num_classes=10)) == 4_304_387
    assert num_parameters(discriminator(size=32, width=64, num_classes=10)) == 4_207_361


@pytest.mark.parametrize(
    ("classes", "sizes", "of_generator", "num_generator", "num_discriminator"),
    [
        (
            200,
            {"size": 64, "width": 64, "attention": 32},
            {"latent": 120, "shared": 128},
            31_867_140,
            19_752_642,
        ),
        (
            200,
            {"size": 64, "width": 64},
            {"latent": 120, "shared": 128},
            31_867_140 - 81_921,
            19_747_521,
        ),
        # ImageNet at 128x128, as github.com/google/compare_gan resnet_biggan_test.py counts
        (
            1000,
            {"size": 128, "width": 96, "attention": 64},
            {"latent": 120, "shared": 128},
            70_433_988,
            87_982_370,
        ),
    ],
)
def test_large_biggans_have_their_published_size(
    without_initial_values,
    monkeypatch,
    classes,
    sizes,
    of_generator,
    num_generator,
    num_discriminator,
):
    monkeypatch.setattr(spectral, "FIRST", 0)  # power iterations take time
    generator, discriminator = GANS["biggan"]
    assert num_parameters(generator(num_classes=classes, **sizes, **of_generator)) == num_generator
    assert num_parameters(discriminator(num_classes=classes, **sizes)) == num_discriminator


@pytest.mark.parametrize(
    ("name", "generator", "discriminator"),
    [("sngan", 15_049_347, 21_655_233), ("sagan", 15_070_052, 21_660_466)],
)
def test_the_gans_of_a_continuous_label_have_their_published_size(
    monkeypatch, name, generator, discriminator
):
    monkeypatch.setattr(spectral, "FIRST", 0)  # power iterations take time
    with torch.device("meta"):
        assert size_of(name=name, size=64, latent=256, width=64, embedding=128) == generator
        assert num_parameters(GANS[name][1](size=64, width=64, embedding=128)) == discriminator


def test_the_label_embedding_has_its_published_size():
    with torch.device("meta"):
        assert size_of(name="label-embedding", size=128) == 67_328
        assert (
            size_of(name="image-embedding", trunk="resnet34", side=64, size=128, **HALF)
            == 21_610_945
        )


@pytest.mark.parametrize(
    ("layers", "size"),
    [("mlp3", 28_060_673), ("mlp5", 28_225_281), ("mlp7", 33_477_377), ("mlp9", 33_807_361)],
)
def test_the_ratio_networks_have_their_published_size(without_initial_values, layers, size):
    common = {"name": "ratio", "width": 2048, "dropout": 0.5, "output": "relu", "layers": layers}
    assert size_of(**common, features=12288, embedding=128, num_classes=0) == size


@pytest.mark.parametrize(
    ("layers", "ten", "two_hundred"),
    [
        ("mlp3", 8_944_741, 28_248_129),
        ("mlp5", 9_109_349, 28_412_737),
        ("mlp7", 14_361_445, 33_664_833),
        ("mlp9", 14_691_429, 33_994_817),
    ],
)
def test_the_ratio_networks_of_classes_have_their_published_size(
    without_initial_values, layers, ten, two_hundred
):
    common = {"name": "ratio", "width": 2048, "dropout": 0.5, "output": "relu", "layers": layers}
    assert size_of(**common, features=3 * 32 * 32, embedding=0, num_classes=10) == ten
    assert size_of(**common, features=3 * 64 * 64, embedding=0, num_classes=200) == two_hundred


def test_the_sparse_autoencoder_has_its_published_size():
    sizes = {"side": 64, "width": 64, "size": 12288}
    with torch.device("meta"):
        decoder = SparseDecoder(**sizes)
        assert size_of(name="sparse-encoder", **sizes) == 7_073_664
    assert num_parameters(decoder.decode) == 12_147_843
    assert num_parameters(decoder.predict) == 27_864_065


def test_every_network_that_can_be_saved_is_tried_here():
    assert {architecture["name"] for architecture in SMALL} == set(NETWORKS)


@pytest.mark.parametrize("architecture", SMALL, ids=lambda architecture: architecture["name"])
def test_a_network_in_eval_mode_treats_each_sample_by_itself(architecture):
    torch.manual_seed(0)
    network = make_network(architecture).eval()
    images, labels = torch.rand(6, 3, 16, 16) * 2 - 1, torch.rand(6)
    inputs = {
        "biggan": (torch.randn(6, architecture.get("latent", 0)), torch.arange(6) % 3),
        "sngan": (torch.randn(6, 5), torch.rand(6, 8)),
        "sagan": (torch.randn(6, 5), torch.rand(6, 8)),
        "class-index": (torch.arange(6) % 3,),
        "label-embedding": (labels,),
        "ratio": (torch.rand(6, 6), torch.rand(6, 4)),
        "projection": (torch.randn(6, 6),),
    }.get(architecture["name"], (images,))
    together = network(*inputs)
    assert together.isfinite().all()
    for row in range(6):
        torch.testing.assert_close(
            network(*(part[row : row + 1] for part in inputs))[0], together[row]
        )


def test_normalisation_is_that_of_pixels_between_zero_and_one():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4))
    mean, std = (
        np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1),
        np.array([0.5, 0.4, 0.2]).reshape(3, 1, 1),
    )
    network = Normalisation(mean.ravel().tolist(), std.ravel().tolist())
    found = network(torch.from_numpy(pixels / 127.5 - 1).float())
    np.testing.assert_allclose(found.numpy(), (pixels / 255 - mean) / std, atol=1e-5)


def test_the_ratio_is_positive_and_takes_the_condition_before_the_features():
    torch.manual_seed(0)
    for output, function in (("relu", F.relu), ("softplus", F.softplus)):
        network = make_network(
            {
                "name": "ratio",
                "layers": "mlp3",
                "width": 32,
                "features": 6,
                "embedding": 4,
                "num_classes": 0,
                "dropout": 0.5,
                "output": output,
            }
        ).eval()
        features, condition = torch.randn(9, 6), torch.randn(9, 4)
        expected = function(network.layers(torch.cat([condition, features], 1)))[:, 0]
        assert torch.equal(network(features, condition), expected)
        assert (expected >= 0).all()


@pytest.mark.parametrize("width", [256, 512])
def test_a_ratio_network_of_any_width_learns_which_half_a_feature_lies_in(width):
    torch.manual_seed(0)
    network = make_network(
        {
            "name": "ratio",
            "layers": "mlp5",
            "width": width,
            "features": 8,
            "embedding": 0,
            "num_classes": 10,
            "dropout": 0.0,
            "output": "softplus",
        }
    )
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(60):
        features, classes = torch.randn(64, 8), torch.randint(10, (64,))
        error = F.mse_loss(network(features, classes), (features[:, 0] > 0).float() + 0.5)
        error.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert error.item() < 0.15, "a constant has 0.25"


@pytest.mark.parametrize("size", [8, 16, 32, 128])
def test_different_labels_have_different_embeddings(size):
    torch.manual_seed(0)
    embeddings = make_network({"name": "label-embedding", "size": size})(torch.linspace(0, 1, 50))
    assert len(embeddings.detach().round(decimals=4).unique(dim=0)) > 40


def test_label_embeddings_and_features_are_not_negative():
    torch.manual_seed(0)
    embedding = make_network({"name": "label-embedding", "size": 16})(torch.linspace(0, 1, 50))
    features = make_network({"name": "sparse-encoder", "side": 16, "width": 2, "size": 32})(
        torch.randn(5, 3, 16, 16)
    )
    assert embedding.min() == 0 < embedding.max()
    assert features.min() == 0 < features.max()


@pytest.mark.parametrize("side", [8, 16, 32])
def test_the_autoencoder_gives_images_back_in_their_size_from_a_code_of_the_asked_size(side):
    sizes = {"side": side, "width": 2, "size": 32}
    features = make_network({"name": "sparse-encoder", **sizes})(torch.randn(4, 3, side, side))
    assert features.shape == (4, 32)
    images, outputs = SparseDecoder(**sizes)(features)
    assert images.shape == (4, 3, side, side)
    assert images.abs().max() <= 1
    assert outputs.shape == (4, 1)
