"""What the measures of fakes mean, in words: whether the fakes are any good, and which setting to
change where they are not.

Nothing here imports torch: the report says the same as the stages.
"""

from dataclasses import dataclass
from typing import Any

from cgankd.statistics import mean_of

LIMITS = {
    # A GAN on digits whose fakes varied 0.59 times as much as real images taught a student of fakes
    # alone to err in 27 %; at 0.77 it was 9 %.
    "variance": 0.7,
    # Noise, or images between labels, vary more than what is real.
    "variance, most": 1.5,
    # Of the way from a student of real images to a constant answer: fakes that lose more hold
    # little of what the label is.
    "alone": 0.25,
    # Of what unseen real images reach at equal counts.
    "coverage": 0.5,
    "density": 0.5,
    # Share of fakes that are nearer to a training image than half of what is usual between real
    # images, above the share of unseen real images: one in ten is no accident.
    "copies": 0.1,
    # Of the ratio between unseen real images and fakes: with 200 images chance has a standard error
    # of 0.02.
    "auc": 0.55,
    # Weights that are worth 98 % of equal ones drop one fake in fifty.
    "effective": 0.98,
}


@dataclass(frozen=True)
class Finding:
    """A sentence or two about fakes; `about` is the measure that it is drawn from."""

    about: str
    is_fault: bool
    text: str


def idle(auc: float | None, effective: float) -> str:
    """Why subsampling by a density ratio changes nothing, for the middle of a sentence; empty where
    it does. `auc` is that of the ratio between real images that it has not seen and fakes.
    """
    weighs = f"weighs fakes alike (effective share {effective:.1%})"
    blind = "" if auc is None else f"tells fakes from unseen real images no better (AUC {auc:.2f})"
    if effective > LIMITS["effective"]:
        return weighs
    if auc is not None and auc < LIMITS["auc"]:
        return f"{blind} than chance does"
    return ""


def idle_hint() -> str:
    """What to change where it is."""
    return (
        'dre.network = "mlp3" with dre.dropout = 0.2 and more dre.steps have learned more where '
        "images are few; where the fakes are as good as real images there is nothing to learn"
    )


def judge(
    raw: dict[str, Any],
    real: dict[str, Any],
    alone: dict[str, Any] | None,
    auc: float | None,
    effective: float,
) -> list[Finding]:
    """Findings about fakes as the generator gives them: `raw` and `real` are the rows of the table
    of scores, `real` of unseen real images; `alone` the scores of students of fakes alone, of real
    images and of a constant answer, where there are any. One that finds no fault where there is
    none.
    """
    found = [
        *_diversity(raw),
        *_alone(raw, alone),
        *_distribution(raw["overall"], real["overall"]),
        *_copies(raw["overall"], real["overall"]),
        *_ratio(auc, effective),
    ]
    faults = [Finding(about, True, text) for about, text in found]
    return faults or [Finding("all", False, _fine(raw, alone))]


Found = list[tuple[str, str]]


def _diversity(raw: dict[str, Any]) -> Found:
    varies = _variance(raw)
    if varies is None:
        return []
    text = f"its fakes of a label vary {varies:.2f} times as much as real images"
    if varies < LIMITS["variance"]:
        hint = "train it longer (gan.steps), with more gan.discriminator_steps or gan.diffaugment"
        return [("variance", f"The GAN has lost diversity: {text}; {hint}.")]
    if varies > LIMITS["variance, most"]:
        hint = "train it longer (gan.steps), with a lower gan.learning_rate or a wider gan.width"
        return [("variance", f"The GAN has not settled: {text}; {hint}.")]
    return []


def _variance(raw: dict[str, Any]) -> float | None:
    """Within windows of the label, else within labels."""
    windows = raw["sliding"] or raw["intra"]
    return mean_of(windows and windows["variance"])


def _alone(raw: dict[str, Any], alone: dict[str, Any] | None) -> Found:
    if alone is None or raw["alone"] is None:
        return []
    real, constant, unit = alone["real"], alone["constant"], alone["unit"]
    if raw["alone"] <= real + LIMITS["alone"] * max(constant - real, 0.0):
        return []
    text = (
        f"A student of fakes alone has a validation {alone['metric']} of {raw['alone']:.3g} "
        f"{unit}, one of real images {real:.3g} {unit}: the fakes hold little of the label; train "
        "the GAN longer (gan.steps), or wider (gan.width)."
    )
    return [("alone", text)]


def _distribution(raw: dict[str, Any], real: dict[str, Any]) -> Found:
    found = []
    if _falls_short("coverage", raw, real):
        found.append(
            (
                "coverage",
                f"Fakes come near {raw['coverage']:.0%} of the training images, unseen real images "
                f"near {real['coverage']:.0%}: the GAN leaves much out; train it longer "
                "(gan.steps), or wider (gan.width).",
            )
        )
    if _falls_short("density", raw, real):
        found.append(
            (
                "density",
                f"Fakes lie where training images are {raw['density']:.2f} times as dense as "
                f"expected, unseen real images {real['density']:.2f} times: many look like nothing "
                "real; train the GAN longer (gan.steps), or keep fewer fakes (a lower rho).",
            )
        )
    return found


def _falls_short(name: str, raw: dict[str, Any], real: dict[str, Any]) -> bool:
    known = raw[name] is not None and real[name] is not None
    return known and raw[name] < LIMITS[name] * real[name]


def _copies(raw: dict[str, Any], real: dict[str, Any]) -> Found:
    if raw["copies"] <= real["copies"] + LIMITS["copies"]:
        return []
    text = (
        f"{raw['copies']:.0%} of the fakes are nearly training images, against "
        f"{real['copies']:.0%} of unseen real ones: they add nothing; ask for more "
        "gan.diffaugment, or fewer gan.steps."
    )
    return [("copies", text)]


def _ratio(auc: float | None, effective: float) -> Found:
    why = idle(auc, effective)
    if not why:
        return []
    return [("ratio", f"Subsampling is idle: the density ratio {why}; {idle_hint()}.")]


def _fine(raw: dict[str, Any], alone: dict[str, Any] | None) -> str:
    facts = []
    if (varies := _variance(raw)) is not None:
        facts.append(f"fakes of a label vary {varies:.2f} times as much as real images")
    if alone and raw["alone"] is not None:
        facts.append(
            f"a student of them alone has a validation {alone['metric']} of {raw['alone']:.3g} "
            f"{alone['unit']}, one of real images {alone['real']:.3g} {alone['unit']}"
        )
    return f"No fault found: {'; '.join(facts) or 'too few images to tell more'}."
