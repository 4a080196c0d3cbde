"""Distillation methods: each is an objective, (images, labels) -> {name: weighted loss}.

TAKD (Mirzadeh et al. 2020) is BLKD along a chain of teachers, so it has no objective of its own.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cgankd.methods.blkd import Blkd
from cgankd.methods.nokd import Nokd
from cgankd.preset import Distill
from cgankd.task import Task

Teacher = Callable[[Tensor], Tensor]


def frozen(network: nn.Module) -> Teacher:
    """The network as a function: in eval mode, without gradients, and no part of what is trained or saved."""
    network.eval().requires_grad_(False)

    def outputs(images: Tensor) -> Tensor:
        with torch.no_grad():
            return network(images)

    return outputs


def make_method(name: str, task: Task, student: nn.Module, teacher: Teacher | None, settings: Distill) -> nn.Module:
    """The objective of a method's base name; `teacher` is absent only for nokd."""
    if teacher is None:
        assert name == "nokd", f"{name} needs a teacher"
        return Nokd(task, student)
    assert name in ("blkd", "takd"), f"unknown method {name}"
    return Blkd(
        task,
        student,
        teacher,
        label_weight=settings.label_weight,
        match_weight=settings.match_weight,
        temperature=settings.temperature,
    )
