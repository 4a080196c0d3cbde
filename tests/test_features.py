"""The feature space of the density ratio: its objectives by hand, and that it is fitted once."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cgankd import preset
from cgankd.data.batches import Images
from cgankd.models import architectures
from cgankd.preset import Dre, Features
from cgankd.task import Classification, Regression
from cgankd.training import features
from cgankd.training.features import AutoencoderObjective, CnnFeaturesObjective, fit_features
from cgankd.training.machine import Machine
from cgankd.training.session import Session

CLASSES, DEGREES = Classification(["a", "b", "c"]), Regression(0.0, 90.0, "degrees")


class Half(nn.Module):
    """Features are half of the first pixels."""

    def forward(self, images):
        return images.flatten(1)[:, :4] / 2

    def outputs(self, features):
        return features[:, :3]


class Sum(nn.Module):
    """Decodes features as their sum, and predicts the first."""

    def forward(self, features):
        return features.sum(1).view(-1, 1, 1, 1).expand(-1, 3, 2, 2), features[:, :1]


def test_the_autoencoder_pays_for_the_image_the_mean_feature_and_the_label():
    images, labels = torch.rand(5, 3, 2, 2), torch.rand(5)
    losses = AutoencoderObjective(DEGREES, Half(), Sum(), 0.25)(images, labels)
    code = images.flatten(1)[:, :4] / 2
    assert losses["image"].item() == pytest.approx(
        ((code.sum(1).view(-1, 1, 1, 1) - images) ** 2).mean().item()
    )
    assert losses["sparsity"].item() == pytest.approx(0.25 * code.mean().item())
    assert losses["label"].item() == pytest.approx(((code[:, 0] - labels) ** 2).mean().item())


def test_the_features_of_classes_are_judged_by_the_logits_on_them():
    images, labels = torch.rand(5, 3, 2, 2), torch.arange(5) % 3
    losses = CnnFeaturesObjective(CLASSES, Half())(images, labels)
    assert set(losses) == {"label"}
    assert losses["label"].item() == pytest.approx(
        F.cross_entropy(images.flatten(1)[:, :3] / 2, labels).item()
    )


@pytest.mark.parametrize("task", [CLASSES, DEGREES], ids=["classes", "continuous"])
def test_features_are_fitted_once_and_loaded_after(tmp_path, monkeypatch, task):
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 3 if task is CLASSES else torch.rand(24, generator=draws)
    images = Images(torch.randint(256, (24, 3, 8, 8), dtype=torch.uint8, generator=draws), labels)
    settings = Features(
        network="resnet8_x0_125" if task is CLASSES else None, width=2, size=32, steps=4, batch=8
    )

    def fitted(name: str) -> nn.Module:
        changed = preset.load("digits", ["data.size=8"]).model_copy(
            update={"dre_if_any": Dre(features=settings, steps=1)}
        )
        architecture = architectures.features(changed, task.outputs, images.normalisation())
        session = Session(tmp_path / name, "density ratio", 0, "digest", Machine("cpu"))
        return fit_features(task, images, settings, architecture, session)

    first, seen = fitted("a"), torch.rand(6, 3, 8, 8)
    assert first(seen).shape == (6, 32)
    assert first(seen).min() >= 0
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
    assert torch.equal(fitted("b")(seen), first(seen)), "in another folder the same bits"
    assert not [name for name in first.state_dict() if name.startswith("dec")], (
        "what only trains it is not kept"
    )
    monkeypatch.setattr(
        features, "fit_objective", lambda *given, **options: pytest.fail("trained again")
    )
    assert torch.equal(fitted("a")(seen), first(seen))
