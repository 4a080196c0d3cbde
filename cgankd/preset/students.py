"""The tables of teachers and students: [teacher], [rho], [distill], and [report]."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cgankd.preset.base import Settings, Training
from cgankd.preset.kinds import (
    Count,
    Distinct,
    Head,
    Nfake,
    Seeds,
    TeacherName,
    check_batch,
    check_chain,
)
from cgankd.preset.methods import Method, MethodSettings


class TeacherSettings(Training):
    """The teachers: one filters and relabels the fakes, others may distil."""

    networks: Annotated[list[TeacherName], Field(min_length=1), Distinct] = Field(
        description="also of other libraries: timm/resnet26, torchvision/resnet18"
    )
    head: Head = None
    input_size: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        default=None,
        description="side to which images are brought for networks of other libraries; default: "
        "that which each was designed for",
    )
    tune: bool = Field(
        default=False,
        description="the weights named with --from are where training begins, not what it makes",
    )

    @model_validator(mode="after")
    def _batch(self) -> "TeacherSettings":
        check_batch(self.head, self.batch)
        return self


BatchShare = Annotated[float, Field(gt=0, lt=1)]


class Search(Settings):
    """The search for rho, the share of fakes that the teacher's error keeps, and for the share of
    fakes in a batch.
    """

    grid: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1), Distinct]
    shares: Annotated[list[BatchShare], Field(min_length=1), Distinct] | None = Field(
        default=None,
        description="shares of fakes in a batch to try with every rho; default: "
        "distill.fake_share alone",
    )
    seeds: Seeds = Field(
        default=[0, 1, 2, 3, 4],
        description="of the students, by which no fakes and each candidate are paired",
    )


class Distill(MethodSettings):
    """The students."""

    methods: Annotated[list[Method], Field(min_length=1), Distinct]
    pairs: Annotated[
        list[Annotated[list[str], Field(min_length=3, max_length=3), AfterValidator(check_chain)]],
        Field(min_length=1),
    ] = Field(description="[teacher, assistant, student], the assistant for takd")
    seeds: Seeds
    rho: Annotated[float, Field(gt=0, le=1)] | Literal["selected", "none"] = "selected"
    relabel: Literal["hard", "keep", "unclipped", "mean"] = Field(
        default="hard",
        description="labels of fakes: the teacher's, those asked for, or, for a continuous label, "
        "the teacher's beyond its range too, or the mean of the teacher's and those asked for",
    )
    filter_bins: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1,
        description="for a continuous label: equal ranges of it, in each of which the share rho "
        "is kept",
    )
    nfake: Nfake = Field(
        default=None,
        description="fakes to draw, for classes balanced by label; a list: one row each; default: "
        "all",
    )
    fake_share: BatchShare | Literal["proportional"] = Field(
        default=0.5,
        description="share of fakes in a batch; where rho is selected and rho.shares are given, "
        "the search chooses among those",
    )
    head: Head = None
    budget: Literal["steps", "epochs"] = Field(
        default="steps", description="what runs with and without fakes have in common"
    )
    epochs: Count | None = Field(default=None, description="for the budget `epochs`")

    @model_validator(mode="after")
    def _epochs(self) -> "Distill":
        if (self.budget == "epochs") != (self.epochs is not None):
            raise ValueError('budget = "epochs" and the key epochs go together')
        if self.batch < 2 and self.fake_share != "proportional":
            raise ValueError("batch: a batch of 1 cannot hold real and fake images")
        check_batch(self.head, self.batch)
        return self


class Report(Settings):
    """The report."""

    columns: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="fakes shown per label"
    )
