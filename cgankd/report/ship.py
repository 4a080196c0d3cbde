"""Which student of a run to use."""

import math
import statistics
from typing import Any

from cgankd.report.comparison import Row
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


def by_size(records: RunRecords) -> list[Row]:
    """The teachers, and the students of each method and network by their mean over seeds, from the
    smallest on: validation score and parameters, and whether no smaller network is as good.
    """
    groups: dict[tuple[str, str], list[Member]] = {}
    for member in records.members:
        groups.setdefault((member.network, member.row), []).append(member)
    points: list[Row] = [
        {"name": name, "method": "", "parameters": one.parameters, "validation": one.validation}
        for name, one in records.teachers.items()
        if one.validation is not None
    ]
    for (network, method), members in groups.items():
        scores = statistics.fmean(member.validation for member in members)
        size = members[0].parameters
        points.append({"name": network, "method": method, "parameters": size, "validation": scores})
    best = math.inf
    points.sort(key=lambda point: (point["parameters"], point["validation"]))
    for point in points:
        point["frontier"] = point["validation"] < best
        best = min(best, point["validation"])
    return points
