"""No distillation: the student learns from labels alone. With fakes in the data this is cGAN-KD
(Ding et al.).
"""

from torch import Tensor, nn

from cgankd.task import Task


class Nokd(nn.Module):
    """Images (N, 3, S, S) in [-1, 1], labels (N,) -> the task's loss."""

    def __init__(self, task: Task, student: nn.Module) -> None:
        super().__init__()
        self.task, self.student = task, student

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"label": self.task.loss(self.student(images), labels)}
