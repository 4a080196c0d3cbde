"""What was published of a setting, for the report alone."""

from typing import Annotated

from pydantic import Field, model_validator

from cgankd.preset.base import Settings
from cgankd.preset.kinds import Cnn, Distinct, Error
from cgankd.preset.methods import Method


class PublishedResult(Settings):
    """A line of a published table: the test errors of one student by method, and that of its
    teacher.
    """

    teacher: Cnn
    teacher_error: Error
    assistant: Cnn | None = Field(default=None, description="of takd")
    student: Cnn
    errors: Annotated[dict[Method, Error], Field(min_length=1)]


class PublishedCurves(Settings):
    """The published test errors of nokd+fake by student, one for each number of fakes."""

    counts: Annotated[list[Annotated[int, Field(ge=0, le=10**8)]], Field(min_length=1), Distinct]
    errors: dict[Cnn, list[Error]]

    @model_validator(mode="after")
    def _lengths(self) -> "PublishedCurves":
        for student, errors in self.errors.items():
            if len(errors) != len(self.counts):
                raise ValueError(
                    f"{len(self.counts)} counts, but {len(errors)} errors of {student}"
                )
        return self


class PublishedAblation(Settings):
    """The published test errors of one student by row of the ablation."""

    student: Cnn
    errors: dict[str, Error]


class Paper(Settings):
    """What was published of this setting, for the report alone; errors in the unit of the task."""

    note: str = Field(default="", description="how the numbers came about")
    results: list[PublishedResult] = Field(default=[])
    nfake: PublishedCurves | None = None
    ablation: PublishedAblation | None = None
