"""Self-supervision knowledge distillation (SSKD, Xu et al. 2020): the teacher also teaches what it
finds similar.

Of B images each has four views, turned by 0, 90, 180 and 270 degrees: B upright ones, then 3 B
turned ones. Similarities (3 B, B) are the cosines between the projections of turned and upright
views.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgankd import preset
from cgankd.data.images import Augmentation, flip
from cgankd.losses import kept_kl, softened_kl
from cgankd.methods.teacher import Teacher
from cgankd.models.cnn import Cnn, Projection
from cgankd.task import Task


class SskdHead(nn.Module):
    """Trains the teacher's projection: which upright view does a turned one come from? The teacher
    stays as it is.
    """

    def __init__(self, teacher: Teacher, head: nn.Module, augmentation: Augmentation) -> None:
        super().__init__()
        self.teacher, self.head, self.augmentation = teacher, head, augmentation

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        scores = similarities(self.head(self.teacher.features(turned(images, self.augmentation))))
        return {"similarity": F.cross_entropy(scores, sources(scores))}


class Sskd(nn.Module):
    """Images (N, 3, S, S) in [-1, 1], classes (N,) -> the four weighted terms (Xu et al. 2020, eq.
    9).
    """

    def __init__(
        self,
        task: Task,
        student: Cnn,
        teacher: Teacher,
        settings: preset.SskdSettings,
        augmentation: Augmentation,
    ) -> None:
        super().__init__()
        self.task = task
        self.student = student
        self.teacher = teacher
        self.settings = settings
        self.augmentation = augmentation
        self.head = Projection(size=student.trunk.num_features)

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        own, num = self.settings, len(images)
        views = turned(images, self.augmentation)
        features = self.student.features(views)
        outputs = self.student.head(features)
        projected, taught = self.teacher.project(views)
        similar, taught_similar = similarities(self.head(features)), similarities(projected)
        right = kept(taught[num:], labels.repeat(3), own.keep_transform)
        alike = kept(taught_similar, sources(similar), own.keep_similarity)
        return {
            "label": own.label_weight * self.task.loss(outputs[:num], labels),
            "match": own.match_weight
            * softened_kl(outputs[:num], taught[:num], own.match_temperature),
            "transform": own.transform_weight
            * kept_kl(outputs[num:], taught[num:], own.transform_temperature, right),
            "similarity": own.similarity_weight
            * kept_kl(similar, taught_similar, own.similarity_temperature, alike),
        }


def turned(images: Tensor, augmentation: Augmentation) -> Tensor:
    """The four views (4 N, 3, S, S), counter-clockwise, each changed by itself."""
    # The whole image is flipped before it is turned, and each view once more, as published.
    whole = flip(images) if "flip" in augmentation.names else images
    return torch.cat([augmentation(whole.rot90(quarters, (2, 3))) for quarters in range(4)])


def similarities(projected: Tensor) -> Tensor:
    """Projections (4 N, D) of all views -> the cosines (3 N, N) of turned and upright ones."""
    upright, rest = F.normalize(projected).tensor_split([len(projected) // 4])
    return rest @ upright.T


def sources(scores: Tensor) -> Tensor:
    """For each turned view (3 N,) the upright one (of N) that it comes from."""
    return torch.arange(scores.shape[1], device=scores.device).repeat(3)


def kept(scores: Tensor, truth: Tensor, share: float) -> Tensor:
    """Which rows of the teacher's scores (R, K) count: all whose best column is `truth` (R,), and
    of the others the `share` (rounded down) in which the truth ranks best; ties in the order of
    rows.
    """
    rank = (scores > scores.gather(1, truth[:, None])).sum(1)
    place = rank.argsort(stable=True).argsort()
    num_right = (rank == 0).sum()
    return place < num_right + (share * (len(rank) - num_right)).floor()
