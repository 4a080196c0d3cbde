"""What labels become: a class is itself; a continuous label becomes h, from which it can be read
back.
"""

import pytest
import torch
from torch import nn

from cgankd.data.batches import Images
from cgankd.data.images import contrast, to_float
from cgankd.models.saved import load_network
from cgankd.preset import Embedding
from cgankd.task import Classification, Regression
from cgankd.training import conditions
from cgankd.training.conditions import (
    EmbedImages,
    EmbedLabels,
    LabelBatches,
    fit_condition,
    read_labels,
)
from cgankd.training.session import Session

DEGREES = Regression(0.0, 90.0, "degrees")
TRAINING = {"batch": 16, "learning_rate": 0.05}
SETTINGS = Embedding(
    network="resnet8_x0_125",
    size=32,
    noise=0.05,
    images={"steps": 60, **TRAINING},
    labels={"steps": 80, **TRAINING},
)


def shades(num: int = 64) -> Images:
    """Images whose brightness is their label."""
    labels = torch.rand(num, generator=torch.Generator().manual_seed(0))
    return Images(
        (labels * 255).round().to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous(),
        labels,
    )


def fit(folder, machine, images=None, settings=SETTINGS, task=DEGREES):
    session = Session(folder, "gan", 0, "digest", machine)
    return fit_condition(task, images or shades(), settings, session)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, machine):
    folder = tmp_path_factory.mktemp("gan")
    return folder, fit(folder, machine)


def test_a_class_is_its_own_condition_and_nothing_is_trained(tmp_path, machine):
    task = Classification(["a", "b", "c"])
    network = fit(
        tmp_path,
        machine,
        Images(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.arange(3)),
        None,
        task,
    )
    assert network(torch.tensor([2, 0])).tolist() == [2, 0]
    assert network.num_classes == 3
    stands = {path.name for path in tmp_path.iterdir() if path.name[0] != "."}
    assert stands == {"condition.json", "condition.safetensors"}


def test_a_label_can_be_read_back_from_its_embedding(fitted):
    folder, network = fitted
    read = load_network(folder, "embedding", torch.device("cpu")).label
    labels = torch.linspace(0.05, 0.95, 50)
    found = read(network(labels))[:, 0]
    assert (found - labels).abs().mean() < 0.1, "a constant has 0.23"
    assert torch.corrcoef(torch.stack([found, labels]))[0, 1] > 0.9
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_labels_are_read_by_what_the_condition_was_trained_with(fitted, machine):
    folder, _ = fitted
    session = Session(folder, "gan", 0, "digest", machine)
    network, some = (
        load_network(folder, "embedding", torch.device("cpu")),
        to_float(shades(9).pixels),
    )
    assert torch.equal(read_labels(SETTINGS, session)(some), network.label(network(some)))


def test_labels_are_read_through_the_changes_that_the_network_was_trained_with(fitted, machine):
    folder, _ = fitted
    session = Session(folder, "gan", 0, "digest", machine)
    settings = Embedding.model_validate(
        {**SETTINGS.model_dump(), "images": {"steps": 60, "augment": ["contrast"], **TRAINING}}
    )
    network = load_network(folder, "embedding", torch.device("cpu"))
    read, some = read_labels(settings, session), to_float(shades(9).pixels)
    torch.manual_seed(3)
    expected = network.read(contrast(some))
    torch.manual_seed(3)
    assert torch.equal(read(some), expected)


def test_a_trained_condition_is_loaded_and_not_trained_again(fitted, machine, monkeypatch):
    folder, network = fitted
    for name in ("fit", "fit_objective"):
        monkeypatch.setattr(
            conditions, name, lambda *given, **options: pytest.fail("trained again")
        )
    labels = torch.rand(10)
    assert torch.equal(fit(folder, machine)(labels), network(labels))


def test_an_interruption_between_its_two_parts_ends_with_the_same_bits(fitted, machine):
    folder, network = fitted
    for name in ("condition.json", "condition.safetensors"):
        (folder / name).unlink()
    labels = torch.rand(10)
    again = fit(folder, machine)
    assert torch.equal(again(labels), network(labels))


def test_the_label_embedding_is_trained_on_noisy_labels_within_the_range():
    seen = []

    class Inner(nn.Module):
        def forward(self, labels):
            seen.append(labels)
            return labels[:, None]

    labels = torch.tensor([0.0, 0.5, 1.0] * 200)
    torch.manual_seed(0)
    loss = EmbedLabels(DEGREES, Inner(), lambda h: h * 0.5, noise=0.2)(labels, labels)["label"]
    torch.manual_seed(0)
    expected = (labels + 0.2 * torch.randn(600)).clamp(0, 1)
    assert torch.equal(seen[0], expected)
    # the noisy label is the target, too: reading half of it back costs its half, squared
    assert loss.item() == pytest.approx(((expected / 2) ** 2).mean().item(), rel=1e-5)
    assert seen[0].min() == 0
    assert seen[0].max() == 1


def test_the_image_embedding_is_judged_by_the_label_read_back():
    class Inner(nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3))[:, None]

        def label(self, h):
            return h + 0.25

    losses = EmbedImages(DEGREES, Inner())(
        torch.full((4, 3, 2, 2), 0.5), torch.tensor([0.75, 0.5, 1.0, 0.75])
    )
    assert losses["label"].item() == pytest.approx(2 * 0.0625 / 4)


def test_batches_of_labels_hold_each_distinct_label_once_a_pass(machine):
    distinct = torch.linspace(0, 1, 12)
    made = LabelBatches(distinct, 4, 0, machine)
    labels = torch.cat([made(step)[0] for step in range(3)])
    assert torch.equal(labels.sort().values, distinct)
    inputs, targets = made(5)
    assert torch.equal(inputs, targets)
