"""The feature space of the density ratio: a CNN's wide layer, or a sparse autoencoder's code."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from cgankd.data.batches import Batches, Images
from cgankd.models import make_network
from cgankd.models.autoencoder import SparseDecoder
from cgankd.models.saved import load_network, save_network
from cgankd.preset import Features
from cgankd.randomness import seed_everything
from cgankd.task import Task
from cgankd.training.loop import fit_objective
from cgankd.training.machine import Machine


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
    *,
    folder: Path,
    seed: int,
    digest: str,
    machine: Machine,
) -> nn.Module:
    """Trains the extractor of a design, or loads it where an interrupted run has left it; saved as
    folder/features.
    """
    if machine.found(folder / "features.json"):
        return load_network(folder, "features", machine.device)
    seed_everything(seed, "features", "weights")
    network = make_network(architecture)
    if task.features == "cnn":
        objective: nn.Module = CnnFeaturesObjective(task, network)
    else:
        decoder = SparseDecoder(side=images.side, width=settings.width, size=settings.size)
        objective = AutoencoderObjective(task, network, decoder, settings.sparsity)
    batches = Batches(images, settings.batch, seed=seed, stream="features", share=machine.share)
    fit_objective(
        objective,
        batches,
        settings,
        folder=folder / "features-training",
        name="feature extractor",
        seed=seed,
        digest=digest,
        machine=machine,
    )
    if machine.is_main:
        save_network(folder, "features", network, architecture)
    machine.barrier()
    return network.eval().requires_grad_(False)
