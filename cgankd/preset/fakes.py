"""The tables [dre], [generate] and [evaluate]: the density ratio, the pool of fakes,
their scores.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from cgankd.preset.base import Settings, Training
from cgankd.preset.gan import Width
from cgankd.preset.kinds import (
    MAX_LABELS,
    Cnn,
    Count,
    Distinct,
    Fraction,
    Place,
    RatioName,
    TeacherName,
    Weight,
)


class Features(Training):
    """The feature extractor of the density ratio: a CNN for classes, a sparse autoencoder for a
    continuous label.
    """

    network: Cnn | None = Field(default=None, description="trunk of the CNN, for classes")
    width: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=64, description="base channels of the autoencoder"
    )
    size: Annotated[int, Field(ge=16, le=65536, multiple_of=16)] = Field(
        description="number of features"
    )
    sparsity: Weight = Field(
        default=1e-3, description="weight of the mean feature in the autoencoder's loss"
    )


class Dre(Training):
    """Conditional density ratio estimation with the softplus loss in feature space (cDRE-F-SP)."""

    network: RatioName = "mlp5"
    width: Annotated[int, Field(ge=8, le=8192, multiple_of=8)] = Field(
        default=2048, description="first hidden width"
    )
    dropout: Fraction = 0.5
    penalty: Weight = Field(
        default=1e-3, description="lambda: weight of (mean ratio of fakes - 1)^2"
    )
    output: Literal["relu", "softplus"] = Field(
        default="relu", description="what keeps the ratio positive"
    )
    vicinity: Width | None = Field(
        default=None,
        description="for a continuous label: real images of other labels; default: of the label "
        "alone",
    )
    features: Features


class Spread(Settings):
    """Evenly spaced labels in their unit, both ends included."""

    first: float
    last: float
    step: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _whole(self) -> "Spread":
        steps = (self.last - self.first) / self.step
        if not 0 <= steps <= MAX_LABELS or abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"expected last = first + a whole number of steps, found {steps:.6g} steps"
            )
        return self

    @property
    def values(self) -> list[float]:
        num = round((self.last - self.first) / self.step)
        shares = [place / max(num, 1) for place in range(num + 1)]
        return [
            self.first * (1 - share) + self.last * share for share in shares
        ]  # the ends are exact


class Random(Settings):
    """Labels drawn uniformly from the whole range."""

    random: Annotated[Count, Field(le=MAX_LABELS)] = Field(description="how many")


def _shape(labels: Any) -> str:
    """Which way of asking for labels a value is, so that a fault is named once."""
    if isinstance(labels, dict | Settings):
        return (
            "as-random" if isinstance(labels, Random) or "random" in dict(labels) else "as-spread"
        )
    return "as-list" if isinstance(labels, list) else "as-count"


Values = Annotated[list[float], Field(min_length=1, max_length=MAX_LABELS), Distinct]


Labels = Annotated[
    Annotated[Count, Tag("as-count")]
    | Annotated[Values, Tag("as-list")]
    | Annotated[Spread, Tag("as-spread")]
    | Annotated[Random, Tag("as-random")],
    Discriminator(_shape),
]


class Generate(Settings):
    """The fake pool: draw, accept by the density ratio, score by the teacher."""

    teacher: TeacherName = Field(description="which of the teachers scores")
    per_label: Count = Field(
        description="images to accept for each label; of drawn `images` at most so many"
    )
    images: Place | None = Field(
        default=None,
        description="images that others have drawn, in the place of the GAN's: class folders, or "
        "an HDF5 with fake_images, fake_labels",
    )
    label_by_teacher: bool = Field(
        default=False,
        description="drawn `images` have no labels, or none to be used: the teacher gives them",
    )
    labels: Labels | None = Field(
        default=None,
        description="for a continuous label: how many evenly spaced labels; or a list in the "
        "label's unit; or "
        "{first, last, step}, both ends included; or {random} of them, drawn uniformly",
    )
    block: Annotated[int, Field(ge=2, le=65536)] = Field(
        default=256, description="images computed together"
    )
    burn_in: Count = Field(
        default=1000, description="images per bound from which the bound of the ratio is taken"
    )
    bound_quantile: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.99, description="larger ratios are clipped"
    )
    bound_bins: Count = Field(
        default=1, description="for a continuous label: ranges of labels with a bound of their own"
    )
    max_proposals: Count = Field(
        default=100, description="proposals per image to accept after which a label has failed"
    )

    @model_validator(mode="after")
    def _drawn(self) -> "Generate":
        if self.label_by_teacher and self.images is None:
            raise ValueError("label_by_teacher: only images that others have drawn lack labels")
        return self

    @property
    def values(self) -> list[float]:
        """The labels that are named, in their unit; none where their number is, or where `images`
        have their own.
        """
        if self.images is not None:
            return []
        if isinstance(self.labels, Spread):
            return self.labels.values
        return self.labels if isinstance(self.labels, list) else []

    @property
    def num_labels(self) -> int | None:
        """How many labels of a continuous label are asked for."""
        if isinstance(self.labels, Random):
            return self.labels.random
        return self.labels if isinstance(self.labels, int) else len(self.values) or None


class Types(Training):
    """The classifier of types: what the images of one label differ in, e.g. which digit
    is turned.
    """

    network: Cnn


class Evaluate(Settings):
    """Scores of the fakes: distances to real images, variance, copies, and students of fakes alone;
    of a continuous label in windows of it.
    """

    radius: Annotated[float, Field(gt=0, le=10**6)] | None = Field(
        default=None,
        description="for a continuous label: of a window, in the label's unit; default: an "
        "eighteenth of its range",
    )
    centers: Annotated[int, Field(ge=1, le=10**5)] | None = Field(
        default=None,
        description="for a continuous label: windows, evenly spaced over its range; default: 9",
    )
    types: Types | None = Field(
        default=None, description="for a continuous label: for diversity, where the data have types"
    )
    student: Cnn | Literal["none"] | None = Field(
        default=None,
        description="network that is trained on fakes alone, or none; default: the student of the "
        "first of distill.pairs",
    )
    steps: Count | None = Field(
        default=None, description="optimiser steps of that student; default: distill.steps"
    )
