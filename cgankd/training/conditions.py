"""What labels become for GAN and ratio: the class itself, or a trained embedding of a continuous
label.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgankd.data.batches import Batches, Images
from cgankd.models import architectures, make_network
from cgankd.models.saved import load_network, save_network
from cgankd.preset import Embedding
from cgankd.randomness import seed_everything
from cgankd.task import Task
from cgankd.training.loop import fit, fit_objective
from cgankd.training.machine import Machine
from cgankd.training.updates import Supervised


def fit_condition(
    task: Task,
    images: Images,
    settings: Embedding | None,
    *,
    folder: Path,
    seed: int,
    digest: str,
    machine: Machine,
) -> nn.Module:
    """Trains the condition, or loads it where an interrupted run or an import has left it; saved as
    folder/condition.

    So it is with folder/embedding, the network from images to h.
    """
    if machine.found(folder / "condition.json"):
        return load_network(folder, "condition", machine.device)
    architecture = architectures.condition(settings, task.outputs)
    if settings is None:
        network = make_network(architecture)
    else:
        network = _fit_embedding(
            task, images, settings, architecture, folder, seed, digest, machine
        )
    if machine.is_main:
        save_network(folder, "condition", network, architecture)
    machine.barrier()
    return network.to(machine.device).eval().requires_grad_(False)


class EmbedImages(nn.Module):
    """Image -> h -> label: the squared error of the label read back."""

    def __init__(self, task: Task, network: Any) -> None:
        super().__init__()
        self.task, self.network = task, network

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"label": self.task.loss(self.network.label(self.network(images)), labels)}


class EmbedLabels(nn.Module):
    """Label -> h, such that the frozen `read` gives the label back; labels get noise of deviation
    `noise`.

    `labels` (N,) come in the place of images: the training labels are all it sees.
    """

    def __init__(self, task: Task, network: Any, read: Any, noise: float) -> None:
        super().__init__()
        self.task, self.network, self.read, self.noise = task, network, read, noise

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        noisy = (labels + self.noise * torch.randn_like(labels)).clamp(0, 1)
        return {"label": self.task.loss(self.read(self.network(noisy)), noisy)}


def _fit_embedding(
    task: Task,
    images: Images,
    settings: Embedding,
    architecture: dict[str, Any],
    folder: Path,
    seed: int,
    digest: str,
    machine: Machine,
) -> nn.Module:
    seed_everything(seed, "condition", "weights")
    trunk = architectures.embedding(settings, images.side, images.normalisation())
    image_network: Any
    image_network, label_network = make_network(trunk), make_network(architecture)
    if machine.found(folder / "embedding.json"):
        image_network = load_network(folder, "embedding", machine.device)
    else:
        batches = Batches(
            images, settings.images.batch, seed=seed, stream="embedding images", share=machine.share
        )
        fit_objective(
            EmbedImages(task, image_network),
            batches,
            settings.images,
            folder=folder / "embedding-images",
            name="image embedding",
            seed=seed,
            digest=digest,
            machine=machine,
        )
        if machine.is_main:
            save_network(folder, "embedding", image_network, trunk)
        machine.barrier()
    read = image_network.to(machine.device).eval().requires_grad_(False).label
    distinct = images.labels.unique()
    labels = LabelBatches(distinct, settings.labels.batch, seed, machine)
    update = Supervised(
        machine,
        EmbedLabels(task, label_network, lambda h: read(h), settings.noise),
        settings.labels,
    )
    fit(
        update,
        labels,
        steps=settings.labels.steps,
        folder=folder / "embedding-labels",
        name="label embedding",
        seed=seed,
        digest=digest,
        machine=machine,
    )
    return label_network


class LabelBatches:
    """Batches of distinct labels (N,) in the place of images and of labels."""

    def __init__(self, labels: Tensor, size: int, seed: int, machine: Machine) -> None:
        empty = torch.empty(len(labels), 0, dtype=torch.uint8)
        self.labels = labels
        self.batches = Batches(
            Images(empty, labels), size, seed=seed, stream="embedding labels", share=machine.share
        )

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        labels = self.labels[self.batches.rows(step).to(self.labels.device)]
        return labels, labels
