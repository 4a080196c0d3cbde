"""The records of a run folder, read and checked, however far the run has come."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cgankd import preset, runs
from cgankd.label import Label
from cgankd.preset import Preset
from cgankd.report.checks import checked
from cgankd.report.facts import (
    Assistant,
    Curve,
    Data,
    Distilled,
    Evaluation,
    FakePool,
    Generator,
    Latency,
    Made,
    Member,
    Ratio,
    Search,
    Teacher,
)
from cgankd.runs import RunFolder

T = TypeVar("T", bound=Made)
F = TypeVar("F")


@dataclass(frozen=True)
class RunRecords:
    """What is finished in one run folder, and its preset."""

    run: RunFolder
    preset: Preset
    methods: dict[str, Distilled]  # NOKD first, then as in the preset
    teachers: dict[str, Teacher]
    students: dict[str, Made]  # by folder name
    assistants: dict[str, Assistant]  # by folder name: those of scored students
    ablation: Distilled | None
    curve: Curve | None
    data: Data | None
    gan: Generator | None
    dre: Ratio | None
    pool: FakePool | None
    search: Search | None
    evaluation: Evaluation | None
    latency: Latency | None

    @property
    def members(self) -> list[Member]:
        """The scored students of all methods."""
        return [member for distilled in self.methods.values() for member in distilled.members]

    @property
    def label(self) -> Label | None:
        """The label of the data, once they have been read."""
        described = self.data or self.pool
        return described.read_label if described else None

    def but_students(self) -> dict[Path, Made]:
        """Every record but those of the students, in the order in which they are made."""
        run = self.run
        upstream = {
            run.gan: self.gan,
            **{run.teacher(name): teacher for name, teacher in self.teachers.items()},
            run.dre: self.dre,
            run.pool: self.pool,
            run.evaluation: self.evaluation,
            run.search: self.search,
        }
        distilled = {run.distill(name): made for name, made in self.methods.items()}
        more = {run.distill("ablation"): self.ablation, run.distill("curve"): self.curve}
        every = {**upstream, **distilled, **more}
        return {path: made for path, made in every.items() if made}

    def by_place(self) -> dict[str, Made]:
        """Every record, by its place in the run folder."""
        students = {self.run.student(name): made for name, made in self.students.items()}
        return {
            str(path.relative_to(self.run.root)): made
            for path, made in {**self.but_students(), **students}.items()
        }

    def rho_used(self) -> float:
        """The rho of the +fake students, else the one chosen, else 1: all fakes."""
        used = [member.rho for member in self.members if member.rho is not None]
        return used[0] if used else self.search.best_rho if self.search else 1.0


def read(root: Path) -> RunRecords:
    """The finished records of a run folder; UserError where one does not hold what it should."""
    run = RunFolder(root)
    settings = preset.load(run.preset)
    distilled, curve = _distilled(run), _finished(run.distill("curve"), Curve)
    members = [member for made in distilled.values() for member in made.members]
    students = dict.fromkeys(
        member.student for member in [*members, *(curve.members if curve else [])]
    )
    trained = _all({name: run.student(name) for name in students}, Made)
    ablation = distilled.pop("ablation", None)
    order = dict.fromkeys(["nokd", *settings.distill.methods, *distilled])
    return RunRecords(
        run,
        settings,
        methods={name: distilled[name] for name in order if name in distilled},
        teachers=_all({name: run.teacher(name) for name in settings.teacher.networks}, Teacher),
        students=trained,
        assistants=_all(_assistants(run, members, trained), Assistant),
        ablation=ablation,
        curve=curve,
        data=_read(run.data, Data) if run.data.exists() else None,
        gan=_finished(run.gan, Generator),
        dre=_finished(run.dre, Ratio),
        pool=_finished(run.pool, FakePool),
        search=_finished(run.search, Search),
        evaluation=_finished(run.evaluation, Evaluation),
        latency=_read(run.latency, Latency) if run.latency.exists() else None,
    )


def _assistants(
    run: RunFolder, members: list[Member], students: dict[str, Made]
) -> dict[str, Path]:
    """The records of those who have taught scored students, by their folders, whose names end in
    the digest that a student's record names; who is scored as a student is none of them.
    """
    known = [(member.assistant, students.get(member.student)) for member in members]
    paths = [
        path
        for name, made in known
        if name and made and (digest := made.inputs.get("assistant"))
        for path in run.students(f"{name}-*-{digest[:8]}")
    ]
    return {path.parent.name: path for path in paths if path.parent.name not in students}


def _distilled(run: RunFolder) -> dict[str, Distilled]:
    """The records of the methods and of the ablation, by the name of their file."""
    # A name with a dot was set aside.
    paths = sorted(path for path in (run.root / "distill").glob("*.json") if "." not in path.stem)
    return _all({path.stem: path for path in paths if path.stem != "curve"}, Distilled)


def _all(paths: dict[str, Path], kind: type[T]) -> dict[str, T]:
    """Those of the records that are finished."""
    made = {name: _finished(path, kind) for name, path in paths.items()}
    return {name: record for name, record in made.items() if record}


def _finished(path: Path, kind: type[T]) -> T | None:
    """The facts of a finished record; None where it is missing or begun."""
    return _read(path, kind) if is_finished(path) else None


def _read(path: Path, kind: type[F]) -> F:
    return checked(kind, runs.read_json(path), path)


def is_finished(path: Path) -> bool:
    """Whether a record stands and is finished."""
    return path.exists() and runs.read_json(path).get("finished") is True
