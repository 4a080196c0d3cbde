"""Distillation methods: each is an objective, (images, labels) -> {name: weighted loss}, and
changes its images.

TAKD (Mirzadeh et al. 2020) is BLKD along a chain of teachers, so it has no objective of its own.
"""

from typing import Any

from torch import nn

from cgankd.data.images import Augmentation, Augmented
from cgankd.methods.blkd import Blkd
from cgankd.methods.nokd import Nokd
from cgankd.methods.sskd import Sskd, SskdHead
from cgankd.methods.teacher import Teacher
from cgankd.methods.uda import Uda
from cgankd.preset import Distill
from cgankd.task import Task

__all__ = ["SskdHead", "Teacher", "make_method"]


def make_method(
    name: str, task: Task, student: Any, teacher: Teacher | None, settings: Distill
) -> nn.Module:
    """The objective of a method's base name; `teacher` is absent only for nokd."""
    augmentation = Augmentation(settings.augment, settings.crop_padding)
    if teacher is None:
        assert name == "nokd", f"{name} needs a teacher"
        return Augmented(Nokd(task, student), augmentation)

    def blkd(label_weight: float, match_weight: float) -> Blkd:
        return Blkd(
            task,
            student,
            teacher,
            label_weight=label_weight,
            match_weight=match_weight,
            temperature=settings.temperature,
            mixup=settings.mixup,
        )

    match name:
        case "blkd" | "takd":
            return Augmented(blkd(settings.label_weight, settings.match_weight), augmentation)
        case "sskd":
            assert settings.sskd, "the preset has been checked for distill.sskd"
            return Sskd(task, student, teacher, settings.sskd, augmentation)
        case "blkd+uda":
            return Uda(blkd(settings.uda.label_weight, settings.uda.match_weight), augmentation)
    raise AssertionError(f"unknown method {name}")
