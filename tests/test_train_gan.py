"""The stage that trains the GAN: what it makes of the data that it sees."""

import torch
import toy
from sets import classes

from cgankd import runs
from cgankd.models.saved import load_network
from cgankd.stages import train_gan
from cgankd.training.machine import Machine

CPU = torch.device("cpu")


def drawn(root, *changes: str) -> torch.Tensor:
    """Images of the generator that a toy preset trains on a CPU."""
    sizes = ["data.size=8", "gan.steps=4", "gan.ema_start=1", *changes]
    train_gan.run(toy.job("digits", root, *sizes), Machine("cpu"))
    network = load_network(root / "gan", "generator", CPU)
    return network(torch.randn(4, network.latent), torch.tensor([0, 0, 1, 1]))


def test_fakes_have_colours_only_where_training_images_have(tmp_path):
    images = drawn(tmp_path / "grey", "gan.grey=true")
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    assert runs.read_json(tmp_path / "grey" / "gan" / "generator.json")["grey"] is True

    folder = classes(tmp_path / "coloured")
    auto = ["data.num_train='auto'", "data.num_validation='auto'", "gan.grey=true"]
    images = drawn(tmp_path / "own", "data.source='folder'", f"data.path='{folder}'", *auto)
    assert not torch.equal(images[:, 0], images[:, 1])

    images = drawn(tmp_path / "unasked")
    assert not torch.equal(images[:, 0], images[:, 1])
