"""The facts that the report takes from records, by kind of record."""

from dataclasses import dataclass, field
from typing import Any, Literal

from cgankd.label import Label, make_label


@dataclass(frozen=True, kw_only=True)
class Split:
    num: int


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What says what the label is."""

    label: dict[str, Any]

    def __post_init__(self) -> None:
        try:
            make_label(self.label)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"label is {self.label}, expected the facts of one ({error})"
            ) from None

    @property
    def read_label(self) -> Label:
        return make_label(self.label)


@dataclass(frozen=True, kw_only=True)
class Data(Labelled):
    """data.json."""

    content: str
    rows: dict[str, Split]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What every record of a finished artefact says; of the GAN and of students no more is used."""

    cgankd: str
    command: str
    digest: str
    content: str
    inputs: dict[str, Any]
    files: dict[str, str]
    made_on: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Teacher(Made):
    parameters: int
    validation: float


@dataclass(frozen=True, kw_only=True)
class Ratio(Made):
    """The density ratio on fakes: its mean, and the share that a weighted sample is worth."""

    mean_ratio: float
    effective_share: float


@dataclass(frozen=True, kw_only=True)
class LabelHealth:
    """How rejection sampling went for one label."""

    label: float
    name: str
    acceptance: float
    clipped: float
    effective: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class FakePool(Labelled, Made):
    per_label: int
    num_accepted: int
    labels: list[LabelHealth]
    error_unit: str

    @property
    def names(self) -> list[str]:
        """The labels that were asked for, increasing, as people read them."""
        return [health.name for health in self.labels]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The students of one rho; None is no fakes."""

    rho: float | None
    mean: float
    deviation: float | None
    num: int


@dataclass(frozen=True, kw_only=True)
class Search(Made):
    """The search for rho; its rho is None where no fakes won."""

    rho: float | None
    best_rho: float
    standard_error: float | None
    table: list[Candidate]
    rows: int
    leaky: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """The test error of a part of the label; None where it has no images."""

    label: str
    images: int
    error: float | None


@dataclass(frozen=True, kw_only=True)
class Member:
    """One scored student of a method or of the ablation."""

    row: str
    seed: int
    teacher: str
    assistant: str
    rho: float | None
    nfake: int | None = None
    file: str = ""
    network: str
    parameters: int
    steps: int
    fakes: int
    validation: float
    test: float
    student: str
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Distilled(Made):
    """The scored students of a method, or of the ablation."""

    members: list[Member]
    metric: str
    unit: str
    rows: int
    budget: Literal["steps", "epochs"]


@dataclass(frozen=True, kw_only=True)
class Spread:
    mean: float
    deviation: float | None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Images of a kind in a window: in the one with the fewest, and in the median one."""

    min: float
    median: float


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Scores over windows of the label."""

    windows: int
    left_out: int
    real: Counts
    fake: Counts
    fid: Spread | None
    matched: Spread | None
    label_score: Spread | None
    diversity: Spread | None


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The fakes after one step of the method, or real images in their place."""

    row: str
    num: int
    label_score: Spread | None
    sliding: Windows | None
    intra: Windows | None


@dataclass(frozen=True, kw_only=True)
class Features:
    network: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Types:
    """The classifier of types."""

    network: str
    num: int
    maximum: float
    validation: float


@dataclass(frozen=True, kw_only=True)
class Evaluation(Made):
    rows: list[Evaluated]
    features: Features
    judge: str
    unit: str
    radius: float
    centers: int
    leaky: bool
    types: Types | None
    missing: dict[Literal["intra", "diversity"], str] = field(default_factory=dict)
