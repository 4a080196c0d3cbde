"""What a network costs in use: its size, its operations, and how long it takes on this machine."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from cgankd import console
from cgankd.deploy import onnx_file, quantisation, safetensors_file
from cgankd.deploy.home import home_of
from cgankd.deploy.latency import milliseconds, multiply_adds, noise
from cgankd.deploy.model import Compute, Model
from cgankd.errors import UserError
from cgankd.models.saved import num_parameters


def bench(model: Model, batch: int) -> dict[str, Any]:
    """Parameters, multiply-adds for one image, and for each runtime that this machine has the bytes
    of its file and the median milliseconds for one image and for `batch`.
    """
    facts: dict[str, Any] = {"batch": batch, "threads": torch.get_num_threads()}
    if model.network is not None:
        facts |= {
            "parameters": num_parameters(model.network),
            "multiply_adds": multiply_adds(model),
        }
    found = _runtimes(model)
    computes = {name: compute for name, (_, compute) in found.items()}
    times = milliseconds(computes, noise(model.size, batch))
    rows = [
        {"runtime": name, "bytes": found[name][0], "one": one, "batch": many}
        for name, (one, many) in times.items()
    ]
    return {**facts, "runtimes": rows}


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
