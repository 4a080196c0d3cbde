"""The table [data]: which images, and how they are split."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cgankd.label import KINDS, Label
from cgankd.preset.base import Settings
from cgankd.preset.kinds import Count, Place, check_shown, check_side
from cgankd.preset.sources import SOURCES, SourceFacts, check_source, with_fact

Text = Annotated[str, AfterValidator(check_shown)]


class Data(Settings):
    """Which images, and how they are split. Validation rows are seen by no upstream network."""

    source: Annotated[str, AfterValidator(check_source)]
    path: Place | None = Field(
        default=None,
        description="the file or folder of the images, for sources that need one",
    )
    test: Place | None = Field(
        default=None,
        description="the file or folder of the test images, where `path` has none",
    )
    size: Annotated[int, Field(ge=8, le=1024), AfterValidator(check_side)] = Field(
        default=16, description="side of the images in pixels"
    )
    num_train: Count | Literal["auto"] = Field(
        description="training images, evenly of the classes or steps; auto: the data's own "
        "splits, else 64 % of each"
    )
    num_validation: Count | Literal["auto"] = Field(
        description="images that only choose settings; auto: 16 % of each"
    )
    num_test: Count | None = Field(
        default=None, description="test images; default: all that the source has"
    )
    protocol: Literal["clean", "paper"] = Field(
        default="clean", description="paper: validation rows are training rows too, as published"
    )
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description="smallest and largest value of a continuous label; absent for classes",
    )
    unit: Text = Field(default="", max_length=32, description="of a continuous label, e.g. degrees")
    step: Annotated[float, Field(gt=0, le=10**6)] | None = Field(
        default=None,
        description="smallest difference between labels; they are rounded to its multiples, so "
        "that equal labels are "
        "equal",
    )
    min_per_label: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="training images of a class or step with fewer are repeated until it has as "
        "many",
    )
    skip_broken: bool = Field(
        default=False, description="leave out images that cannot be read, and count them"
    )
    allow_overlap: bool = Field(
        default=False,
        description="test on images that are trained on too, pixel for pixel, however many they "
        "are",
    )

    @model_validator(mode="after")
    def _label(self) -> "Data":
        if self.range and not self.range[0] < self.range[1]:
            raise ValueError("range: expected [smallest, largest]")
        if self.range and self.facts.kind:
            free = " and ".join(name for name, facts in SOURCES.items() if not facts.kind)
            raise ValueError(
                f"range: only {free} can hold a continuous label of your own, not {self.source}"
            )
        if self.step and not self.range:
            stepped = " and ".join(with_fact("own_step"))
            raise ValueError(
                f"step: only a label with range has one of your own; {stepped} know theirs"
            )
        if self.unit and not self.range:
            raise ValueError("unit: only a label with range has one of your own")
        if self.range and self.step and self.step > self.range[1] - self.range[0]:
            raise ValueError(f"step: {self.step:g} is more than range is wide")
        if (
            self.min_per_label
            and not self.label_kind.discrete
            and not (self.step or self.facts.own_step)
        ):
            raise ValueError(
                "min_per_label: of a continuous label step says which labels are equal, and it is "
                "missing"
            )
        return self

    @model_validator(mode="after")
    def _files(self) -> "Data":
        for key in ("path", "test"):
            if self.facts.embedded and getattr(self, key) is not None:
                raise ValueError(f"{key}: the images of {self.source} come without files")
        if self.test is not None and self.facts.own_test:
            raise ValueError(f"test: {self.source} has test images of its own")
        if self.test is not None and self.path is None and self.facts.path is None:
            raise ValueError(f"test: without path, {self.source} has test images of its own")
        if self.skip_broken and not self.facts.pictures:
            raise ValueError(
                f"skip_broken: {self.source} has no image files; {', '.join(with_fact('pictures'))}"
                " have"
            )
        if self.facts.needs_path and self.path is None:
            raise ValueError(f"path is missing: where are the images of the source {self.source}?")
        return self

    @model_validator(mode="after")
    def _auto(self) -> "Data":
        if (self.num_train == "auto") != (self.num_validation == "auto"):
            raise ValueError(
                "num_train and num_validation: auto stands for both of them or for neither"
            )
        if self.num_train == "auto" and not self.facts.own_sizes:
            raise ValueError(
                f"num_train: auto is for {', '.join(with_fact('own_sizes'))}; {self.source} needs "
                "numbers"
            )
        return self

    @property
    def facts(self) -> SourceFacts:
        """What is known of the source before data are read."""
        return SOURCES[self.source]

    @property
    def label_kind(self) -> type[Label]:
        """What is known of the label before any data are read."""
        return KINDS[self.facts.kind or ("continuous" if self.range else "class")]

    @property
    def numbers(self) -> list[int]:
        """Of the training and validation images; empty where the data decide."""
        return [
            number for number in (self.num_train, self.num_validation) if isinstance(number, int)
        ]
