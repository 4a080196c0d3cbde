"""The finished records of a run folder, read and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgankd import preset, runs
from cgankd.errors import DATA, UserError
from cgankd.preset import Preset
from cgankd.runs import RunFolder

Record = dict[str, Any]

MEMBER = {
    "row",
    "seed",
    "teacher",
    "assistant",
    "rho",
    "network",
    "parameters",
    "steps",
    "fakes",
    "validation",
    "test",
    "student",
}


@dataclass(frozen=True)
class RunRecords:
    """What is finished in one run folder, and its preset."""

    run: RunFolder
    preset: Preset
    methods: dict[str, Record]  # NOKD first, then as in the preset
    teachers: dict[str, Record]
    students: dict[str, Record]  # by folder name
    ablation: Record | None
    data: Record | None
    gan: Record | None
    dre: Record | None
    pool: Record | None
    rho: Record | None
    evaluation: Record | None

    @property
    def members(self) -> list[Record]:
        """The scored students of all methods."""
        return [member for record in self.methods.values() for member in record["members"]]

    def but_students(self) -> dict[Path, Record]:
        """Every record but those of the students, in the order in which they are made."""
        run = self.run
        upstream = {
            run.gan: self.gan,
            **{run.teacher(name): record for name, record in self.teachers.items()},
            run.dre: self.dre,
            run.pool: self.pool,
            run.evaluation: self.evaluation,
            run.search: self.rho,
        }
        distilled = {run.distill(name): record for name, record in self.methods.items()}
        every = {**upstream, **distilled, run.distill("ablation"): self.ablation}
        return {path: record for path, record in every.items() if record}

    def by_place(self) -> dict[str, Record]:
        """Every record, by its place in the run folder."""
        students = {self.run.student(name): record for name, record in self.students.items()}
        return {
            str(path.relative_to(self.run.root)): record
            for path, record in {**self.but_students(), **students}.items()
        }

    def rho_used(self) -> float:
        """The rho of the +fake students, else the one chosen, else 1: all fakes."""
        used = [member["rho"] for member in self.members if member["rho"] is not None]
        return float(used[0] if used else (self.rho or {}).get("best_rho", 1.0))


def read(root: Path) -> RunRecords:
    """The records of a run folder; UserError when there are no scored students."""
    run = RunFolder(root)
    settings = preset.load(run.preset)
    distilled = _distilled(run)
    order = dict.fromkeys(["nokd", *settings.distill.methods, *distilled])
    members = [member for record in distilled.values() for member in record["members"]]
    teachers = {name: _finished(run.teacher(name)) for name in settings.teacher.networks}
    students = {
        name: _finished(run.student(name))
        for name in dict.fromkeys(member["student"] for member in members)
    }
    return RunRecords(
        run,
        settings,
        methods={
            name: distilled[name] for name in order if name in distilled and name != "ablation"
        },
        teachers={name: record for name, record in teachers.items() if record},
        students={name: record for name, record in students.items() if record},
        ablation=distilled.get("ablation"),
        data=runs.read_json(run.data) if run.data.exists() else None,
        gan=_finished(run.gan),
        dre=_finished(run.dre),
        pool=_finished(run.pool),
        rho=_finished(run.search),
        evaluation=_finished(run.evaluation),
    )


def _distilled(run: RunFolder) -> dict[str, Record]:
    """The records of the methods and of the ablation, by the name of their file."""
    # A name with a dot was set aside.
    paths = sorted(path for path in (run.root / "distill").glob("*.json") if "." not in path.stem)
    distilled = {path.stem: record for path in paths if (record := _finished(path))}
    if not distilled:
        raise UserError(f"{run.root} has no finished students", DATA, "run `cgankd distill` first")
    for name, record in distilled.items():
        _check(run.distill(name), record)
    return distilled


def _finished(path: Path) -> Record | None:
    record = runs.read_json(path) if path.exists() else {}
    return record if record.get("finished") else None


def _check(path: Path, record: Record) -> None:
    members = record.get("members")
    if (
        not members
        or not {"metric", "unit", "rows", "budget"} <= set(record)
        or any(MEMBER - set(member) for member in members)
    ):
        raise UserError(
            f"{path}: not the results of students",
            DATA,
            "move it away and run `cgankd distill` again",
        )
