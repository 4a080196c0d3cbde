"""How long networks take to answer on this machine, and of a run all its networks, which are kept
beside its page.
"""

import os
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from cgankd import cpu, report, runs
from cgankd.deploy.loading import load
from cgankd.deploy.model import Compute, Model
from cgankd.models.operations import Operations
from cgankd.randomness import generator
from cgankd.runs import RunFolder
from cgankd.timing import SECONDS, interleaved

IMAGES = 64  # of a batch
BRIEF = 0.3  # seconds for the networks of a run

K = TypeVar("K")


def keep(root: Path, device: torch.device, seconds: float = BRIEF) -> None:
    """Measures each kind of network of a run once, in torch, and keeps that for the report; nothing
    where the run has no networks yet. UserError where one of them does not stand as it was made.
    """
    places = report.kinds(report.read(root))
    models: dict[report.Kind, Model] = {kind: load(path, device) for kind, path in places.items()}
    if not models:
        return
    pixels = noise(next(iter(models.values())).size, IMAGES)
    times = milliseconds({kind: one.outputs for kind, one in models.items()}, pixels, seconds)
    networks = [
        {
            **{"network": kind[0], "parameters": kind[1]},
            **{"multiply_adds": multiply_adds(models[kind]), "one": one, "batch": batch},
        }
        for kind, (one, batch) in times.items()
    ]
    facts = {"images": IMAGES, "networks": networks, "made_on": _machine(device)}
    runs.write_json(RunFolder(root).latency, facts)


def milliseconds(
    computes: dict[K, Compute], pixels: Tensor, seconds: float = SECONDS
) -> dict[K, tuple[float, float]]:
    """Of each the median time for the first of the pixels and for all of them, in turns. It starts
    and ends with pixels and outputs in memory; of decoding files nothing is in it.
    """

    def times(given: Tensor) -> list[float]:
        works = {name: _answering(compute, given) for name, compute in computes.items()}
        # Who computes on a GPU has answered when the answer is known here.
        found = interleaved(works, torch.device("cpu"), seconds)
        return [1000 * time.wall for time in found.values()]

    return dict(zip(computes, zip(times(pixels[:1]), times(pixels), strict=True), strict=True))


def _answering(compute: Compute, pixels: Tensor) -> Any:
    return lambda: compute(pixels).sum().item()


def noise(size: int, num: int) -> Tensor:
    """Pixels uint8 (num, 3, size, size) to be timed with."""
    draws = generator(0, "noise to be timed")
    return torch.randint(256, (num, 3, size, size), dtype=torch.uint8, generator=draws)


def multiply_adds(model: Model) -> int:
    """Of convolutions and products of matrices, for one image."""
    assert model.network is not None
    device = next(model.network.parameters()).device
    with Operations() as counter, torch.no_grad():
        model.network(torch.zeros(1, 3, model.size, model.size, device=device))
    return counter.num


def _machine(device: torch.device) -> dict[str, Any]:
    """What times are those of."""
    return {
        "processor": _processor(device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count() or 1,
        "load": os.getloadavg()[0],
        **runs.environment(),
    }


def _processor(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu.name()
