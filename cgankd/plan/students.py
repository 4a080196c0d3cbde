"""The students that a job asks for, planned once: whoever trains one asks nobody else.

A student is named by what it is (`StudentSpec`); planning adds its place, its training and what
has to be trained before it.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from typing import Any

from cgankd import fakes
from cgankd.errors import USAGE, UserError
from cgankd.fakes import FakeSelection
from cgankd.job import Job
from cgankd.plan import inputs
from cgankd.preset import (
    METHODS,
    Preset,
    Training,
    base_of,
    check_applies,
    check_method,
    uses_fakes,
)
from cgankd.runs import Artefact, content_of, fact, read_json

MAX_STEPS = 10**8  # as of any training
BatchShare = float | str  # a number in (0, 1), or "proportional"
HEAD = "sskd-head"  # not a network of its own, but trained, kept and shared like one

# Each row adds one step of the method, whose whole is `full`.
ABLATION: dict[str, Callable[[FakeSelection], FakeSelection | None]] = {
    "nokd": lambda full: None,
    "raw fakes": lambda full: replace(full, subsample=False, rho=1.0, relabel="keep"),
    "+ subsampling": lambda full: replace(full, rho=1.0, relabel="keep"),
    "+ filter": lambda full: replace(full, relabel="keep"),
    "+ relabel": lambda full: full,
}


@dataclass(frozen=True)
class StudentSpec:
    """One network to train: on which labels and fakes, by which teachers, from which seed."""

    network: str
    method: str  # without +fake: fakes are data
    seed: int
    teacher: str = ""
    assistant: str = ""
    selection: FakeSelection | None = None
    share: BatchShare | None = None  # of fakes in a batch; None: distill.fake_share
    fakes_file: str = ""  # in the place of the pool
    held_out: bool = False  # without the validation rows where the protocol trains on them
    alone: bool = False  # from fakes without real images; for the steps of real images alone
    steps: int | None = None  # in the place of those of the budget

    @property
    def is_head(self) -> bool:
        """Whether it is a teacher's projection head and not a student."""
        return self.method == HEAD

    @property
    def spec_before(self) -> "StudentSpec | None":
        """What is trained before: an assistant, paired by seed; a head, which seeds share."""
        if self.is_head:
            return None
        if METHODS[self.method].assistant:
            return replace(self, network=self.assistant, method="blkd", assistant="", steps=None)
        if METHODS[self.method].head:
            return replace(self, network=self.teacher, method=HEAD, seed=0, steps=None)
        return None


@dataclass(frozen=True, kw_only=True)
class Student(StudentSpec):
    """A student with its place and all that its training asks."""

    artefact: Artefact
    training: Training
    epochs: int | None  # of the budget `epochs`: steps follow from the images there are
    previous: "Student | None"

    def num_steps(self, num_real: int, num_fakes: int) -> int:
        """For how many steps it is trained on so many images."""
        num_images, batch = num_real + num_fakes, self.training.batch
        if self.is_head and self.epochs is not None:
            # Its steps are those of real images alone; the budget gives fakes as many epochs.
            return self.training.steps * -(-num_images // batch) // -(-num_real // batch)
        return steps_of(self.training, self.epochs, num_images)


def steps_of(training: Training, epochs: int | None, num_images: int) -> int:
    """The steps of the budget: those of the settings, or of so many epochs of the images."""
    if epochs is None:
        return training.steps
    return epochs * -(-num_images // training.batch)


@dataclass(frozen=True)
class StudentTable(Artefact):
    """What select-rho or distill makes of students: rows of those that are compared, scored on the
    rows of a split.
    """

    rows: dict[str, list[Student]] = field(default_factory=dict)
    split: str = "validation"

    @property
    def students(self) -> list[Student]:
        """The students of all rows."""
        return [student for row in self.rows.values() for student in row]

    def difference(self) -> str:
        """As of any artefact; digests of students say nothing, so it is what the first of them that
        differs is made from.
        """
        members = read_json(self.record).get("members", [])
        if len(members) != len(self.students):
            return f"{len(members)} students -> {len(self.students)}"
        for member, student in zip(members, self.students, strict=True):
            old = student.artefact.folder.with_name(member["student"]) / "student.json"
            if old != student.artefact.record and old.exists():
                return replace(student.artefact, record=old).difference()
        return super().difference()


class StudentPlanner:
    """Plans students; what they share - data, teachers, fakes - is looked up once."""

    def __init__(self, job: Job) -> None:
        self.job, self.settings = job, job.preset.distill
        self._contents: dict[str, str] = {}

    def plan(self, spec: StudentSpec) -> Student:
        """The student of a spec, named after all that it depends on, so that whoever asks for it
        finds it.
        """
        before = spec.spec_before
        previous = self.plan(before) if before else None
        training = self._training(spec)
        made_from = self._inputs(spec, training, previous)
        # The name holds the digest, so other settings are another folder and nothing is replaced.
        digest = Artefact(self.job.run.root, "distill", made_from).digest
        suffix = "+fake" * bool(spec.selection) + "-alone" * spec.alone
        name = f"{spec.network}-{spec.method}{suffix}-seed{spec.seed}-{digest[:8]}"
        known = {one.name: getattr(spec, one.name) for one in fields(StudentSpec)}
        return Student(
            **{**known, "share": self._share(spec) if spec.selection else None},
            artefact=Artefact(self.job.run.student(name), "distill", made_from),
            training=training,
            epochs=self._epochs(spec),
            previous=previous,
        )

    def _epochs(self, spec: StudentSpec) -> int | None:
        return None if spec.alone or spec.steps else self.settings.epochs

    def _share(self, spec: StudentSpec) -> BatchShare:
        return self.settings.fake_share if spec.share is None else spec.share

    def plan_rows(self, rows: dict[str, list[StudentSpec]]) -> dict[str, list[Student]]:
        """The students of rows of specs."""
        return {row: [self.plan(spec) for spec in specs] for row, specs in rows.items()}

    @cached_property
    def data(self) -> dict[str, Any]:
        """What all that learns from the data depends on."""
        return inputs.data(self.job)

    def _training(self, spec: StudentSpec) -> Training:
        if not spec.is_head:
            changed = {} if spec.steps is None else {"steps": spec.steps}
            return self.settings.model_copy(update=changed)
        assert self.settings.sskd, "the preset has been checked for distill.sskd"
        return self.settings.sskd.head

    def _inputs(
        self, spec: StudentSpec, training: Training, previous: Student | None
    ) -> dict[str, Any]:
        """What a student is made from; only what it uses, so that nothing else changes it."""
        settings = self.settings
        made_from: dict[str, Any] = {
            "network": spec.network,
            "method": spec.method,
            "student seed": spec.seed,
            "training": training.model_dump(include=set(Training.model_fields)),
            **self.data,
        }
        if spec.held_out:
            made_from["rows"] = "without validation"
            # The digest of the data knows it of all training rows.
            made_from |= inputs.values(self.job.preset.data, only=["min_per_label"])
        if settings.head and not spec.is_head:
            made_from["head"] = settings.head
        if (epochs := self._epochs(spec)) is not None:
            made_from["epochs"] = epochs
        if spec.teacher:
            made_from["settings"] = self._method_settings(spec)
            made_from["train-teacher"] = self._teacher(spec.teacher)
        if previous:
            made_from["assistant"] = previous.artefact.digest
        if spec.selection:
            made_from["selection"] = asdict(spec.selection)
            made_from["fake_share"] = "all" if spec.alone else self._share(spec)
            made_from["generate"] = self._fakes(spec.fakes_file)
        return made_from

    def _method_settings(self, spec: StudentSpec) -> dict[str, Any]:
        """The keys that a method reads, but those of a head, which is an input of its own."""
        keys = () if spec.is_head else METHODS[spec.method].settings
        settings = inputs.values(self.settings, only=keys)
        for table in settings.values():
            if isinstance(table, dict):
                table.pop("head", None)
        return settings

    def _teacher(self, network: str) -> str:
        if network not in self._contents:
            record = self.job.run.teacher(network)
            self._contents[network] = content_of(record, "train-teacher")
        return self._contents[network]

    def _fakes(self, file: str) -> str:
        """The digest of the pool, or of a file in its place."""
        key = f"fakes {file}"
        if key not in self._contents:
            pool = self.job.run.pool
            self._contents[key] = fakes.identify(file) if file else content_of(pool, "generate")
        return self._contents[key]


# What the stages ask for


def search(job: Job) -> StudentTable:
    """The search for rho, with its students."""
    planner, run = StudentPlanner(job), job.run
    rows = planner.plan_rows(search_rows(job.preset))
    made_from = {
        "rho": inputs.values(job.preset.search),
        "rule": "paired differences to no fakes",  # the same students were once judged by another
        "students": _digests(rows),
        "generate": content_of(run.pool, "generate"),
    }
    return StudentTable(run.search, "select-rho", made_from, rows=rows)


def distilled(job: Job) -> list[StudentTable]:
    """The results of each method, or of the ablation, or of a curve, with their students."""
    planner = StudentPlanner(job)
    if job.overrides.curve:
        return [_curve(planner)]
    if job.overrides.ablation:
        return [_ablation(planner)]
    return [_distilled(method, planner) for method in methods(job)]


def _distilled(method: str, planner: StudentPlanner) -> StudentTable:
    rows = planner.plan_rows(method_rows(method, planner.job))
    made_from = {"method": method, **planner.data, "students": _digests(rows)}
    return _results(method, made_from, rows, planner, "test")


def _ablation(planner: StudentPlanner) -> StudentTable:
    rows = planner.plan_rows(ablation_rows(planner.job))
    made_from = {"ablation": _digests_by_row(rows), **planner.data}
    return _results("ablation", made_from, rows, planner, "test")


def _curve(planner: StudentPlanner) -> StudentTable:
    """It may choose the number of steps, so that it must not see test rows."""
    rows = planner.plan_rows(curve_rows(planner.job))
    made_from = {"curve": _digests_by_row(rows), **planner.data}
    return _results("curve", made_from, rows, planner, "validation")


def _results(
    name: str,
    made_from: dict[str, Any],
    rows: dict[str, list[Student]],
    planner: StudentPlanner,
    split: str,
) -> StudentTable:
    record = planner.job.run.distill(name)
    return StudentTable(record, "distill", made_from, owns_folder=False, rows=rows, split=split)


def _digests_by_row(rows: dict[str, list[Student]]) -> dict[str, list[str]]:
    return {row: [student.artefact.digest for student in rows[row]] for row in rows}


def _digests(rows: dict[str, list[Student]]) -> list[str]:
    return [student.artefact.digest for row in rows.values() for student in row]


def to_train(students: Iterable[Student]) -> tuple[list[Student], list[Student]]:
    """Students without repetitions: what has to be trained before others, then those asked for."""
    asked = {student.artefact.record: student for student in students}
    before = {one.previous.artefact.record: one.previous for one in asked.values() if one.previous}
    return list(before.values()), list(asked.values())


# Which students


def search_rows(preset: Preset) -> dict[str, list[StudentSpec]]:
    """The students of each candidate: no fakes and each rho with each share, each network, each
    seed; none sees the rows that choose.
    """
    paper = preset.data.protocol == "paper"
    networks = dict.fromkeys(pair[2] for pair in preset.distill.pairs)
    shares: list[Any] = preset.search.shares or [preset.distill.fake_share]
    candidates: dict[str, dict[str, Any]] = {"none": {}}
    for rho, share in product(preset.search.grid, shares):
        fakes = {"selection": full_selection(preset, rho), "share": share}
        candidates[f"{rho:g}, {share}"] = fakes
    return {
        name: [
            StudentSpec(network, "nokd", seed, held_out=paper, **fakes)
            for network, seed in product(networks, preset.search.seeds)
        ]
        for name, fakes in candidates.items()
    }


def methods(job: Job) -> list[str]:
    """The methods of a call, by default those of the preset; UserError where one does not apply."""
    asked = job.overrides.method
    if asked is None:
        return list(job.preset.distill.methods)
    try:
        method = check_method(asked)
        check_applies(method, job.preset)
    except ValueError as error:
        raise UserError(f"--method {asked}: {error}", USAGE) from None
    return [method]


def method_rows(method: str, job: Job) -> dict[str, list[StudentSpec]]:
    """The students of a method, each pair and each seed: one row, or with fakes one for each of
    distill.nfake.
    """
    base, distill = base_of(method), job.preset.distill
    selections: list[FakeSelection | None] = selections_of(job) if uses_fakes(method) else [None]
    numbers = [selection.num if selection else 0 for selection in selections]
    names = [f"{method} ({num})" for num in numbers] if len(numbers) > 1 else [method]
    chains = dict.fromkeys(_chain(base, *pair) for pair in _pairs(job))
    share = share_of(job) if any(selections) else None
    return {
        name: [
            StudentSpec(
                network,
                base,
                seed,
                teacher,
                assistant,
                selection,
                share if selection else None,
                job.overrides.fakes or "" if selection else "",
            )
            for (teacher, assistant, network), seed in product(chains, distill.seeds)
        ]
        for name, selection in zip(names, selections, strict=True)
    }


def ablation_rows(job: Job) -> dict[str, list[StudentSpec]]:
    """The students of each row of the ablation."""
    preset, overrides = job.preset, job.overrides
    if (overrides.rho or preset.distill.rho) == "none":
        raise UserError(
            "the ablation adds fakes step by step, but rho is none",
            USAGE,
            "name a rho, e.g. --rho 0.7",
        )
    if overrides.fakes:
        raise UserError(
            "the ablation needs the pool of the run, not a file of fakes",
            USAGE,
            "leave out --fake",
        )
    full = full_selection(preset, rho_of(job))
    if full.relabel == "keep":
        full = replace(full, relabel="hard")
    network, share = overrides.student or preset.distill.pairs[0][2], share_of(job)
    return {
        name: [
            StudentSpec(network, "nokd", seed, selection=part_of(full), share=share)
            for seed in preset.distill.seeds
        ]
        for name, part_of in ABLATION.items()
    }


def curve_rows(job: Job) -> dict[str, list[StudentSpec]]:
    """The students of each method at each number of steps; none sees the rows that compare."""
    steps, paper = curve_steps(job), job.preset.data.protocol == "paper"
    return {
        name: [replace(spec, steps=num, held_out=paper) for num in steps for spec in specs]
        for method in methods(job)
        for name, specs in method_rows(method, job).items()
    }


def curve_steps(job: Job) -> list[int]:
    """The numbers of steps that a call asks for, increasing; UserError where they are none."""
    asked = job.overrides.curve or ""
    key, _, values = asked.partition("=")
    numbers = [int(text) for text in values.split(",") if text.strip().isdecimal()]
    distinct = sorted(set(numbers))
    if key != "steps" or len(numbers) != len(values.split(",")) or not 1 < len(distinct):
        raise UserError(
            f"--curve {asked}: expected several numbers of steps", USAGE, "e.g. steps=200,800,2400"
        )
    if not 1 <= distinct[0] <= distinct[-1] <= MAX_STEPS:
        raise UserError(f"--curve {asked}: expected numbers from 1 to {MAX_STEPS:,}", USAGE)
    if job.preset.distill.epochs is not None:
        raise UserError(
            f"--curve {asked}: the budget of preset {job.preset.name} is epochs, not steps",
            USAGE,
            "leave it out, or add --set distill.budget=steps --set distill.epochs=none",
        )
    if job.overrides.ablation:
        raise UserError("--curve and --ablation are two calls", USAGE, "leave one of them out")
    return distinct


def wanted(job: Job) -> list[StudentSpec]:
    """The students of the methods, or of the ablation, or of the curve, of a call."""
    if job.overrides.curve:
        tables = [curve_rows(job)]
    elif job.overrides.ablation:
        tables = [ablation_rows(job)]
    else:
        tables = [method_rows(method, job) for method in methods(job)]
    return [spec for rows in tables for row in rows.values() for spec in row]


def _pairs(job: Job) -> list[list[str]]:
    """The pairs of the preset, or those of the one student asked for."""
    every, student = job.preset.distill.pairs, job.overrides.student
    pairs = [pair for pair in every if student in (None, pair[2])]
    if not pairs:
        known = ", ".join(dict.fromkeys(pair[2] for pair in every))
        raise UserError(f"--student {student}: not in distill.pairs (students: {known})", USAGE)
    return pairs


def _chain(base: str, teacher: str, assistant: str, student: str) -> tuple[str, str, str]:
    """Of a pair only what the method uses, so that equal students are one."""
    facts = METHODS[base]
    return (teacher if facts.teacher else "", assistant if facts.assistant else "", student)


# Which fakes


def selections_of(job: Job) -> list[FakeSelection | None]:
    """The fakes that +fake methods use, one selection for each number of them; None is without."""
    distill = job.preset.distill
    numbers = distill.nfake if isinstance(distill.nfake, list) else [distill.nfake]
    if job.overrides.fakes:  # a file of fakes is used as it is
        whole = FakeSelection(subsample=False, relabel="keep")
    elif (job.overrides.rho or distill.rho) == "none":
        return [None]
    else:
        whole = full_selection(job.preset, rho_of(job))
    return [replace(whole, num=num) if num != 0 else None for num in numbers]


def full_selection(preset: Preset, rho: float) -> FakeSelection:
    """All steps of the method with one number of fakes; of several the largest."""
    num, distill = preset.distill.nfake, preset.distill
    return FakeSelection(
        rho=rho,
        relabel=distill.relabel,
        clip=distill.relabel != "unclipped",
        num=max(num) if isinstance(num, list) else num,
        bins=distill.filter_bins,
    )


def is_selected(job: Job) -> bool:
    """Whether rho, or the share of fakes in a batch, is the one that select-rho chooses."""
    return _selects_rho(job) or _selects_share(job)


def without_search(job: Job) -> Job:
    """The same job with a rho and a share in the place of those that select-rho has yet to choose:
    who they teach and what they read is the same with any.
    """
    search = job.preset.search
    known: dict[str, Any] = {}
    if _selects_rho(job):
        known["rho"] = str(max(search.grid))
    if _selects_share(job):
        known["share"] = max(search.shares or [])
    return job.asking(**known)


def _selects_rho(job: Job) -> bool:
    return (job.overrides.rho or job.preset.distill.rho) == "selected"


def _selects_share(job: Job) -> bool:
    """The share that was chosen stays with a rho that is named, such as the one that select-rho
    has printed; fakes of others were not searched.
    """
    preset, overrides = job.preset, job.overrides
    searched = preset.search.shares is not None and preset.distill.rho == "selected"
    with_fakes = overrides.rho != "none" and not overrides.fakes
    return searched and with_fakes and overrides.share is None


def share_of(job: Job) -> BatchShare:
    """The share of fakes in a batch: of the call, of the preset, or the selected one."""
    asked = job.overrides.share
    if asked is not None and not 0 < asked < 1:
        raise UserError(f"--share {asked:g}: expected a number between 0 and 1", USAGE)
    if _selects_share(job):
        return float(fact(job.run.search, "select-rho", "best_share", float))
    return job.preset.distill.fake_share if asked is None else asked


def rho_of(job: Job) -> float:
    """The rho of the call, of the preset, or the selected one."""
    asked = job.overrides.rho or job.preset.distill.rho
    if _selects_rho(job):
        return float(fact(job.run.search, "select-rho", "best_rho", (int, float)))
    try:
        value = float(asked)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UserError(f"--rho {asked}: expected a number in (0, 1] or none", USAGE)
    return value
