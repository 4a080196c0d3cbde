"""Reasons for caution that the records of a run give."""

import statistics

from cgankd import runs
from cgankd.report.facts import Data, Made
from cgankd.report.records import RunRecords


def cautions(records: RunRecords) -> list[str]:
    """All of them, a sentence or two each."""
    kinds = (leaks, harmful_teachers, weak_baseline, stale, unequal)
    return [text for kind in kinds for text in kind(records)]


def leaks(records: RunRecords) -> list[str]:
    """Where rho was chosen on rows that networks upstream were trained on."""
    if not (records.search and records.search.leaky):
        return []
    return [
        "The search for rho is leaky, as in the published protocol: GAN, density ratio and "
        "teachers were trained on the validation rows too, so that the errors with fakes are too "
        "low there."
    ]


def harmful_teachers(records: RunRecords) -> list[str]:
    """Each teacher that does not beat, on the validation rows, students trained on labels alone."""
    nokd = records.methods.get("nokd")
    if nokd is None or records.preset.data.protocol == "paper":
        return []  # there all of them were trained on these rows
    scores: dict[str, list[float]] = {}
    for member in nokd.members:
        scores.setdefault(member.network, []).append(member.validation)
    return [
        f"The teacher {name} has a validation {nokd.metric} of {teacher.validation:.3g} "
        f"{nokd.unit}, no better than the {statistics.fmean(values):.3g} {nokd.unit} of {network} "
        "trained without it (NOKD). Relabelling by such a teacher does harm, and so do its "
        "outputs: train it for longer, or choose another."
        for name, teacher in records.teachers.items()
        for network, values in scores.items()
        if teacher.validation >= statistics.fmean(values)
    ]


def weak_baseline(records: RunRecords) -> list[str]:
    """Where students go without random changes of images that their teacher was trained with."""
    teacher, students = records.preset.teacher.augment, records.preset.distill.augment
    missing = [name for name in teacher if name in ("crop", "flip") and name not in students]
    if not missing or not records.members:
        return []
    return [
        f"The teacher saw its training images changed by {' and '.join(missing)}, the students "
        "did not: what NOKD may lack by that is not what fakes or a teacher bring. Try the same "
        "in distill.augment, and other learning rates, for NOKD first."
    ]


def stale(records: RunRecords) -> list[str]:
    """Each record that was made from something else than the folder holds now."""
    held: dict[str, list[Data | Made | None]] = {
        "data": [records.data],
        "train-gan": [records.gan],
        "train-teacher": [*records.teachers.values()],
        "fit-dre": [records.dre],
        "generate": [records.pool],
    }
    contents = {stage: {made.content for made in every if made} for stage, every in held.items()}
    texts = []
    for place, record in records.by_place().items():
        used = {stage: record.inputs.get(stage) for stage, known in contents.items() if known}
        others = [
            stage
            for stage, content in used.items()
            if isinstance(content, str) and content not in contents[stage]
        ]
        if others:
            stages = " and ".join(others)
            texts.append(f"{place} was made from another result of {stages} than stands here.")
    return texts


def unequal(records: RunRecords) -> list[str]:
    """Where students were trained by different settings."""
    students = {member.student for member in records.members} & records.students.keys()
    inputs = [records.students[name].inputs for name in students]
    settings = {runs.digest([made.get(key) for key in ("training", "epochs")]) for made in inputs}
    if len(settings) < 2:
        return []
    return [
        "The students were not all trained with the same settings: differences to NOKD are not "
        "fair."
    ]
