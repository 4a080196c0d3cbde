"""Baseline knowledge distillation (Hinton et al. 2015): labels, and the teacher's outputs.

For a continuous label the second term is the squared error to the teacher's value. With `mixup`
both networks see images that are mixed in pairs: what the teacher says of a mixed image is then the
target (Beyer et al. 2022), and the loss on labels is that of both labels by their shares (Zhang et
al. 2018).
"""

from torch import Tensor, nn

from cgankd.data.images import mixed
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
        mixup: float = 0.0,
    ) -> None:
        super().__init__()
        self.task, self.student, self.teacher = task, student, teacher
        self.label_weight = label_weight
        self.match_weight = match_weight
        self.temperature = temperature
        self.mixup = mixup  # alpha of the shares; 0 mixes nothing
        self.draws_on_host = mixup > 0

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        others, share = None, 1.0
        if self.mixup:
            images, others, share = mixed(images, self.mixup)
        outputs = self.student(images)
        label = self.task.loss(outputs, labels)
        if others is not None:
            label = share * label + (1 - share) * self.task.loss(outputs, labels[others])
        match = self.task.match(outputs, self.teacher(images), self.temperature)
        return {"label": self.label_weight * label, "match": self.match_weight * match}
