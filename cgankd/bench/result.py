"""What a bench found, as a table for people and as facts for programs."""

import os
from dataclasses import asdict, dataclass
from typing import Any

import torch

from cgankd import console, pipeline, plan, runs, sources
from cgankd.bench.kept import keep
from cgankd.bench.memory import peak, reset_peak
from cgankd.bench.probes import Probe, Probes
from cgankd.job import Job
from cgankd.precision import instructions
from cgankd.task import make_task
from cgankd.timing import interleaved
from cgankd.training.machine import Machine

HEADER = [
    "stage",
    "network",
    "precision",
    "images/s",
    "ms a step",
    "+-",
    "outside (%)",
    "memory (MB)",
    "all of it (s)",
]


@dataclass(frozen=True)
class Row:
    """Of one kind of network: how fast its steps are, and how long all of them will take."""

    stage: str
    name: str
    precision: str
    threads: int
    images_per_second: float
    milliseconds: float  # of a step, by the wall clock
    spread: float
    cpu_milliseconds: float
    outside: float | None  # share of a step that is not the network's: data, augmentation, notes
    memory: int | None  # bytes at the peak
    steps: int
    num: int
    seconds: float  # of all `num`, as many processes as cores training students
    against_plain: float | None  # how many times as fast as the usual loop


def bench(job: Job, stage: str | None, *, plain: bool) -> dict[str, Any]:
    """Times the stages of a job, or one of them: {"rows", "seconds", and what they were made on}.

    Nothing is read but what the data are, and nothing is written but the result, which --dry-run
    quotes.
    """
    label = pipeline.known_label(job) or sources.load(job.preset.data, job.preset.seed).label
    machine, load = Machine(**job.computing), os.getloadavg()[0]
    probes = Probes(job, make_task(label), machine, plain=plain)
    rows: list[Row] = []
    for one in plan.chain_of(job.preset):
        if stage in (None, one.name):
            with pipeline.threads_of(one, job, machine.device.type):
                rows += [_measured(probe) for probe in probes.of(one.name)]
    result = {
        "preset": job.preset.name,
        "rows": [asdict(row) for row in rows],
        "seconds": sum(row.seconds for row in rows),
        "made_on": {
            **machine.facts,
            **runs.environment(),
            "cores": os.cpu_count(),
            "instructions": list(instructions()),
            "load": load,
        },
    }
    _say(rows, result)
    if stage is None:
        keep(job, result)
    return result


def _measured(probe: Probe) -> Row:
    works = {"step": probe.step, "bare": probe.bare, "plain": probe.plain}
    device = probe.machine.device
    reset_peak(device)
    times = interleaved({name: work for name, work in works.items() if work}, device)
    step, bare, usual = times["step"], times.get("bare"), times.get("plain")
    # On a CPU what others do there stretches the clock of the wall, and not the processor's.
    own = {name: time.cpu if device.type == "cpu" else time.wall for name, time in times.items()}
    students = probe.stage == "distill" and device.type == "cpu"
    processes = max(1, min(os.cpu_count() or 1, pipeline.MAX_PROCESSES)) if students else 1
    console.say(f"{probe.stage} {probe.name}: {probe.images / step.wall:,.0f} images a second")
    return Row(
        stage=probe.stage,
        name=probe.name,
        precision=probe.machine.precision,
        threads=torch.get_num_threads(),
        images_per_second=probe.images / step.wall,
        milliseconds=1e3 * step.wall,
        spread=1e3 * step.spread,
        cpu_milliseconds=1e3 * step.cpu,
        outside=max(0.0, 1 - own["bare"] / own["step"]) if bare else None,
        memory=peak(device),
        steps=probe.steps,
        num=probe.num,
        seconds=probe.num * probe.steps * step.wall / processes,
        against_plain=own["plain"] / own["step"] if usual else None,
    )


def _say(rows: list[Row], result: dict[str, Any]) -> None:
    made, header = result["made_on"], list(HEADER)
    compared = any(row.against_plain for row in rows)
    if compared:
        header.append("/ plain loop")
    lines = [_line(row) + ([_number(row.against_plain, 2)] if compared else []) for row in rows]
    console.table(f"{result['preset']} on {made['device']}", header, lines)
    extra = ", ".join(made["instructions"]) or "no bf16 instructions"
    console.say(
        f"about {result['seconds'] / 60:.1f} minutes for what was timed ({made['cores']} cores, "
        f"{extra}, load {made['load']:.1f}, torch {made['torch']}); medians of steps in turns"
    )


def _line(row: Row) -> list[str]:
    return [
        row.stage,
        row.name,
        row.precision,
        f"{row.images_per_second:,.0f}",
        f"{row.milliseconds:.1f}",
        f"{row.spread:.1f}",
        _number(None if row.outside is None else 100 * row.outside, 0),
        _number(None if row.memory is None else row.memory / 1e6, 0),
        f"{row.seconds:,.0f}",
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
