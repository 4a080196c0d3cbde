"""The students that a job asks for: of a method, of the search for rho, of the ablation."""

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from cgankd import sources
from cgankd.errors import USAGE, UserError
from cgankd.fakes import FakeSelection
from cgankd.preset import Distill, Preset, Training, check_applies
from cgankd.runs import Run, finished

ABLATION = {  # each row adds one step of the method
    "nokd": None,
    "raw fakes": FakeSelection(subsample=False, relabel="keep"),
    "+ subsampling": FakeSelection(relabel="keep"),
    "+ filter": FakeSelection(relabel="keep", rho=0.0),  # rho stands for the chosen one
    "+ relabel": FakeSelection(rho=0.0),
}


HEAD = "sskd-head"  # not a network of its own, but trained, kept and shared like one


@dataclass(frozen=True)
class Student:
    """One network to train: on which labels and fakes, by which teachers, from which seed."""

    network: str
    method: str  # without +fake: fakes are data
    seed: int
    teacher: str = ""
    assistant: str = ""
    view: FakeSelection | None = None
    fakes: str = ""  # a file of fakes in the place of the pool
    held_out: bool = (
        False  # trained without the validation rows where the protocol makes them training rows
    )

    @property
    def previous(self) -> "Student | None":
        """What is trained before: takd's assistant, paired by seed; the head of sskd's teacher,
        which seeds share.
        """
        match self.method:
            case "takd":
                return replace(self, network=self.assistant, method="blkd", assistant="")
            case "sskd":
                return replace(self, network=self.teacher, method=HEAD, seed=0)
        return None


@dataclass(frozen=True)
class Overrides:
    """What one call asks for beside the preset."""

    method: str = ""
    student: str = ""
    rho: str = ""
    fake: str = ""
    ablation: bool = False
    weights: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # part -> file and sha256 to import it from


def wanted(preset: Preset, run: Run, call: Overrides) -> list[Student]:
    """The students whose results `distill` is asked for."""
    if call.ablation:
        return [student for row in ablation_students(preset, run, call).values() for student in row]
    return [
        student
        for method in methods(preset, call)
        for student in method_students(method, preset, run, call)
    ]


def previous(students: list[Student]) -> list[Student]:
    """What students need to be trained before them, each once."""
    return list(dict.fromkeys(student.previous for student in students if student.previous))


def training(student: Student, preset: Preset) -> Training:
    """How a student, or the head of a teacher, is trained."""
    settings = preset.distill
    if student.method != HEAD:
        return settings
    assert settings.sskd, "the preset has been checked for distill.sskd"
    return settings.sskd.head


def num_real(student: Student, preset: Preset, run: Run) -> int:
    """How many real images a student learns from; the data are read where the preset alone does not
    tell.
    """
    data, numbers = preset.data, preset.data.numbers
    if not numbers or data.min_per_label:
        known = sources.record(data, preset.seed, run)
        return int(known["held_out"] if student.held_out else known["rows"]["train"]["num"])
    return numbers[0] + (numbers[1] if data.protocol == "paper" and not student.held_out else 0)


def num_steps(student: Student, preset: Preset, num_images: int) -> int:
    """How many steps a student that sees `num_images` images is trained for: the budget's steps or
    epochs.
    """
    settings, epochs = training(student, preset), preset.distill.epochs
    if epochs is None or student.method == HEAD:
        return settings.steps
    return epochs * -(-num_images // settings.batch)


def _weights(student: Student, settings: Distill) -> list[Any]:
    match student.method:
        case "sskd":
            assert settings.sskd, "the preset has been checked for distill.sskd"
            return [settings.sskd.model_dump(exclude={"head"})]
        case "blkd+uda":
            return [settings.uda.model_dump(), settings.temperature]
        case _ if student.method == HEAD:
            return []
    return [settings.label_weight, settings.match_weight, settings.temperature]


def rho_students(preset: Preset) -> list[Student]:
    """The students of the search: each rho and no fakes, each network, each seed; none sees the
    rows that choose.
    """
    paper = preset.data.protocol == "paper"
    networks = dict.fromkeys(pair[2] for pair in preset.distill.pairs)
    views = [None, *(_view(preset, value) for value in preset.rho.grid)]
    return [
        Student(network, "nokd", seed, view=view, held_out=paper)
        for view, network, seed in product(views, networks, preset.rho.seeds)
    ]


def methods(preset: Preset, call: Overrides) -> list[str]:
    """The methods of a call, by default those of the preset; UserError where one does not apply."""
    if not call.method:
        return list(preset.distill.methods)
    try:
        check_applies(call.method, preset)
    except ValueError as error:
        raise UserError(f"--method {call.method}: {error}", USAGE) from None
    return [call.method]


def method_students(method: str, preset: Preset, run: Run, call: Overrides) -> list[Student]:
    """The students of all rows of a method."""
    return [
        student
        for students in method_rows(method, preset, run, call).values()
        for student in students
    ]


def method_rows(method: str, preset: Preset, run: Run, call: Overrides) -> dict[str, list[Student]]:
    """The students of a method, each pair and each seed: one row, or with fakes one for each of
    distill.nfake.
    """
    base = method.removesuffix("+fake")
    views: list[FakeSelection | None] = (
        [None] if method == base else distill_views(preset, run, call)
    )
    pairs = [pair for pair in preset.distill.pairs if call.student in ("", pair[2])]
    if not pairs:
        known = ", ".join(dict.fromkeys(pair[2] for pair in preset.distill.pairs))
        raise UserError(
            f"--student {call.student}: not in distill.pairs (students: {known})", USAGE
        )
    chains = dict.fromkeys(_chain(base, *pair) for pair in pairs)
    names = (
        [method] if len(views) == 1 else [f"{method} ({view.num if view else 0})" for view in views]
    )
    return {
        name: [
            Student(network, base, seed, teacher, assistant, view, call.fake if view else "")
            for (teacher, assistant, network), seed in product(chains, preset.distill.seeds)
        ]
        for name, view in zip(names, views, strict=True)
    }


def ablation_students(preset: Preset, run: Run, call: Overrides) -> dict[str, list[Student]]:
    """The students of each row of the ablation."""
    if (call.rho or preset.distill.rho) == "none":
        raise UserError(
            "the ablation adds fakes step by step, but rho is none",
            USAGE,
            "name a rho, e.g. --rho 0.7",
        )
    if call.fake:
        raise UserError(
            "the ablation needs the pool of the run, not a file of fakes", USAGE, "leave out --fake"
        )
    full = _view(preset, distill_rho(preset, run, call))

    hard = full.relabel if full.relabel != "keep" else "hard"

    def view(row: FakeSelection | None) -> FakeSelection | None:
        return row and replace(
            row,
            rho=full.rho if row.rho == 0 else 1.0,
            num=full.num,
            bins=full.bins,
            relabel=hard if row.relabel == "hard" else row.relabel,
        )

    network = call.student or preset.distill.pairs[0][2]
    return {
        name: [Student(network, "nokd", seed, view=view(row)) for seed in preset.distill.seeds]
        for name, row in ABLATION.items()
    }


def distill_views(preset: Preset, run: Run, call: Overrides) -> list[FakeSelection | None]:
    """The fakes that +fake methods use, one view for each number of fakes; None is
    without fakes.
    """
    nums = (
        preset.distill.nfake if isinstance(preset.distill.nfake, list) else [preset.distill.nfake]
    )
    if call.fake:  # a file of fakes is used as it is
        return [
            FakeSelection(subsample=False, relabel="keep", num=num) if num != 0 else None
            for num in nums
        ]
    if (call.rho or preset.distill.rho) == "none":
        return [None]
    view = _view(preset, distill_rho(preset, run, call))
    return [replace(view, num=num) if num != 0 else None for num in nums]


def distill_rho(preset: Preset, run: Run, call: Overrides) -> float:
    """The rho of the call, of the preset, or the selected one."""
    asked = call.rho or preset.distill.rho
    if asked == "selected":
        return float(finished(run.rho, "select-rho")["best_rho"])
    try:
        value = float(asked)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UserError(f"--rho {asked}: expected a number in (0, 1] or none", USAGE)
    return value


def _view(preset: Preset, rho: float) -> FakeSelection:
    """The view that one number of fakes gives; of several the largest."""
    num, settings = preset.distill.nfake, preset.distill
    return FakeSelection(
        rho=rho,
        relabel=settings.relabel,
        num=max(num) if isinstance(num, list) else num,
        bins=settings.filter_bins,
    )


def _chain(base: str, teacher: str, assistant: str, student: str) -> tuple[str, str, str]:
    """Of a pair only what the method uses, so that equal students are one."""
    return (teacher if base != "nokd" else "", assistant if base == "takd" else "", student)
