"""A whole preset, and what its tables must agree on."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from cgankd.errors import USAGE, UserError
from cgankd.label import make_label
from cgankd.preset.base import Settings
from cgankd.preset.data import Data
from cgankd.preset.fakes import Dre, Evaluate, Generate
from cgankd.preset.gan import Embedding, Gan
from cgankd.preset.kinds import NAME
from cgankd.preset.methods import METHODS, base_of
from cgankd.preset.paper import Paper
from cgankd.preset.students import Distill, Report, Search, TeacherSettings


def check_applies(method: str, preset: "Preset") -> None:
    """ValueError where the preset lacks what a method needs."""
    base, label = base_of(method), preset.data.label_kind
    if METHODS[base].distribution and not label.distribution:
        others = ", ".join(name for name, facts in METHODS.items() if not facts.distribution)
        raise ValueError(f"{base} is for class labels; for {label.noun} there are {others}")
    if base == "sskd" and not preset.distill.sskd:
        raise ValueError("sskd needs the table [distill.sskd] with its [distill.sskd.head]")


class Preset(Settings):
    """All settings of a run, as resolved."""

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    data: Data
    gan_if_any: Gan | None = Field(default=None, alias="gan")
    teacher: TeacherSettings
    dre_if_any: Dre | None = Field(default=None, alias="dre")
    generate: Generate
    evaluate: Evaluate = Evaluate()
    search: Search = Field(alias="rho")
    distill: Distill
    report: Report = Report()
    paper: Paper = Paper()

    @property
    def gan(self) -> Gan:
        """The table [gan], for those who have asked whether there is one."""
        assert self.gan_if_any, "the preset has a GAN"
        return self.gan_if_any

    @property
    def dre(self) -> Dre:
        """The table [dre], for those who have asked whether there is one."""
        assert self.dre_if_any, "the preset has a density ratio"
        return self.dre_if_any

    @property
    def embedding(self) -> Embedding | None:
        """What a label is embedded by; classes are not, nor is a label without a GAN."""
        return self.gan_if_any.embedding if self.gan_if_any else None

    def flat(self, exclude: set[str] | None = None) -> dict[str, str | int | float | bool]:
        """Settings as table.key: value, lists as text; without those that are not given, and
        without the tables and keys to `exclude`.
        """
        flat: dict[str, str | int | float | bool] = {}

        def add(place: str, value: Any) -> None:
            if isinstance(value, dict):
                for name, part in value.items():
                    add(f"{place}.{name}" if place else name, part)
            else:
                flat[place] = value if isinstance(value, str | int | float) else str(value)

        add("", self.model_dump(exclude=exclude, exclude_none=True))
        return flat

    @model_validator(mode="after")
    def _parts(self) -> "Preset":
        """Only images that others have drawn spare a GAN, or a density ratio."""
        for key, table in {"gan": self.gan_if_any, "dre": self.dre_if_any}.items():
            if table is None and self.generate.images is None:
                raise ValueError(
                    f"{key} is missing: only generate.images, drawn by others, spare the table"
                )
        if self.evaluate != Evaluate() and not self.dre_if_any:
            raise ValueError("evaluate must be absent without dre, in whose features it measures")
        if self.dre_if_any and not self.gan_if_any and not self.data.label_kind.discrete:
            raise ValueError(
                "dre must be absent without gan.embedding, which embeds a continuous label for it"
            )
        return self

    @model_validator(mode="after")
    def _teachers(self) -> "Preset":
        for name in (self.generate.teacher, *(pair[0] for pair in self.distill.pairs)):
            if name not in self.teacher.networks:
                raise ValueError(
                    f"teacher.networks lacks {name}, which generate.teacher or distill.pairs names"
                )
        return self

    @model_validator(mode="after")
    def _methods(self) -> "Preset":
        for method in self.distill.methods:
            try:
                check_applies(method, self)
            except ValueError as error:
                raise ValueError(f"distill.methods: {error}") from None
        return self

    @model_validator(mode="after")
    def _label(self) -> "Preset":
        """What a label that is embedded needs, one of few values cannot have, and vice versa."""
        label, embedded = self.data.label_kind, not self.data.label_kind.discrete
        gan, dre = self.gan_if_any, self.dre_if_any
        needed: dict[str, Any] = {}
        if gan:
            needed = {"gan.embedding": gan.embedding, "gan.vicinity": gan.vicinity}
        if not (embedded and self.generate.images):  # which have labels of their own
            needed["generate.labels"] = self.generate.labels
        for key, value in needed.items():
            if (value is not None) != embedded:
                must = "given" if embedded else "absent"
                raise ValueError(f"{key} must be {must} for {label.noun}")
        if gan and (gan.network != "biggan") != embedded:
            raise ValueError(
                "gan.network: biggan takes class labels, sngan and sagan a continuous label"
            )
        if dre and (dre.features.network is None) != embedded:
            raise ValueError(
                "dre.features.network: needed for class labels, absent for a continuous label"
            )
        only = {
            "evaluate.radius": self.evaluate.radius is not None,
            "evaluate.centers": self.evaluate.centers is not None,
            "evaluate.types": self.evaluate.types is not None,
            "gan.auxiliary": gan is not None and bool(gan.auxiliary),
            "dre.vicinity": dre is not None and dre.vicinity is not None,
            "distill.filter_bins": self.distill.filter_bins > 1,
            f'distill.relabel = "{self.distill.relabel}"': self.distill.relabel
            in ("unclipped", "mean"),
        }
        if gan and gan.diversity and embedded:
            raise ValueError(f"gan.diversity is for class labels, and this one is {label.noun}")
        for key, given in only.items():
            if given and not embedded:
                raise ValueError(f"{key} is for a continuous label, and this one is {label.noun}")
        return self

    @model_validator(mode="after")
    def _maps(self) -> "Preset":
        gan, side = self.gan_if_any, self.data.size
        if gan is None:
            return self
        if gan.network != "biggan":
            if gan.shared is not None or gan.attention is not None or gan.tapered:
                raise ValueError(
                    "gan.shared, gan.attention and gan.tapered: only biggan has them, not "
                    f"{gan.network}"
                )
            return self
        if side > 128:
            raise ValueError(f"data.size: biggan draws images of side 8 to 128, not {side}")
        parts = side.bit_length() - 2  # of z: one makes the 4x4 map, one enters at each doubling
        if gan.shared is not None and gan.latent % parts:
            raise ValueError(
                f"gan.latent: with gan.shared z is cut into {parts} equal parts at side {side}, "
                f"found {gan.latent}"
            )
        sides = [str(1 << power) for power in range(3, side.bit_length() - 1)]
        if gan.attention is not None and str(gan.attention) not in sides:
            known = f"has maps of side {', '.join(sides)}" if sides else "has none"
            raise ValueError(
                f"gan.attention: at side {side} biggan {known} in both networks, found "
                f"{gan.attention}"
            )
        return self


def check_labels(preset: Preset, facts: dict[str, Any] | None) -> None:
    """UserError where a label to generate, or a window, lies outside the range of the label, whose
    facts a source knows or not.
    """
    if not facts:
        return
    label = make_label(facts)
    low, high, span = label.low, label.high, label.high - label.low
    if preset.evaluate.radius and 2 * preset.evaluate.radius > span:
        raise UserError(
            f"preset {preset.name}: evaluate.radius = {preset.evaluate.radius:g}, but the range "
            f"of the label is [{low:g}, {high:g}]",
            USAGE,
            f"a window is at most as wide: name at most {span / 2:g}",
        )
    outside = [value for value in preset.generate.values if not low <= value <= high]
    if outside:
        more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
        raise UserError(
            f"preset {preset.name}: generate.labels: {outside[0]:g}{more} lies outside "
            f"[{low:g}, {high:g}], the range of the label",
            USAGE,
            "networks know no labels outside: drop them, or widen data.range",
        )
