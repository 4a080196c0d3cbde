"""Baseline knowledge distillation (Hinton et al. 2015): labels, and the teacher's outputs.

For a continuous label the second term is the squared error to the teacher's value.
"""

from torch import Tensor, nn

from cgankd.methods.teacher import Teacher
from cgankd.task import Task


class Blkd(nn.Module):
    """Images (N, 3, S, S) in [-1, 1], labels (N,) -> both weighted terms."""

    def __init__(
        self,
        task: Task,
        student: nn.Module,
        teacher: Teacher,
        *,
        label_weight: float,
        match_weight: float,
        temperature: float,
    ) -> None:
        super().__init__()
        self.task, self.student, self.teacher = task, student, teacher
        self.label_weight = label_weight
        self.match_weight = match_weight
        self.temperature = temperature

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.student(images)
        match = self.task.match(outputs, self.teacher(images), self.temperature)
        return {
            "label": self.label_weight * self.task.loss(outputs, labels),
            "match": self.match_weight * match,
        }
