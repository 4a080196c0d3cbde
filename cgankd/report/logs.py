"""What training left beside its records: losses by step, and sample sheets of the GAN."""

import json
from collections.abc import Iterator
from pathlib import Path

from cgankd.report.records import RunRecords
from cgankd.runs import RunFolder

Curve = list[tuple[int, float]]  # (step, loss)


def sample_sheets(run: RunFolder) -> list[Path]:
    """The sample sheets of the GAN by step."""
    return sorted((run.gan.parent / "samples").glob("*.png"))


def loss_logs(records: RunRecords) -> dict[str, dict[str, Path]]:
    """The logs of losses: by what is trained; of the students, the first of each method."""
    run = records.run
    trained = [run.gan, *map(run.teacher, records.teachers), run.dre]
    logs = [log for record in trained for log in sorted(record.parent.glob("**/metrics.jsonl"))]
    groups = {str(log.parent.relative_to(run.root)): {"": log} for log in logs}
    firsts = {
        name: run.student(record["members"][0]["student"]).parent
        for name, record in records.methods.items()
    }
    return {
        **groups,
        "students": {name: folder / "metrics.jsonl" for name, folder in firsts.items()},
    }


def losses(records: RunRecords) -> dict[str, dict[str, Curve]]:
    """Curves of (step, loss) by what is trained and by term; of the students, the sum of the terms
    by method.
    """
    panels: dict[str, dict[str, Curve]] = {}
    for title, group in loss_logs(records).items():
        for name, log in group.items():
            for row in _lines(log):
                step = int(row.pop("step"))
                for term, value in {name: sum(row.values())}.items() if name else row.items():
                    panels.setdefault(title, {}).setdefault(term, []).append((step, value))
    return panels


def _lines(log: Path) -> Iterator[dict[str, float]]:
    """The rows of a log; the last one may be torn."""
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            yield row
