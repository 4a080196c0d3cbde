"""Exported .safetensors: weights, with the description in the header."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from cgankd.deploy import description
from cgankd.deploy.description import KEY
from cgankd.deploy.model import Model, Parts
from cgankd.models.saved import placed, rebuild


def write(model: Model) -> bytes:
    """The whole file."""
    assert model.network is not None
    state = {
        key: one.detach().cpu().contiguous() for key, one in model.network.state_dict().items()
    }
    payload = {"weights": description.digest_of(state)}
    return save(state, {KEY: description.describe(model.facts, model.task, payload)})


def read(path: Path, data: bytes, device: torch.device) -> Parts:
    """The network of a file."""
    try:
        state = load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (SafetensorError, ValueError, RecursionError) as error:
        raise description.damaged(path, f"not readable as safetensors ({error})") from error
    facts, told = description.read(header.get(KEY), path)
    description.check({"weights": description.digest_of(state)}, told, path)
    try:
        return Parts(path, facts, placed(rebuild(facts.architecture, state), device))
    except ValueError as error:
        raise description.damaged(path, str(error)) from error
