"""The tables of a preset: one for each subcommand, frozen and checked. Steps are optimiser steps, sizes are pixels or
counts, fractions lie in [0, 1].
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from cgankd.preset.kinds import (
    MAX_LABELS,
    OWN_SIZES,
    STEPPED,
    Cnn,
    Count,
    Distinct,
    Fraction,
    GanName,
    Head,
    Method,
    Nfake,
    Rate,
    RatioName,
    Seeds,
    Weight,
    check_batch,
    check_side,
)


class Table(BaseModel):
    """A table of a preset: frozen, nothing unknown, no infinities, no strings for numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Recipe(Table):
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
    schedule: Literal["constant", "cosine", "steps"] = Field(default="cosine", description="of the learning rate")
    milestones: list[Fraction] = Field(
        default=[], description="for `steps`: shares of the run after which it falls tenfold"
    )
    augment: list[Literal["crop", "flip"]] = Field(default=[], description="random changes of the training images")


class Data(Table):
    """Which images, and how they are split. Validation rows are seen by no upstream network."""

    source: Literal["digits", "digits-angle", "cifar10", "tiny-imagenet", "rc49", "utkface", "h5", "folder", "csv"]
    path: str | None = Field(default=None, description="the file or folder of the images, for sources that need one")
    test: str | None = Field(default=None, description="the file or folder of the test images, where `path` has none")
    size: Annotated[int, Field(ge=8, le=1024), AfterValidator(check_side)] = Field(
        default=16, description="side of the images in pixels"
    )
    num_train: Count | Literal["auto"] = Field(
        description="training images, evenly of the classes or steps; auto: the data's own splits, else 64 % of each"
    )
    num_validation: Count | Literal["auto"] = Field(description="images that only choose settings; auto: 16 % of each")
    num_test: Count | None = Field(default=None, description="test images; default: all that the source has")
    protocol: Literal["clean", "paper"] = Field(
        default="clean", description="paper: validation rows are training rows too, as published"
    )
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="smallest and largest value of a continuous label; absent for classes"
    )
    unit: str = Field(default="", max_length=32, description="of a continuous label, e.g. degrees")
    step: Annotated[float, Field(gt=0, le=10**6)] | None = Field(
        default=None,
        description="smallest difference between labels; they are rounded to its multiples, so that equal labels are "
        "equal",
    )
    min_per_label: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="training images of a class or step with fewer are repeated until it has as many"
    )
    skip_broken: bool = Field(default=False, description="leave out images that cannot be read, and count them")

    @model_validator(mode="after")
    def _label(self) -> "Data":
        if self.range and not self.range[0] < self.range[1]:
            raise ValueError("range: expected [smallest, largest]")
        if self.range and self.source not in ("h5", "csv"):
            raise ValueError(f"range: only h5 and csv can hold a continuous label of your own, not {self.source}")
        if self.step and not self.range:
            raise ValueError("step: only a label with range has one of your own; rc49 and utkface know theirs")
        if self.range and self.step and self.step > self.range[1] - self.range[0]:
            raise ValueError(f"step: {self.step:g} is more than range is wide")
        if self.min_per_label and self.continuous and not self.step and self.source not in STEPPED:
            raise ValueError("min_per_label: of a continuous label step says which labels are equal, and it is missing")
        if self.test and self.source in STEPPED:
            raise ValueError(f"test: {self.source} has test images of its own")
        if self.source in ("h5", "folder", "csv") and self.path is None:
            raise ValueError(f"path is missing: where are the images of the source {self.source}?")
        return self

    @model_validator(mode="after")
    def _auto(self) -> "Data":
        if (self.num_train == "auto") != (self.num_validation == "auto"):
            raise ValueError("num_train and num_validation: auto stands for both of them or for neither")
        if self.num_train == "auto" and self.source not in OWN_SIZES:
            raise ValueError(f"num_train: auto is for {', '.join(OWN_SIZES)}; {self.source} needs numbers")
        return self

    @property
    def continuous(self) -> bool:
        """Whether the label is a number rather than a class; known before data is read."""
        return self.source in ("digits-angle", *STEPPED) or self.range is not None

    @property
    def numbers(self) -> list[int]:
        """Of the training and validation images; empty where the data decide."""
        return [number for number in (self.num_train, self.num_validation) if isinstance(number, int)]


class Embedding(Table):
    """The label embedding of a continuous label (CcGAN, Ding et al. 2021): image -> h -> label, then label -> h."""

    network: Cnn = Field(description="trunk of the network from images to h")
    size: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] = Field(default=128, description="width of h")
    images: Recipe = Field(description="training of image -> h -> label")
    labels: Recipe = Field(description="training of label -> h against the frozen h -> label")
    noise: Annotated[float, Field(ge=0, le=1)] = Field(default=0.2, description="deviation added to labels in [0, 1]")

    @model_validator(mode="after")
    def _no_images(self) -> "Embedding":
        if self.labels.augment:
            raise ValueError("labels.augment: labels are numbers, there is nothing to augment")
        return self


class Width(Table):
    """Which real images count for a continuous label: of one width, in label gaps or of labels in [0, 1]."""

    kind: Literal["hard", "soft"] = "soft"
    gaps: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None, description="width in largest gaps between training labels; default, where no other width is: 2"
    )
    kappa: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="hard, in the place of gaps: largest distance of labels in [0, 1]"
    )
    nu: Annotated[float, Field(gt=0, le=1e12)] | None = Field(
        default=None, description="soft, in the place of gaps: weights are exp(-nu distance^2) of labels in [0, 1]"
    )

    @model_validator(mode="before")
    @classmethod
    def _default(cls, table: Any) -> Any:
        given = not isinstance(table, dict) or any(table.get(key) is not None for key in ("gaps", "kappa", "nu"))
        return table if given else {**table, "gaps": 2.0}

    @model_validator(mode="after")
    def _one(self) -> "Width":
        given = [key for key in ("gaps", "kappa", "nu") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"found {' and '.join(given)}: expected one width")
        if given == [wrong := {"hard": "nu", "soft": "kappa"}[self.kind]]:
            raise ValueError(f"found {wrong}: a {self.kind} vicinity has gaps or {'kappa' if wrong == 'nu' else 'nu'}")
        return self


class Vicinity(Width):
    """The vicinity of CcGAN (HVDL and SVDL)."""

    sigma: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="label noise; default: rule of thumb"
    )


class Gan(Table):
    """The conditional GAN; its moving average is what later stages use."""

    network: GanName
    loss: Literal["hinge", "vanilla"] = Field(default="hinge", description="vanilla: the cross entropy of real or fake")
    width: Annotated[int, Field(ge=1, le=1024)] = Field(default=64, description="base number of channels")
    shared: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None, description="biggan: width of one embedding of the class for all blocks, each with its part of z"
    )
    attention: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        default=None, description="biggan: side of the maps that attend to each other"
    )
    latent: Count = Field(default=128, description="size of the latent vector z")
    steps: Count = Field(description="generator steps")
    batch: Count = Field(default=64, le=65536, description="images per generator step and per discriminator step")
    critic_steps: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1, description="discriminator steps per generator step"
    )
    learning_rate: Rate = 2e-4
    critic_learning_rate: Rate | None = Field(default=None, description="of the discriminator; default: the same")
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)] = [0.0, 0.999]
    flip: bool = Field(default=False, description="mirror real images at random")
    diffaugment: list[Literal["color", "translation", "cutout"]] = Field(
        [], description="on all the discriminator sees"
    )
    ema_decay: Fraction = Field(default=0.999, description="of the generator's moving average")
    ema_start: Annotated[int, Field(ge=0)] = Field(
        default=0, description="step before which the average is a plain copy"
    )
    embedding: Embedding | None = Field(default=None, description="for a continuous label")
    vicinity: Vicinity | None = Field(default=None, description="for a continuous label")


class Teacher(Recipe):
    """The teachers: one filters and relabels the fakes, others may distil."""

    networks: Annotated[list[Cnn], Field(min_length=1), Distinct]
    head: Head = None

    @model_validator(mode="after")
    def _batch(self) -> "Teacher":
        check_batch(self.head, self.batch)
        return self


class Features(Recipe):
    """The feature extractor of the density ratio: a CNN for classes, a sparse autoencoder for a continuous label."""

    network: Cnn | None = Field(default=None, description="trunk of the CNN, for classes")
    width: Annotated[int, Field(ge=1, le=1024)] = Field(default=64, description="base channels of the autoencoder")
    size: Annotated[int, Field(ge=16, le=65536, multiple_of=16)] = Field(description="number of features")
    sparsity: Weight = Field(default=1e-3, description="weight of the mean feature in the autoencoder's loss")


class Dre(Recipe):
    """Conditional density ratio estimation with the softplus loss in feature space (cDRE-F-SP)."""

    network: RatioName = "mlp5"
    width: Annotated[int, Field(ge=8, le=8192, multiple_of=8)] = Field(default=2048, description="first hidden width")
    dropout: Fraction = 0.5
    penalty: Weight = Field(default=1e-3, description="lambda: weight of (mean ratio of fakes - 1)^2")
    output: Literal["relu", "softplus"] = Field(default="relu", description="what keeps the ratio positive")
    vicinity: Width | None = Field(
        default=None, description="for a continuous label: real images of other labels; default: of the label alone"
    )
    features: Features


class Spread(Table):
    """Evenly spaced labels in their unit, both ends included."""

    first: float
    last: float
    step: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _whole(self) -> "Spread":
        steps = (self.last - self.first) / self.step
        if not 0 <= steps <= MAX_LABELS or abs(steps - round(steps)) > 1e-6:
            raise ValueError(f"expected last = first + a whole number of steps, found {steps:.6g} steps")
        return self

    @property
    def values(self) -> list[float]:
        num = round((self.last - self.first) / self.step)
        shares = [place / max(num, 1) for place in range(num + 1)]
        return [self.first * (1 - share) + self.last * share for share in shares]  # the ends are exact


class Random(Table):
    """Labels drawn uniformly from the whole range."""

    random: Annotated[Count, Field(le=MAX_LABELS)] = Field(description="how many")


def _shape(labels: Any) -> str:
    """Which way of asking for labels a value is, so that a fault is named once."""
    if isinstance(labels, dict | Table):
        return "as-random" if isinstance(labels, Random) or "random" in dict(labels) else "as-spread"
    return "as-list" if isinstance(labels, list) else "as-count"


Values = Annotated[list[float], Field(min_length=1, max_length=MAX_LABELS), Distinct]
Labels = Annotated[
    Annotated[Count, Tag("as-count")]
    | Annotated[Values, Tag("as-list")]
    | Annotated[Spread, Tag("as-spread")]
    | Annotated[Random, Tag("as-random")],
    Discriminator(_shape),
]


class Generate(Table):
    """The fake pool: draw, accept by the density ratio, score by the teacher."""

    teacher: Cnn = Field(description="which of the teachers scores")
    per_label: Count = Field(description="images to accept for each label")
    labels: Labels | None = Field(
        default=None,
        description="for a continuous label: how many evenly spaced labels; or a list in the label's unit; or "
        "{first, last, step}, both ends included; or {random} of them, drawn uniformly",
    )
    block: Annotated[int, Field(ge=2, le=65536)] = Field(default=256, description="images computed together")
    burn_in: Count = Field(default=1000, description="images per bound from which the bound of the ratio is taken")
    bound_quantile: Annotated[float, Field(gt=0, le=1)] = Field(default=0.99, description="larger ratios are clipped")
    bound_bins: Count = Field(
        default=1, description="for a continuous label: ranges of labels with a bound of their own"
    )
    max_proposals: Count = Field(
        default=100, description="proposals per image to accept after which a label has failed"
    )

    @property
    def values(self) -> list[float]:
        """The labels that are named, in their unit; none where their number is."""
        if isinstance(self.labels, Spread):
            return self.labels.values
        return self.labels if isinstance(self.labels, list) else []

    @property
    def num_labels(self) -> int | None:
        """How many labels of a continuous label are asked for."""
        if isinstance(self.labels, Random):
            return self.labels.random
        return self.labels if isinstance(self.labels, int) else len(self.values) or None


class Types(Recipe):
    """The classifier of types: what the images of one label differ in, e.g. which digit is turned."""

    network: Cnn


class Evaluate(Table):
    """Scores of the fakes of a continuous label in windows of it: distance to real images, label score, diversity."""

    radius: Annotated[float, Field(gt=0, le=10**6)] = Field(description="of a window, in the label's unit")
    centers: Annotated[int, Field(ge=1, le=10**5)] = Field(description="windows, evenly spaced over the label's range")
    types: Types | None = Field(default=None, description="for diversity, where the data have types")


class Rho(Table):
    """The search for rho: the share of fakes that the teacher's error keeps."""

    grid: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1), Distinct]
    seeds: Seeds


class Sskd(Table):
    """Self-supervision knowledge distillation (Xu et al. 2020): weights, temperatures, share of wrong rows kept."""

    label_weight: Weight = Field(default=0.1, description="of the loss on labels")
    match_weight: Weight = Field(default=0.9, description="of the KL to the teacher on upright images")
    transform_weight: Weight = Field(default=2.7, description="of the KL to the teacher on turned images")
    similarity_weight: Weight = Field(default=10.0, description="of the KL between similarities")
    match_temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    transform_temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    similarity_temperature: Annotated[float, Field(gt=0, le=100)] = 0.5
    keep_transform: Fraction = Field(default=1.0, description="share of the teacher's wrong rows that count")
    keep_similarity: Fraction = Field(default=0.75, description="share of the teacher's wrong similarities that count")
    head: Recipe = Field(description="training of the teacher's projection head")


class Uda(Table):
    """BLKD on a plain and on an AutoAugment view (after Xie et al. 2020), averaged over the two."""

    label_weight: Weight = Field(default=0.5, description="of the loss on labels")
    match_weight: Weight = Field(default=0.5, description="of T^2 KL to the teacher")


class Distill(Recipe):
    """The students."""

    methods: Annotated[list[Method], Field(min_length=1), Distinct]
    pairs: Annotated[list[Annotated[list[Cnn], Field(min_length=3, max_length=3)]], Field(min_length=1)] = Field(
        description="[teacher, assistant, student], the assistant for takd"
    )
    seeds: Seeds
    rho: Annotated[float, Field(gt=0, le=1)] | Literal["selected", "none"] = "selected"
    relabel: Literal["hard", "keep", "unclipped"] = Field(
        default="hard",
        description="labels of fakes: the teacher's, those asked for, or, for a continuous label, the teacher's beyond "
        "its range too",
    )
    filter_bins: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1, description="for a continuous label: equal ranges of it, in each of which the share rho is kept"
    )
    nfake: Nfake = Field(
        default=None, description="fakes to draw, for classes balanced by label; a list: one row each; default: all"
    )
    fake_share: Annotated[float, Field(gt=0, lt=1)] | Literal["proportional"] = Field(
        default=0.5, description="share of fakes in a batch"
    )
    head: Head = None
    budget: Literal["steps", "epochs"] = Field(
        default="steps", description="what runs with and without fakes have in common"
    )
    epochs: Count | None = Field(default=None, description="for the budget `epochs`")
    label_weight: Weight = Field(default=0.5, description="blkd, takd: weight of the loss on labels")
    match_weight: Weight = Field(default=0.5, description="blkd, takd: weight of the loss on the teacher's outputs")
    temperature: Annotated[float, Field(gt=0, le=100)] = Field(default=5.0, description="of the softened distributions")
    sskd: Sskd | None = Field(default=None, description="needed by the method sskd")
    uda: Uda = Uda()

    @model_validator(mode="after")
    def _epochs(self) -> "Distill":
        if (self.budget == "epochs") != (self.epochs is not None):
            raise ValueError('budget = "epochs" and the key epochs go together')
        if self.batch < 2 and self.fake_share != "proportional":
            raise ValueError("batch: a batch of 1 cannot hold real and fake images")
        check_batch(self.head, self.batch)
        return self


class Report(Table):
    """The report."""

    columns: Annotated[int, Field(ge=1, le=100)] = Field(default=10, description="fakes shown per label")
