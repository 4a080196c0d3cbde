"""distill: the students of each method, scored once on the test rows; those of a curve on the
validation rows.
"""

from typing import Any

from cgankd import console, plan, report, runs
from cgankd.data.batches import outputs_of
from cgankd.errors import UserError
from cgankd.job import Job
from cgankd.plan import Student, StudentTable
from cgankd.preset import uses_fakes
from cgankd.runs import fact, finished
from cgankd.stages.students import StudentInputs, train_all
from cgankd.training.machine import Machine


def run(job: Job, machine: Machine) -> None:
    """Trains what the methods (or the ablation, or the curve) of the call need, then writes their
    results.
    """
    tables = plan.distilled(job)
    _note(tables, job)
    unfinished = [table for table in tables if table.state() != "done"]
    machine.barrier()  # all processes have looked
    inputs = StudentInputs(job, machine)
    students = [student for table in unfinished for student in table.students]
    for batch in plan.to_train(students):  # assistants and heads come before those they teach
        train_all("students", batch, inputs, machine)

    def finish() -> None:
        for table in unfinished:
            _write(table, inputs, machine)
        _write_cards(unfinished, inputs)

    machine.once(finish)


def _note(tables: list[StudentTable], job: Job) -> None:
    """Says where the fakes asked for are not used, or those of the pool not to be recommended."""
    with_fakes = {table.record.stem: table for table in tables if uses_fakes(table.record.stem)}
    students = [student for table in with_fakes.values() for student in table.students]
    if not students:
        return
    if not any(student.selection for student in students):
        names = ", ".join(with_fakes)
        console.warn(f"rho is none, or distill.nfake 0: {names} train without fakes")
    elif not job.overrides.fakes and _none_won(job):
        console.warn(
            "fakes were no better than none on validation rows: +fake methods are not recommended"
        )


def _none_won(job: Job) -> bool:
    """Whether the search that chose rho preferred no fakes."""
    searched = job.preset.distill.rho == "selected" and job.run.search.exists()
    return searched and not finished(job.run.search, "select-rho").get("rho")


def _write(table: StudentTable, inputs: StudentInputs, machine: Machine) -> None:
    members = [
        _member(row, student, table.split, inputs)
        for row, students in table.rows.items()
        for student in students
    ]
    table.finish(
        made_on=machine.facts,
        members=members,
        metric=inputs.task.metric,
        unit=inputs.task.unit,
        rows=len(inputs.splits[table.split]),
        budget=inputs.job.preset.distill.budget,
    )


def _write_cards(tables: list[StudentTable], inputs: StudentInputs) -> None:
    """A card beside each student; those of all methods, since one may have been scored by others
    before.
    """
    if not tables:
        return
    try:
        records = report.read(inputs.job.run.root)
    except UserError as error:  # of another record: these students are finished all the same
        console.warn(f"no cards are written: {error}")
        return
    for member in records.members:
        record = inputs.job.run.student(member.student)
        if not record.is_file():  # it was removed since
            continue
        text = report.card(
            inputs.task.label,
            inputs.side,
            member.parameters,
            records=records,
            student=member.student,
        )
        runs.write_bytes(record.with_name("README.md"), text.encode())


def _member(row: str, student: Student, split: str, inputs: StudentInputs) -> dict[str, Any]:
    """What the record says of one student."""
    record, selection = student.artefact.record, student.selection
    tested = _tested(student, inputs) if split == "test" else {}
    kept = {"network": str, "parameters": int, "steps": int, "fakes": int, "validation": float}
    return {
        "row": row,
        "seed": student.seed,
        "teacher": student.teacher,
        "assistant": student.assistant,
        "rho": selection.rho if selection and not student.fakes_file else None,
        "nfake": selection.num if selection else 0,
        "share": student.share,
        "file": student.fakes_file,
        **{key: fact(record, "distill", key, kind) for key, kind in kept.items()},
        **tested,
        "student": record.parent.name,
    }


def _tested(student: Student, inputs: StudentInputs) -> dict[str, Any]:
    """The score of a student on the test rows, which is taken here and nowhere else, and that of
    each part of the label.
    """
    test = inputs.splits["test"]
    outputs = outputs_of(inputs.load(student), test)
    parts = inputs.task.breakdown(outputs, test.labels).get("parts")
    score = {"test": inputs.task.score(outputs, test.labels)}
    return {**score, **({"parts": parts} if parts else {})}
