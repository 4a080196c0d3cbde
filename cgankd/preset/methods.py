"""The distillation methods: what each needs and reads, and the tables of their settings.

cgankd/methods holds the objective of each.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from cgankd.preset.base import Settings, Training
from cgankd.preset.kinds import Fraction, Weight, did_you_mean


@dataclass(frozen=True)
class MethodFacts:
    """What a method is known by before anything is trained."""

    settings: tuple[str, ...] = ()  # keys of [distill] that change its students
    teacher: bool = True
    assistant: bool = False  # an assistant between teacher and student, paired with it by seed
    head: bool = False  # a projection head of the teacher, which all seeds share
    distribution: bool = False  # only where networks answer with a distribution over labels
    views: int = 1  # of each image in a step


BLKD = ("label_weight", "match_weight", "temperature", "mixup")
METHODS = {
    "nokd": MethodFacts(teacher=False),
    "blkd": MethodFacts(BLKD),
    "takd": MethodFacts(BLKD, assistant=True),
    "sskd": MethodFacts(("sskd",), head=True, distribution=True, views=4),
    "blkd+uda": MethodFacts(("uda", "temperature", "mixup"), distribution=True, views=2),
}


def check_method(name: str) -> str:
    """A method of the table, on real images alone or, with +fake, on real and fake images."""
    name = {"fake": "nokd+fake"}.get(name, name)
    base = base_of(name)
    if base not in METHODS:
        raise ValueError(f"unknown method{did_you_mean(base, METHODS)}, each also with +fake")
    return name


def base_of(name: str) -> str:
    """The method, whether it is to see fakes or not."""
    return name.removesuffix("+fake")


def uses_fakes(name: str) -> bool:
    """Whether students of the method see fakes beside real images."""
    return name.endswith("+fake")


Method = Annotated[str, AfterValidator(check_method)]


class SskdSettings(Settings):
    """Self-supervision knowledge distillation (Xu et al. 2020): weights, temperatures, share of
    wrong rows kept.
    """

    label_weight: Weight = Field(default=0.1, description="of the loss on labels")
    match_weight: Weight = Field(
        default=0.9, description="of the KL to the teacher on upright images"
    )
    transform_weight: Weight = Field(
        default=2.7, description="of the KL to the teacher on turned images"
    )
    similarity_weight: Weight = Field(default=10.0, description="of the KL between similarities")
    match_temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    transform_temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    similarity_temperature: Annotated[float, Field(gt=0, le=100)] = 0.5
    keep_transform: Fraction = Field(
        default=1.0, description="share of the teacher's wrong rows that count"
    )
    keep_similarity: Fraction = Field(
        default=0.75, description="share of the teacher's wrong similarities that count"
    )
    head: Training = Field(description="training of the teacher's projection head")


class UdaSettings(Settings):
    """BLKD on a plain and on an AutoAugment view (after Xie et al. 2020), averaged over the two."""

    label_weight: Weight = Field(default=0.5, description="of the loss on labels")
    match_weight: Weight = Field(default=0.5, description="of T^2 KL to the teacher")


class MethodSettings(Training):
    """The settings of the methods, which are part of [distill]."""

    label_weight: Weight = Field(
        default=0.5, description="blkd, takd: weight of the loss on labels"
    )
    match_weight: Weight = Field(
        default=0.5, description="blkd, takd: weight of the loss on the teacher's outputs"
    )
    temperature: Annotated[float, Field(gt=0, le=100)] = Field(
        default=5.0, description="of the softened distributions"
    )
    mixup: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.0,
        description="blkd, takd, blkd+uda: alpha of mixup, by which images are mixed in pairs "
        "before student and teacher see them; 0: none",
    )
    sskd: SskdSettings | None = Field(default=None, description="needed by the method sskd")
    uda: UdaSettings = UdaSettings()
