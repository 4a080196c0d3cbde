"""The table [gan]: the conditional GAN, its label embedding and its vicinity."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cgankd.preset.base import Settings, Training
from cgankd.preset.kinds import (
    Cnn,
    Count,
    Fraction,
    GanName,
    Rate,
    Weight,
)


class Embedding(Settings):
    """The label embedding of a continuous label (CcGAN, Ding et al. 2021): image -> h -> label,
    then label -> h.
    """

    network: Cnn = Field(description="trunk of the network from images to h")
    size: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] = Field(
        default=128, description="width of h"
    )
    images: Training = Field(description="training of image -> h -> label")
    labels: Training = Field(description="training of label -> h against the frozen h -> label")
    noise: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.2, description="deviation added to labels in [0, 1]"
    )

    @model_validator(mode="after")
    def _no_images(self) -> "Embedding":
        if self.labels.augment:
            raise ValueError("labels.augment: labels are numbers, there is nothing to augment")
        return self


class Width(Settings):
    """Which real images count for a continuous label: of one width, in label gaps or of labels in
    [0, 1].
    """

    kind: Literal["hard", "soft"] = "soft"
    gaps: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None,
        description="width in largest gaps between training labels; default, where no other width "
        "is: 2",
    )
    kappa: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="hard, in the place of gaps: largest distance of labels in [0, 1]"
    )
    nu: Annotated[float, Field(gt=0, le=1e12)] | None = Field(
        default=None,
        description="soft, in the place of gaps: weights are exp(-nu distance^2) of labels in [0, "
        "1]",
    )

    @model_validator(mode="before")
    @classmethod
    def _default(cls, table: Any) -> Any:
        given = not isinstance(table, dict) or any(
            table.get(key) is not None for key in ("gaps", "kappa", "nu")
        )
        return table if given else {**table, "gaps": 2.0}

    @model_validator(mode="after")
    def _one(self) -> "Width":
        given = [key for key in ("gaps", "kappa", "nu") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"found {' and '.join(given)}: expected one width")
        if given == [wrong := {"hard": "nu", "soft": "kappa"}[self.kind]]:
            raise ValueError(
                f"found {wrong}: a {self.kind} vicinity has gaps or "
                f"{'kappa' if wrong == 'nu' else 'nu'}"
            )
        return self


class VicinitySettings(Width):
    """The vicinity of CcGAN (HVDL and SVDL)."""

    sigma: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="label noise; default: rule of thumb"
    )
    generator_labels: Literal["fresh", "judged"] = Field(
        default="fresh",
        description="of a generator step: drawn anew, or those of the last discriminator step, as "
        "published for RC-49",
    )


class Gan(Settings):
    """The conditional GAN; its moving average is what later stages use."""

    network: GanName
    loss: Literal["hinge", "vanilla"] = Field(
        default="hinge", description="vanilla: the cross entropy of real or fake"
    )
    width: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=64, description="base number of channels"
    )
    shared: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None,
        description="biggan: width of one embedding of the class for all blocks, each with its "
        "part of z",
    )
    attention: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        default=None, description="biggan: side of the maps that attend to each other"
    )
    tapered: bool = Field(
        default=False,
        description="biggan: up to side 32 maps that are wider the smaller they are, as from side "
        "64 on",
    )
    grey: bool = Field(
        default=False,
        description="where no training image has a colour, the generator draws one channel and "
        "gives it as all three",
    )
    latent: Count = Field(default=128, description="size of the latent vector z")
    steps: Count = Field(description="generator steps")
    batch: Count = Field(
        default=64, le=65536, description="images per generator step and per discriminator step"
    )
    discriminator_steps: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1, description="discriminator steps per generator step"
    )
    learning_rate: Rate = 2e-4
    discriminator_learning_rate: Rate | None = Field(
        default=None, description="of the discriminator; default: the same"
    )
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)] = Field(
        default=[0.0, 0.999]
    )
    flip: bool = Field(default=False, description="mirror real images at random")
    diffaugment: list[Literal["color", "translation", "cutout"]] = Field(
        default=[], description="on all the discriminator sees"
    )
    diversity: Weight = Field(
        default=0.0,
        description="for classes: weight of a term against fakes of a class that vary less than "
        "its real images",
    )
    auxiliary: Weight = Field(
        default=0.0,
        description="for a continuous label: weight of the squared error of the label that the "
        "image network of gan.embedding reads in the generator's images",
    )
    auxiliary_every: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="generator steps from one with that term to the next, where its weight is as "
        "many times as large",
    )
    reuse_fakes: bool = Field(
        default=False,
        description="a generator step learns from the fakes of the last discriminator step, with "
        "their labels, and draws none of its own",
    )
    ema_decay: Fraction = Field(default=0.999, description="of the generator's moving average")
    ema_start: Annotated[int, Field(ge=0)] = Field(
        default=0, description="step before which the average is a plain copy"
    )
    keep: Literal["last", "best"] = Field(
        default="last",
        description="which average later stages get: the last, or of those at each tenth of the "
        "steps the one whose fakes are nearest to the training images",
    )
    standing: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=0,
        description="batches of 64 from which the average's batch norm takes its statistics anew; "
        "0: it has those of the last generator, as published",
    )
    embedding: Embedding | None = Field(default=None, description="for a continuous label")
    vicinity: VicinitySettings | None = Field(default=None, description="for a continuous label")
