"""Generators and discriminators: their blocks, their attention, their norms, by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cgankd.models import GANS, make_network
from cgankd.models.blocks import (
    ConditionalNorm,
    DownBlock,
    SelfAttention,
    UpBlock,
    num_doublings,
)
from cgankd.models.spectral import SpectralLayer, spectral


@pytest.mark.parametrize("name", ["biggan", "sngan", "sagan"])
@pytest.mark.parametrize("size", [8, 16, 32])
def test_generators_draw_images_in_range_that_depend_on_noise_and_condition(name, size):
    torch.manual_seed(0)
    make_generator, make_discriminator = GANS[name]
    conditions = {"num_classes": 3} if name == "biggan" else {"embedding": 8}
    generator = make_generator(size=size, latent=5, width=2, **conditions).eval()
    discriminator = make_discriminator(size=size, width=2, **conditions).eval()
    z = torch.randn(2, 5)
    first, second = (
        (torch.tensor([0, 1]), torch.tensor([2, 1]))
        if name == "biggan"
        else (torch.rand(2, 8) for _ in "ab")
    )
    images, others = generator(z, first), generator(z, second)
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1
    assert not torch.equal(images[0], others[0])
    assert not torch.equal(images[0], generator(z.flip(0), first)[0])
    scores = discriminator(images, first)
    assert scores.shape == (2,)
    assert scores[0] != discriminator(images, second)[0]


@pytest.mark.parametrize("name", ["biggan", "sngan", "sagan"])
def test_a_grey_generator_draws_one_channel_and_gives_it_as_all_three(name):
    torch.manual_seed(0)
    sizes = {"size": 16, "latent": 5, "width": 2}
    sizes |= {"num_classes": 3} if name == "biggan" else {"embedding": 8}
    condition = torch.tensor([0, 2]) if name == "biggan" else torch.rand(2, 8)
    grey, coloured = (GANS[name][0](**sizes, grey=grey) for grey in (True, False))
    images = grey(torch.randn(2, 5), condition)
    assert images.shape == (2, 3, 16, 16)
    assert torch.equal(images, images[:, :1].expand(-1, 3, -1, -1))
    assert images[0, 0].std() > 0
    assert not torch.equal(images[0], images[1])
    images.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in grey.parameters())
    weights = {name: weight.numel() for name, weight in grey.named_parameters()}
    others = {name: weight.numel() for name, weight in coloured.named_parameters()}
    assert {name for name, num in others.items() if num != weights[name]} == {
        name for name in weights if name.startswith("last.")
    }
    assert all(others[name] == 3 * num for name, num in weights.items() if "last." in name)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_the_maps_of_a_tapered_biggan_are_twice_as_wide_at_half_the_side(size):
    sizes = {"size": size, "width": 3, "num_classes": 2, "tapered": True}
    generator = GANS["biggan"][0](latent=5, **sizes)
    discriminator = GANS["biggan"][1](**sizes)
    seen: dict[int, int] = {}
    for network in (generator, discriminator):
        for block in network.blocks:
            block.register_forward_hook(
                lambda block, given, map: seen.update({map.shape[2]: map.shape[1]})
            )
    images = generator(torch.randn(2, 5), torch.tensor([0, 1]))
    assert images.shape == (2, 3, size, size)
    assert seen == {side: 6 * size // side for side in (8, 16, 32) if side <= size}
    seen.clear()
    assert discriminator(images, torch.tensor([0, 1])).shape == (2,)
    halves = {side: 6 * size // (2 * side) for side in (4, 8, 16) if side < size}
    assert {side: seen[side] for side in seen if side > 4} == {
        side: width for side, width in halves.items() if side > 4
    }
    assert seen[4] == 6 * size // 4  # the last block keeps the side and doubles the width


def test_the_conditional_norm_scales_by_one_plus_gain_and_adds_the_bias():
    norm = ConditionalNorm(4, lambda size: nn.Embedding(3, size))
    x, classes = torch.randn(5, 4, 2, 2) * 3 + 1, torch.tensor([0, 2, 1, 2, 0])
    values = x.double().numpy()
    normal = (values - values.mean((0, 2, 3), keepdims=True)) / np.sqrt(
        values.var((0, 2, 3), keepdims=True) + 1e-5
    )
    gain, bias = (
        table.weight.detach().numpy()[classes.numpy()][:, :, None, None]
        for table in (norm.gain, norm.bias)
    )
    np.testing.assert_allclose(
        norm(x, classes).detach().numpy(), normal * (1 + gain) + bias, atol=1e-4
    )


def test_the_up_block_equals_the_published_order_of_its_shortcut():
    torch.manual_seed(0)
    block = UpBlock(4, 6, lambda size: nn.Linear(8, size, bias=False)).eval()
    x, h = torch.randn(2, 4, 4, 4), torch.randn(2, 8)
    main = block.conv1(F.interpolate(F.relu(block.norm1(x, h)), scale_factor=2))
    main = block.conv2(F.relu(block.norm2(main, h)))
    torch.testing.assert_close(block(x, h), main + block.shortcut(F.interpolate(x, scale_factor=2)))


@pytest.mark.parametrize("first", [True, False])
def test_the_down_block_equals_the_published_order_of_its_shortcut(first):
    torch.manual_seed(0)
    block = DownBlock(3, 6, down=True, first=first)
    x = torch.randn(2, 3, 8, 8)
    main = F.avg_pool2d(block.conv2(F.relu(block.conv1(x if first else F.relu(x)))), 2)
    # published: the first block pools before its shortcut's convolution, later ones after; x itself
    # is not rectified
    shortcut = block.shortcut(F.avg_pool2d(x, 2)) if first else F.avg_pool2d(block.shortcut(x), 2)
    torch.testing.assert_close(block(x), main + shortcut)


def test_self_attention_starts_as_the_identity():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(SelfAttention(16, nn.Conv2d)(x), x)
    assert torch.equal(SelfAttention(1, spectral(nn.Conv2d))(x[:, :1]), x[:, :1])


def test_self_attention_mixes_pooled_places_by_their_softmax():
    torch.manual_seed(0)
    layer = SelfAttention(16, nn.Conv2d)
    with torch.no_grad():
        layer.gamma.fill_(0.5)
    x = torch.randn(2, 16, 4, 4)
    weights = {
        name: conv.weight.detach().double().numpy()[:, :, 0, 0]
        for name, conv in layer.named_children()
    }
    assert {name: weight.shape for name, weight in weights.items()} == {
        "query": (2, 16),
        "key": (2, 16),
        "value": (8, 16),
        "output": (16, 8),
    }
    for image, found in zip(x.double().numpy(), layer(x).detach().numpy(), strict=True):
        maps = {
            name: np.einsum("oc,cij->oij", weights[name], image)
            for name in ("query", "key", "value")
        }
        pooled = {
            name: maps[name].reshape(-1, 2, 2, 2, 2).max((2, 4)).reshape(-1, 4)
            for name in ("key", "value")
        }
        scores = np.exp(maps["query"].reshape(2, 16).T @ pooled["key"])
        shares = scores / scores.sum(1, keepdims=True)
        seen = (pooled["value"] @ shares.T).reshape(8, 4, 4)
        np.testing.assert_allclose(
            found, image + 0.5 * np.einsum("oc,cij->oij", weights["output"], seen), atol=1e-5
        )


@pytest.mark.parametrize(
    ("size", "side"), [(16, 8), (32, 16), (32, 8), (64, 32), (64, 8), (128, 64)]
)
def test_self_attention_stands_once_in_each_network_after_maps_of_its_side(size, side):
    seen, sizes = [], {"size": size, "width": 1, "num_classes": 2, "attention": side}
    networks = make_network({"name": "biggan", "latent": 4, **sizes}), GANS["biggan"][1](**sizes)
    for network in networks:
        (layer,) = [part for part in network.modules() if isinstance(part, SelfAttention)]
        layer.register_forward_pre_hook(lambda layer, given: seen.append(given[0].shape[-1]))
    networks[1](networks[0](torch.randn(2, 4), torch.arange(2)), torch.arange(2))
    assert seen == [side, side]


def test_a_part_of_z_changes_maps_from_its_block_on():
    torch.manual_seed(0)
    network = make_network(
        {
            "name": "biggan",
            "size": 32,
            "latent": 12,
            "width": 2,
            "num_classes": 3,
            "shared": 4,
            "attention": 16,
        }
    ).eval()
    maps = []
    for block in network.blocks:
        block.register_forward_hook(lambda block, given, made: maps.append(made))

    def changed(z, classes) -> list[bool]:
        maps.clear()
        network(z, classes)
        return [not torch.equal(made, before) for made, before in zip(maps, first, strict=True)]

    z, classes = torch.randn(2, 12), torch.tensor([0, 1])
    network(z, classes)
    first = list(maps)
    for part, expected in enumerate([[1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1]]):
        other = z.clone()
        other[:, 3 * part : 3 * part + 3] += 1
        assert changed(other, classes) == [bool(change) for change in expected], part
    assert changed(z, torch.tensor([2, 1])) == [True] * 3, "the class enters everywhere"


@pytest.mark.parametrize("size", [16, 64])
def test_every_parameter_of_biggan_has_a_gradient_once_gamma_has_left_zero(size):
    torch.manual_seed(0)
    sizes = {"size": size, "width": 2, "num_classes": 3, "attention": 8}
    generator = make_network({"name": "biggan", "latent": 60, "shared": 4, **sizes})
    discriminator, classes = GANS["biggan"][1](**sizes), torch.arange(6) % 3

    def without_gradient() -> set[str]:
        for network in (generator, discriminator):
            network.eval().zero_grad()  # statistics of the batch would cancel biases before them
        discriminator(generator(torch.randn(6, 60), classes), classes).sum().backward()
        return {
            name
            for network in (generator, discriminator)
            for name, parameter in network.named_parameters()
            if not parameter.grad.any()
        }

    for network in (
        generator,
        discriminator,
    ):  # spectral norms of the initial weights, so that signals pass
        network.train()
    discriminator(generator(torch.randn(6, 60), classes), classes)
    blocked = without_gradient()
    assert len(blocked) == 8, (
        "gamma = 0 keeps gradients from the four layers of each attention, and from nothing else"
    )
    assert {name.split(".")[2] for name in blocked} == {"query", "key", "value", "output"}
    for network in (generator, discriminator):
        (layer,) = [part for part in network.modules() if isinstance(part, SelfAttention)]
        with torch.no_grad():
            layer.gamma.fill_(0.1)
    assert without_gradient() == set()


@pytest.mark.parametrize("name", ["biggan", "sngan", "sagan"])
def test_every_weight_of_a_discriminator_has_spectral_norm_one(name):
    torch.manual_seed(0)
    conditions = {"num_classes": 3} if name == "biggan" else {"embedding": 8}
    discriminator = GANS[name][1](size=16, width=2, **conditions)
    condition = torch.arange(4) % 3 if name == "biggan" else torch.rand(4, 8)
    for _ in range(40):  # power iteration goes on with every forward pass
        discriminator(torch.zeros(4, 3, 16, 16), condition)
    discriminator.eval()
    weighted = (nn.Conv2d, nn.Linear, nn.Embedding)
    layers = [layer for layer in discriminator.modules() if isinstance(layer, weighted)]
    assert all(isinstance(layer, SpectralLayer) for layer in layers)
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.normalised.flatten(1), 2).item()
        assert norm == pytest.approx(1, abs=0.1)


def test_discriminators_have_no_batch_norm_and_all_generators_but_sngan_are_spectrally_normalised():
    for name, conditions in (
        ("biggan", {"num_classes": 3}),
        ("sngan", {"embedding": 8}),
        ("sagan", {"embedding": 8}),
    ):
        generator = GANS[name][0](size=16, latent=4, width=2, **conditions)
        discriminator = GANS[name][1](size=16, width=2, **conditions)
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in discriminator.modules())
        assert any("parametrizations" in key for key in generator.state_dict()) == (name != "sngan")


def test_the_sagan_discriminator_is_the_one_written_down():
    torch.manual_seed(0)
    discriminator = GANS["sagan"][1](size=16, width=8, embedding=4)
    x, h = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 4)
    with torch.no_grad():
        discriminator.blocks[1].gamma.fill_(0.7)
        discriminator(x, h)  # one power iteration
        for name, value in discriminator.named_parameters():
            if name.endswith("bias"):
                value.uniform_(-1, 1)
    discriminator.eval()
    weights = iter(
        (layer.normalised, layer.bias)
        for layer in discriminator.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    )

    def conv(x):
        weight, bias = next(weights)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    y = F.avg_pool2d(conv(F.relu(conv(x))), 2)
    y = y + conv(F.avg_pool2d(x, 2))
    query, key, value = (
        conv(y).flatten(2),
        F.max_pool2d(conv(y), 2).flatten(2),
        F.max_pool2d(conv(y), 2).flatten(2),
    )
    seen = torch.einsum("nck,npk->ncp", value, torch.einsum("ncp,nck->npk", query, key).softmax(2))
    y = y + 0.7 * conv(seen.view(2, 4, 8, 8))
    assert y.shape == (2, 8, 8, 8), "half the side of the images"
    for down in (True, False):
        y = F.relu(y)  # in place in the reference code, so that the shortcut sees it too
        main = conv(F.relu(conv(y)))
        y = main + conv(y) if not down else F.avg_pool2d(main, 2) + F.avg_pool2d(conv(y), 2)
    y = F.relu(y).flatten(1)
    (score, bias), (project, _) = weights
    torch.testing.assert_close(
        discriminator(x, h), (y @ score.T + bias + (h @ project.T * y).sum(1, keepdim=True))[:, 0]
    )


def test_the_projection_of_biggan_is_the_class_vector_times_the_summed_map():
    torch.manual_seed(0)
    discriminator = GANS["biggan"][1](size=8, width=2, num_classes=3).eval()
    images, classes = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 1])
    h = F.relu(discriminator.blocks(images)).sum((2, 3))
    expected = (
        h @ discriminator.score.normalised[0]
        + discriminator.score.bias
        + (discriminator.project.normalised[classes] * h).sum(1)
    )
    torch.testing.assert_close(discriminator(images, classes), expected)


def test_sides_are_four_times_a_power_of_two():
    assert [num_doublings(side) for side in (4, 8, 16, 32, 64, 128)] == [0, 1, 2, 3, 4, 5]
    for side in (5, 20, 24, 48):
        with pytest.raises(AssertionError, match=str(side)):
            num_doublings(side)


def test_initial_weights_have_their_published_spread():
    torch.manual_seed(0)
    biggan = GANS["biggan"][0](size=32, latent=64, width=16, num_classes=10)
    for name, weight in biggan.named_parameters():
        if name.endswith("original"):
            assert weight.std().item() == pytest.approx(0.02, rel=0.1), name
    sngan = GANS["sngan"][0](size=16, latent=64, width=32, embedding=16)
    bounds = {
        "first.weight": (6 / (64 + 2048)) ** 0.5,
        "blocks.0.conv1.weight": (2 * 6 / (128 * 9 + 64 * 9)) ** 0.5,
        "blocks.0.shortcut.weight": (6 / (128 + 64)) ** 0.5,
        "blocks.0.norm1.gain.weight": (1 / 16) ** 0.5,
        "last.weight": (6 / (32 * 9 + 3 * 9)) ** 0.5,
    }
    for name, weight in sngan.named_parameters():
        if name in bounds:
            assert bounds[name] * 0.97 < weight.abs().max().item() <= bounds[name] * 1.0001, name
    sagan = GANS["sagan"][0](size=16, latent=64, width=32, embedding=16)
    for name, weight in sagan.named_parameters():
        if weight.ndim > 1:
            area = weight[0, 0].numel()
            bound = (6 / (area * (weight.shape[0] + weight.shape[1]))) ** 0.5
            assert bound * 0.9 < weight.abs().max().item() <= bound * 1.0001, name
        elif name.endswith("bias"):
            assert not weight.any(), name
