"""The tables of a preset: one for each subcommand, frozen and checked. Steps are optimiser steps,
sizes are pixels or counts, fractions lie in [0, 1].
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cgankd.preset.kinds import Count, Fraction, Rate, Weight


class Settings(BaseModel):
    """A table of a preset: frozen, nothing unknown, no infinities, no strings for numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, serialize_by_alias=True
    )


class Training(Settings):
    """How a supervised network is trained."""

    steps: Count = Field(description="optimiser steps")
    batch: Count = Field(default=64, le=65536, description="images per step, over all processes")
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Rate = Field(default=0.1, description="at the first step")
    momentum: Fraction = Field(default=0.9, description="of sgd")
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)] = Field(
        default=[0.9, 0.999], description="of adam"
    )
    weight_decay: Weight = 0.0
    schedule: Literal["constant", "cosine", "steps"] = Field(
        default="cosine", description="of the learning rate"
    )
    milestones: list[Fraction] = Field(
        default=[], description="for `steps`: shares of the run after which it falls tenfold"
    )
    crop_padding: Annotated[int, Field(ge=0, le=512)] | None = Field(
        default=None,
        description="pixels by which `crop` shifts at most; default: an eighth of the side",
    )
    augment: list[Literal["crop", "flip", "contrast", "noise"]] = Field(
        default=[],
        description="random changes of the training images; contrast and noise keep a network "
        "from being thrown off by fakes, which are fainter and less clean than real images",
    )
