"""distill: the students of each method, scored once on the test rows."""

from typing import Any

from cgankd import console, plan
from cgankd.plan import Overrides, Student
from cgankd.preset import Preset
from cgankd.runs import Artefact, Run, read_json
from cgankd.stages.students import StudentInputs, train_all
from cgankd.training.machine import Machine


def run(preset: Preset, run: Run, machine: Machine, call: Overrides) -> None:
    """Trains what the methods (or the ablation) of the call need, then writes their results."""
    school = StudentInputs(preset, run, machine)
    if call.ablation:
        groups = {"ablation": plan.ablation_students(preset, run, call)}
    else:
        groups = {
            method: plan.method_rows(method, preset, run, call)
            for method in plan.methods(preset, call)
        }
    _note(groups, preset, run)
    artefacts = dict(zip(groups, plan.artefacts("distill", preset, run, call), strict=True))
    open_groups = {name: rows for name, rows in groups.items() if artefacts[name].state() != "done"}
    machine.barrier()
    students = [
        student for rows in open_groups.values() for row in rows.values() for student in row
    ]
    for batch in (plan.previous(students), list(dict.fromkeys(students))):
        train_all("students", batch, school, machine)
    if machine.is_main:
        for name, rows in open_groups.items():
            _write(artefacts[name], rows, school, machine)
    machine.barrier()


def _note(groups: dict[str, dict[str, list[Student]]], preset: Preset, run: Run) -> None:
    """Says where the fakes asked for are not used, or those of the pool not to be recommended."""
    with_fakes = [name for name in groups if name.endswith("+fake")]
    students = [student for name in with_fakes for row in groups[name].values() for student in row]
    if students and not any(student.view for student in students):
        console.warn(
            f"rho is none, or distill.nfake 0: {', '.join(with_fakes)} train without fakes"
        )
    elif (
        students
        and not any(student.fakes for student in students)
        and preset.distill.rho == "selected"
        and run.rho.exists()
        and read_json(run.rho)["rho"] is None
    ):
        console.warn(
            "no fakes were better than any rho on validation rows: +fake methods are not "
            "recommended"
        )


def _write(
    artefact: Artefact, rows: dict[str, list[Student]], school: StudentInputs, machine: Machine
) -> None:
    members = [
        _member(row, student, school) for row, students in rows.items() for student in students
    ]
    distill, task = school.preset.distill, school.task
    facts: dict[str, Any] = {
        "metric": task.metric,
        "unit": task.unit,
        "rows": len(school.splits["test"]),
        "budget": distill.budget,
    }
    artefact.finish(made_on=machine.facts, members=members, **facts)


def _member(row: str, student: Student, school: StudentInputs) -> dict[str, Any]:
    record = plan.student_artefact(student, school.preset, school.run).record
    trained = read_json(record)
    kept = ("network", "parameters", "steps", "fakes", "validation")
    view = student.view
    return {
        "row": row,
        "seed": student.seed,
        "teacher": student.teacher,
        "assistant": student.assistant,
        "rho": view.rho if view and not student.fakes else None,
        "nfake": view.num if view else 0,
        "file": student.fakes,
        **{key: trained[key] for key in kept},
        "test": school.score(school.load(student), "test"),
        "student": record.parent.name,
    }
