"""The feature space of the density ratio: a CNN's wide layer, or a sparse autoencoder's code."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from cgankd.data.batches import Batches, Images
from cgankd.models import make_network
from cgankd.models.autoencoder import SparseDecoder
from cgankd.preset import Features
from cgankd.randomness import seed_everything
from cgankd.task import Task
from cgankd.training.loop import fit_objective
from cgankd.training.session import Session, train_or_load


class CnnFeaturesObjective(nn.Module):
    """The task's loss of the logits that stand on the features."""

    def __init__(self, task: Task, network: Any) -> None:
        super().__init__()
        self.task, self.network = task, network

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"label": self.task.loss(self.network.outputs(self.network(images)), labels)}


class AutoencoderObjective(nn.Module):
    """Reconstruction, sparsity of the code, and the label predicted from it (cGAN-KD,
    supplement).
    """

    def __init__(self, task: Task, network: nn.Module, decoder: nn.Module, sparsity: float) -> None:
        super().__init__()
        self.task, self.network, self.decoder, self.sparsity = task, network, decoder, sparsity

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        features = self.network(images)
        decoded, outputs = self.decoder(features)
        return {
            "image": F.mse_loss(decoded, images),
            "sparsity": self.sparsity * features.mean(),
            "label": self.task.loss(outputs, labels),
        }


def fit_features(
    task: Task,
    images: Images,
    settings: Features,
    architecture: dict[str, Any],
    session: Session,
) -> nn.Module:
    """Trains the extractor of an architecture, or loads it where an interrupted run or an import
    has left it; kept in the session's folder as `features`.
    """

    def train() -> nn.Module:
        seed_everything(session.seed, "features", "weights")
        network = make_network(architecture)
        batches = Batches(
            images,
            settings.batch,
            seed=session.seed,
            stream="features",
            process=session.machine.process,
        )
        part = session.part("features-training", "feature extractor")
        objective = make_objective(task, network, images.side, settings)
        fit_objective(objective, batches, settings, part)
        return network

    return train_or_load(train, session=session, file="features", architecture=architecture)


def make_objective(task: Task, network: nn.Module, side: int, settings: Features) -> nn.Module:
    """What an extractor for images of that side is trained by."""
    if settings.network:
        return CnnFeaturesObjective(task, network)
    decoder = SparseDecoder(side=side, width=settings.width, size=settings.size)
    return AutoencoderObjective(task, network, decoder, settings.sparsity)
