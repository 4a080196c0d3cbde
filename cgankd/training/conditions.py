"""What labels become for GAN and ratio: the class itself, or a trained embedding of a continuous
label.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cgankd.data.batches import Batches, Images
from cgankd.data.images import Augmentation
from cgankd.models import architectures, make_network
from cgankd.models.saved import load_network
from cgankd.preset import Embedding
from cgankd.randomness import seed_everything
from cgankd.task import Task
from cgankd.training.loop import fit, fit_objective
from cgankd.training.machine import Machine
from cgankd.training.session import Session, train_or_load
from cgankd.training.updates import Supervised


def fit_condition(
    task: Task, images: Images, settings: Embedding | None, session: Session
) -> nn.Module:
    """Trains the condition, or loads it where an interrupted run or an import has left it; kept in
    the session's folder as `condition`, and what it was trained with as `embedding`.
    """
    architecture = architectures.condition(settings, task.num_classes)

    def train() -> nn.Module:
        if settings is None:  # classes are conditions as they are
            return make_network(architecture)
        return _fit_embedding(task, images, settings, architecture, session)

    return train_or_load(train, session=session, file="condition", architecture=architecture)


def read_labels(settings: Embedding, session: Session) -> Callable[[Tensor], Tensor]:
    """`reader` of the network that the condition of the session's folder was trained with."""
    network = load_network(session.folder, "embedding", session.machine.device)
    return reader(network, settings, session.machine)


def reader(network: Any, settings: Embedding, machine: Machine) -> Callable[[Tensor], Tensor]:
    """Images (N, 3, S, S) -> labels (N, 1), as the network reads them through the random changes
    that it was trained with: a generator finds it harder to mislead. In the precision of a network
    of its kind.
    """
    machine = machine.training(settings.network)
    augmentation = Augmentation(settings.images.augment, settings.images.crop_padding)

    def read(images: Tensor) -> Tensor:
        with machine.autocast():
            return network.read(augmentation(images)).float()

    return read


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
    session: Session,
) -> nn.Module:
    """Trains image -> h -> label, then label -> h against the frozen h -> label; returns the
    last.
    """
    seed, machine = session.seed, session.machine
    seed_everything(seed, "condition", "weights")
    trunk = architectures.embedding(settings, images.side, images.normalisation())
    image_network, label_network = make_network(trunk), make_network(architecture)

    def train_images() -> nn.Module:
        batches = Batches(
            images,
            settings.images.batch,
            seed=seed,
            stream="embedding images",
            process=machine.process,
        )
        part = session.part("embedding-images", "image embedding")
        fit_objective(EmbedImages(task, image_network), batches, settings.images, part)
        return image_network

    embedding: Any = train_or_load(
        train_images, session=session, file="embedding", architecture=trunk
    )
    # A function, so that what reads labels back is no part of what is trained and saved.
    objective = EmbedLabels(task, label_network, lambda h: embedding.label(h), settings.noise)
    fit(
        Supervised(machine, objective, settings.labels),
        LabelBatches(images.labels.unique(), settings.labels.batch, seed, machine),
        steps=settings.labels.steps,
        session=session.part("embedding-labels", "label embedding"),
    )
    return label_network


class LabelBatches:
    """Batches of distinct labels (N,) in the place of images and of labels."""

    def __init__(self, labels: Tensor, size: int, seed: int, machine: Machine) -> None:
        empty = torch.empty(len(labels), 0, dtype=torch.uint8, device=labels.device)
        self.labels = labels
        self.batches = Batches(
            Images(empty, labels),
            size,
            seed=seed,
            stream="embedding labels",
            process=machine.process,
        )

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        labels = self.labels[self.batches.rows(step)]
        return labels, labels
