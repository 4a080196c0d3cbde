"""What a network costs in use: its size, its operations, and how long it takes on this machine."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgankd import console
from cgankd.deploy import onnx_file, quantisation, safetensors_file
from cgankd.deploy.home import home_of
from cgankd.deploy.model import Compute, Model
from cgankd.errors import UserError
from cgankd.models.operations import Operations
from cgankd.models.saved import num_parameters
from cgankd.randomness import generator

WARM = 3  # calls before any is timed
CALLS = 20  # timed, whose median is told
SECONDS = 5.0  # after which no more calls of one kind are made


def bench(model: Model, batch: int) -> dict[str, Any]:
    """Parameters, multiply-adds for one image, and for each runtime that this machine has the bytes
    of its file and the median milliseconds for one image and for `batch`. The time starts and ends
    with pixels and outputs in memory; of decoding files nothing is in it.
    """
    facts: dict[str, Any] = {"batch": batch, "threads": torch.get_num_threads()}
    if model.network is not None:
        facts |= {
            "parameters": num_parameters(model.network),
            "multiply_adds": multiply_adds(model),
        }
    draws = generator(0, "noise to be timed")
    shape = (batch, 3, model.size, model.size)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=draws)
    rows = [
        {
            "runtime": name,
            "bytes": size,
            "one": milliseconds(compute, pixels[:1]),
            "batch": milliseconds(compute, pixels),
        }
        for name, (size, compute) in _runtimes(model).items()
    ]
    return {**facts, "runtimes": rows}


def multiply_adds(model: Model) -> int:
    """Of convolutions and products of matrices, for one image."""
    assert model.network is not None
    device = next(model.network.parameters()).device
    with Operations() as counter, torch.no_grad():
        model.network(torch.zeros(1, 3, model.size, model.size, device=device))
    return counter.num


def milliseconds(compute: Compute, pixels: Tensor) -> float:
    """The median time of a call."""
    times: list[float] = []
    began = time.perf_counter()
    for call in range(WARM + CALLS):
        start = time.perf_counter()
        compute(pixels).sum().item()  # a GPU has answered once that is known
        if call >= WARM:
            times.append(time.perf_counter() - start)
        if times and time.perf_counter() - began > SECONDS:
            break
    return 1000 * statistics.median(times)


def _runtimes(model: Model) -> dict[str, tuple[int, Compute]]:
    """What computes the network, with the bytes of its file: torch, and with the extra [onnx] also
    onnxruntime, where the images of its run are there in 8 bits too.
    """
    if model.network is None:
        return {"onnx": (model.place.stat().st_size, model.outputs)}
    found: dict[str, tuple[int, Compute]] = {
        "torch": (len(safetensors_file.write(model)), model.outputs)
    }
    try:
        graph = onnx_file.graph_of(model)
        found["onnx"] = (len(graph), onnx_file.computing(graph))
        if home := home_of(model):
            with tempfile.TemporaryDirectory() as folder:
                data, _ = quantisation.quantised(model, home, Path(folder) / "x.onnx", graph)
            found["onnx int8"] = (len(data), onnx_file.computing(data))
    except UserError as error:
        console.say(f"not measured: {error} ({error.hint})")
    return found


def show(found: dict[str, Any]) -> None:
    """The same as a table on stderr."""
    if "parameters" in found:
        operations = f"{found['multiply_adds'] / 1e6:,.3g} million multiply-adds"
        console.say(f"{found['parameters']:,} parameters, {operations} for an image")
    header = ["runtime", "file (kB)", "one image (ms)", f"{found['batch']} images (ms)"]
    rows = [
        [row["runtime"], f"{row['bytes'] / 1000:,.0f}", f"{row['one']:.3g}", f"{row['batch']:.3g}"]
        for row in found["runtimes"]
    ]
    console.table(f"Medians, {found['threads']} threads", header, rows)
