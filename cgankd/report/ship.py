"""Which network of a run to use: how well each does, and what it costs.

Operations and times need torch, which the report does not import: they are measured with
`cgankd.deploy.latency`, and read here. A kind of network is a name with a number of parameters.
"""

import math
import statistics
from pathlib import Path
from typing import Any

from cgankd.report.comparison import Row
from cgankd.report.facts import Member, NetworkTime
from cgankd.report.records import RunRecords

COSTS = ("parameters", "one", "batch")  # by which networks are set out
Kind = tuple[str, int]


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
        **_costs(records, (best.network, best.parameters)),
    }


def by_cost(records: RunRecords) -> list[Row]:
    """The teachers, and assistants and students of each method and network by their mean over
    seeds, from the smallest on: validation score, parameters, multiply-adds and milliseconds, these
    None where they were not measured. `frontier` names the costs at which nothing that costs less
    is as good.
    """
    groups: dict[tuple[str, str, str, int], list[float]] = {}
    for name, one in records.teachers.items():
        groups[name, "", "teacher", one.parameters] = [one.validation]
    for made in records.assistants.values():
        method = "blkd+fake" if made.fakes else "blkd"
        key = (made.network, method, "assistant", made.parameters)
        groups.setdefault(key, []).append(made.validation)
    for member in records.members:
        key = (member.network, member.row, "student", member.parameters)
        groups.setdefault(key, []).append(member.validation)
    points: list[Row] = [
        {
            **{"name": name, "method": method, "role": role, "parameters": parameters},
            "validation": statistics.fmean(scores),
            **_costs(records, (name, parameters)),
        }
        for (name, method, role, parameters), scores in groups.items()
    ]
    points.sort(key=lambda point: (point["parameters"], point["validation"]))
    fronts = {cost: _frontier(points, cost) for cost in COSTS}
    for place, point in enumerate(points):
        point["frontier"] = [cost for cost in COSTS if place in fronts[cost]]
    return points


def _frontier(points: list[Row], cost: str) -> set[int]:
    """The places of those points that are better than all that cost no more."""
    known = [place for place, point in enumerate(points) if point[cost] is not None]
    known.sort(key=lambda place: (points[place][cost], points[place]["validation"]))
    found, best = set(), math.inf
    for place in known:
        if points[place]["validation"] < best:
            found.add(place)
            best = points[place]["validation"]
    return found


def _costs(records: RunRecords, kind: Kind) -> dict[str, Any]:
    timed = _timed(records).get(kind)
    return {key: timed and getattr(timed, key) for key in ("multiply_adds", "one", "batch")}


def _timed(records: RunRecords) -> dict[Kind, NetworkTime]:
    rows = records.latency.networks if records.latency else []
    return {(row.network, row.parameters): row for row in rows}


def kinds(records: RunRecords) -> dict[Kind, Path]:
    """Each kind of network that `by_cost` tells of, with the record of one."""
    run = records.run
    every = {
        **{run.teacher(name): (name, one.parameters) for name, one in records.teachers.items()},
        **{
            run.student(name): (one.network, one.parameters)
            for name, one in records.assistants.items()
        },
        **{run.student(one.student): (one.network, one.parameters) for one in records.members},
    }
    return {kind: path for path, kind in every.items() if path.is_file()}


def untimed(records: RunRecords) -> bool:
    """Whether something that `by_cost` tells of was not measured yet."""
    return not kinds(records).keys() <= _timed(records).keys()
