"""How far a run has come: which of its stages are done, begun and missing."""

from pathlib import Path

from cgankd.plan import chain_of
from cgankd.report.comparison import Row
from cgankd.report.logs import last_step
from cgankd.report.records import RunRecords, is_finished


def stages(records: RunRecords) -> list[Row]:
    """The state of each stage of the preset, and which of its records are not done, with the step
    that their training has come to.
    """
    rows = []
    for stage in chain_of(records.preset):
        paths = stage.records(records.run, records.preset)
        states = {path: _state(path) for path in paths}
        distinct = set(states.values())
        undone = {
            str(path.relative_to(records.run.root)): _step(path) if state == "begun" else None
            for path, state in states.items()
            if state != "done"
        }
        state = distinct.pop() if len(distinct) == 1 else "begun"
        rows.append({"stage": stage.name, "state": state, "not_done": undone})
    return rows


def _state(path: Path) -> str:
    if is_finished(path):
        return "done"
    return "begun" if path.exists() else "missing"


def _step(path: Path) -> int | None:
    return last_step(path.parent / "metrics.jsonl")


def students(records: RunRecords) -> dict[str, int]:
    """How many students, those of the search and assistants too, are done and how many begun."""
    paths = (records.run.root / "students").glob("*/student.json")
    states = [_state(path) for path in paths if "." not in path.parent.name]  # a dot: set aside
    return {state: states.count(state) for state in ("done", "begun")}
