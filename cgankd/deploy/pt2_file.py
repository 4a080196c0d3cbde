"""Exported .pt2: a program of torch.export with its weights.

torch.export.load is not for files of strangers: it unpickles what a file says is pickled (weights,
constants, example inputs), evaluates the text of symbolic shapes, and loads compiled libraries. So
a .pt2 is read here as what it holds as plain bytes: the description and the weights, from which the
network is rebuilt. That the program gives the same is checked when it is written.
"""

import io
import json
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cgankd.deploy import description
from cgankd.deploy.description import KEY
from cgankd.deploy.model import Compute, Deployed, Model, Parts
from cgankd.models.saved import blank, placed, rebuild

OWN = f"extra/{KEY}.json"
WEIGHTS = "data/weights/"
CONFIG = WEIGHTS + "model_weights_config.json"
UNSEALED = (".data/serialization_id",)  # differs each time
PREFIX = "network."  # of the weights in the program


def write(model: Model) -> bytes:
    """The whole file; the batch may have any size when it is used."""
    images = torch.zeros(2, 3, model.size, model.size, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what torch itself will change
        program = torch.export.export(
            Deployed(model),
            (images,),
            dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
        )
        for node in program.graph.nodes:  # paths of this machine
            node.meta.pop("stack_trace", None)
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    entries, root = _entries(buffer.getvalue())
    text = description.describe(model.facts, model.task, _payload(entries))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{root}/{OWN}", text)
    return buffer.getvalue()


def program_of(data: bytes) -> Compute:
    """What the program of bytes that were just written gives, by torch's own loader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = torch.export.load(io.BytesIO(data)).module()
    return lambda pixels: run(pixels)


def read(path: Path, data: bytes, device: torch.device) -> Parts:
    """The network of a file."""
    try:
        entries, _ = _entries(data)
    except Exception as error:  # zipfile has many ways to say so
        raise description.damaged(path, f"not readable as an archive of torch ({error})") from error
    facts, told = description.read(entries.get(OWN), path)
    description.check(_payload(entries), told, path)
    try:
        state = _weights(entries, facts.architecture)
        return Parts(path, facts, placed(rebuild(facts.architecture, state), device))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise description.damaged(path, f"its weights are not readable ({error})") from error


def _entries(data: bytes) -> tuple[dict[str, bytes], str]:
    """What the files of an archive hold, by their names below its one folder, and that folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if sum(one.file_size for one in infos) > len(data):
            raise ValueError("it is compressed")
        roots = {one.filename.partition("/")[0] for one in infos}
        if len(roots) != 1 or len({one.filename for one in infos}) != len(infos):
            raise ValueError("its files are not in one folder, or twice there")
        (root,) = roots
        # Reading checks the sum of each.
        return {one.filename.partition("/")[2]: archive.read(one) for one in infos}, root


def _payload(entries: dict[str, bytes]) -> dict[str, str]:
    names = sorted(entries.keys() - {OWN, *UNSEALED})
    return {name: description.sha256(entries[name]) for name in names}


def _weights(entries: dict[str, bytes], architecture: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of the network, each from the bytes that the archive names for it."""
    config = json.loads(entries[CONFIG])["config"]
    state = {}
    for key, expected in blank(architecture).state_dict().items():
        held = config[PREFIX + key]
        strides = [one["as_int"] for one in held["tensor_meta"]["strides"]]
        if held["use_pickle"] or strides != list(expected.stride()):
            raise ValueError(f"{key} is not stored as plain numbers")
        raw = entries[WEIGHTS + held["path_name"]]
        dtype = torch.empty(0, dtype=expected.dtype).numpy().dtype
        if math.prod(expected.shape) * dtype.itemsize != len(raw):
            raise ValueError(f"{key} has {len(raw)} bytes")
        values = np.frombuffer(bytearray(raw), dtype).reshape(tuple(expected.shape))
        state[key] = torch.from_numpy(values)
    return state
