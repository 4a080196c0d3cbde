"""What training leaves beside its records: losses by step, and sample sheets of the GAN."""

import json
from collections.abc import Iterator
from pathlib import Path

from cgankd.report.checks import fitted
from cgankd.report.records import RunRecords

Curve = list[tuple[int, float]]  # (step, loss)
SHEETS = 3  # of a GAN that is not finished, to see where it is going


def sample_sheets(records: RunRecords) -> dict[int, Path]:
    """The newest sample sheets of the GAN, by step: of a finished one the last, and that of the
    average which was kept.
    """
    sheets = {}
    for path in sorted((records.run.gan.parent / "samples").glob("step-*.png")):
        step = path.stem.removeprefix("step-")
        if step.isdecimal():
            sheets[int(step)] = path
    shown = sorted(sheets)[-1 if records.gan else -SHEETS :]
    if records.gan and records.gan.kept and records.gan.kept.step in sheets:
        shown = sorted({records.gan.kept.step, *shown})
    return {step: sheets[step] for step in shown}


def loss_logs(records: RunRecords) -> dict[str, dict[str, Path]]:
    """The logs of losses: by what is trained; of the students, the first of each method."""
    run = records.run
    trained = [run.gan, *map(run.teacher, records.preset.teacher.networks), run.dre]
    logs = [log for record in trained for log in sorted(record.parent.glob("**/metrics.jsonl"))]
    groups = {str(log.parent.relative_to(run.root)): {"": log} for log in logs}
    firsts = {
        name: run.student(distilled.members[0].student).parent
        for name, distilled in records.methods.items()
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
            for step, terms in _lines(log):
                for term, value in {name: sum(terms.values())}.items() if name else terms.items():
                    panels.setdefault(title, {}).setdefault(term, []).append((step, value))
    return panels


def last_step(log: Path) -> int | None:
    """The newest step of a log, if it has any."""
    return max((step for step, _ in _lines(log)), default=None)


def _lines(log: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The steps of a log with the terms of their loss.

    A line that does not hold just that is left out: a killed writer tears the last one, and a log
    is no reason to have no report.
    """
    try:
        lines = log.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            row = fitted(dict[str, float], json.loads(line))
            step = fitted(int, row.pop("step", None))
        except (ValueError, RecursionError):
            continue
        if row and step >= 0:
            yield step, row
