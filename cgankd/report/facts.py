"""The facts that the report takes from records, by kind of record."""

from dataclasses import dataclass, field
from typing import Any, Literal

from cgankd.label import Label, make_label

Share = Literal["proportional"] | float | None  # of fakes in a batch


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
    """What every record of a finished artefact says; of students no more is used."""

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
class Look:
    """The distance of the fakes of a GAN's average to the training images after a step."""

    step: int
    distance: float


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The step whose average of a GAN was kept, and all that it was compared with."""

    step: int
    looks: list[Look]


@dataclass(frozen=True, kw_only=True)
class Generator(Made):
    """The GAN; `kept` where the best of its averages was asked for."""

    kept: Kept | None = None


@dataclass(frozen=True, kw_only=True)
class Assistant(Made):
    """A student that has taught others."""

    network: str
    parameters: int
    fakes: int
    validation: float


@dataclass(frozen=True, kw_only=True)
class Ratio(Made):
    """The density ratio on fakes: its mean, the share that a weighted sample is worth, and how well
    it tells unseen real images from fakes.
    """

    mean_ratio: float
    effective_share: float
    auc: float | None = None


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
    images: str = ""  # where others have drawn them; empty: the GAN of the run has
    num_images: int = 0

    @property
    def names(self) -> list[str]:
        """The labels that were asked for, increasing, as people read them."""
        return [health.name for health in self.labels]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The students of one rho and one share of fakes in a batch, None is no fakes; with their
    paired difference to no fakes.
    """

    rho: float | None
    share: Share = None
    mean: float
    deviation: float | None
    num: int
    difference: float | None = None
    standard_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Search(Made):
    """The search for rho and the share of fakes; its rho is None where no fakes won."""

    rho: float | None
    share: Share = None
    best_rho: float
    best_share: Share = None
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
class Trained:
    """One student of a method, scored on validation rows."""

    row: str
    seed: int
    teacher: str
    assistant: str
    rho: float | None
    share: Share = None
    nfake: int | None = None
    file: str = ""
    network: str
    parameters: int
    steps: int
    fakes: int
    validation: float
    student: str

    @property
    def score(self) -> float:
        """By which it is compared with others."""
        return self.validation


@dataclass(frozen=True, kw_only=True)
class Member(Trained):
    """One student of a method or of the ablation, scored on test rows."""

    test: float
    parts: list[Part] = field(default_factory=list)

    @property
    def score(self) -> float:
        return self.test


@dataclass(frozen=True, kw_only=True)
class Curve(Made):
    """Students of several numbers of steps, scored on validation rows."""

    members: list[Trained]
    rows: int


@dataclass(frozen=True, kw_only=True)
class Distilled(Made):
    """The scored students of a method, or of the ablation."""

    members: list[Member]
    metric: str
    unit: str
    rows: int
    budget: Literal["steps", "epochs"]


@dataclass(frozen=True, kw_only=True)
class NetworkTime:
    """Of one kind of network: median milliseconds for one image, and for a batch; multiply-adds for
    an image.
    """

    network: str
    parameters: int
    multiply_adds: int
    one: float
    batch: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long the networks of a run take, on which machine; `images` are those of a batch."""

    images: int
    networks: list[NetworkTime]
    made_on: dict[str, Any]


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
class Window:
    """Some scores of one window, or of one label."""

    center: float
    num: int
    fid: float
    variance: float | None
    density: float | None
    coverage: float | None


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Scores over windows of the label."""

    windows: int
    left_out: int
    real: Counts
    fake: Counts
    fid: Spread | None
    matched: Spread | None
    variance: Spread | None = None
    density: Spread | None = None
    coverage: Spread | None = None
    label_score: Spread | None
    diversity: Spread | None
    parts: list[Window] | None = None


@dataclass(frozen=True, kw_only=True)
class Overall:
    """Scores of all labels together."""

    fid: float | None
    matched: float | None
    density: float | None
    coverage: float | None
    nearest: float
    copies: float


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The fakes after one step of the method, or real images in their place."""

    row: str
    num: int
    label_score: Spread | None
    sliding: Windows | None
    intra: Windows | None
    overall: Overall | None = None
    alone: float | None = None


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
class Finding:
    """What the scores mean, in words."""

    about: str
    is_fault: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Alone:
    """The students that learned from fakes alone, and what theirs is compared with."""

    network: str
    steps: int
    seed: int
    metric: str
    unit: str
    real: float
    constant: float


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Of the scores: the seed of draws, neighbours, the most images that are compared together."""

    seed: int
    neighbours: int
    most: int


@dataclass(frozen=True, kw_only=True)
class Evaluation(Made):
    """The scores of the fakes, with radius and centers of windows of a continuous label."""

    rows: list[Evaluated]
    verdict: list[Finding] | None = None
    alone: Alone | None = None
    features: Features
    judge: str
    unit: str
    radius: float | None
    centers: int | None
    protocol: Protocol | None = None
    leaky: bool
    types: Types | None
    missing: dict[Literal["intra", "diversity"], str] = field(default_factory=dict)
