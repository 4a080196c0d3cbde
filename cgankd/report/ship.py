"""Which student of a run to use."""

from typing import Any

from cgankd.report.facts import Member
from cgankd.report.records import RunRecords


def best_student(records: RunRecords) -> Member | None:
    """The student of the smallest validation score, and where several have it the smallest of them;
    None where none has been scored. The test rows have no say.
    """
    return min(
        records.members,
        key=lambda member: (member.validation, member.parameters, member.seed),
        default=None,
    )


def to_ship(records: RunRecords) -> dict[str, Any] | None:
    """What report.json says of that student; its size is that of its weights, in bytes."""
    best = best_student(records)
    if best is None:
        return None
    folder = records.run.student(best.student).parent
    weights = folder / "network.safetensors"
    return {
        "student": best.student,
        "path": str(folder),
        "method": best.row,
        "network": best.network,
        "seed": best.seed,
        "validation": best.validation,
        "test": best.test,
        "parameters": best.parameters,
        "bytes": weights.stat().st_size if weights.is_file() else None,
    }
