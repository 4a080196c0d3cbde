"""Medians of things that are done in turns, so that what else a machine does hits all of them."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

WARM = 2  # rounds that are not counted
RECORDED = 3  # and more of them on a GPU, where a step is recorded in the fourth
ROUNDS, SECONDS = 5, 3.0  # at least so many rounds, and more in so much time
MOST = 200

K = TypeVar("K")


@dataclass(frozen=True)
class Time:
    """Of one round: seconds of the wall clock and of all threads of this process."""

    wall: float  # median
    spread: float  # half of the range of the middle half of the rounds
    cpu: float  # median


def interleaved(
    works: dict[K, Callable[[], object]], device: torch.device, seconds: float = SECONDS
) -> dict[K, Time]:
    """The time of each work, all done once per round."""
    walls: dict[K, list[float]] = {name: [] for name in works}
    cpus: dict[K, list[float]] = {name: [] for name in works}
    first, rounds = 0.0, 0
    warm = WARM + (RECORDED if device.type == "cuda" else 0)
    while rounds < warm + ROUNDS or (time.perf_counter() - first < seconds and rounds < MOST):
        if rounds == warm:
            first = time.perf_counter()
        for name, work in works.items():
            wall, cpu = _once(work, device)
            if rounds >= warm:
                walls[name].append(wall)
                cpus[name].append(cpu)
        rounds += 1
    return {
        name: Time(statistics.median(wall), _spread(wall), statistics.median(cpus[name]))
        for name, wall in walls.items()
    }


def _once(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def _spread(times: list[float]) -> float:
    quarters = statistics.quantiles(times, n=4, method="inclusive")
    return (quarters[2] - quarters[0]) / 2
