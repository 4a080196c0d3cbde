"""The students that a job asks for, planned once: whoever trains one asks nobody else.

Planning adds to what a student is (`StudentSpec`) its place, its training and what has to be
trained before it.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from cgankd import fakes
from cgankd.job import Job
from cgankd.plan import inputs
from cgankd.plan.selections import BatchShare
from cgankd.plan.specs import (
    StudentSpec,
    ablation_rows,
    curve_rows,
    method_rows,
    methods,
    search_rows,
)
from cgankd.preset import (
    METHODS,
    Training,
)
from cgankd.runs import Artefact, content_of, read_json


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
