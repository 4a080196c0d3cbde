"""Trained networks on disk: NAME.safetensors with the weights, NAME.json with what rebuilds the
network.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from cgankd import runs
from cgankd.errors import DATA, DIVERGED, UserError
from cgankd.models import NETWORKS, make_network


def save_network(
    folder: Path, name: str, network: nn.Module, architecture: dict[str, Any]
) -> list[Path]:
    """Writes the network whole; returns the two files. Weights that are not finite are refused."""
    state = {
        key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()
    }
    bad = next((key for key, tensor in state.items() if not tensor.isfinite().all()), None)
    if bad is not None:
        raise UserError(
            f"{folder / name}: the tensor {bad} is not finite, so it is not saved",
            DIVERGED,
            "train again",
        )
    weights, description = folder / f"{name}.safetensors", folder / f"{name}.json"
    runs.write_bytes(weights, save(state))
    runs.write_json(description, architecture)
    return [weights, description]


def load_network(folder: Path, name: str, device: torch.device) -> nn.Module:
    """The network `name` of `folder`, in eval mode and without gradients; UserError when it does
    not fit.
    """
    weights, architecture = folder / f"{name}.safetensors", runs.read_json(folder / f"{name}.json")
    if str(architecture.get("name")) not in NETWORKS:
        raise UserError(f"{folder / name}.json: unknown network {architecture.get('name')!r}", DATA)
    try:
        network = make_network(architecture)
        network.load_state_dict(load(weights.read_bytes()))
    except (
        OSError,
        SafetensorError,
        TypeError,
        KeyError,
        ValueError,
        RuntimeError,
        AttributeError,
        AssertionError,
    ) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{weights}: not the weights of {architecture['name']} ({reason})",
            DATA,
            "only safetensors files are read; build it again with --rebuild",
        ) from error
    return placed(network, device).eval().requires_grad_(False)


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device with its weights channels last, as it was trained: who reads it back
    gets the same bits as who has it at hand.
    """
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def blank(architecture: dict[str, Any]) -> nn.Module:
    """The network of a stranger's description on torch's meta device: whatever sizes it names, no
    memory is taken. ValueError where it describes none.
    """
    try:
        with torch.device("meta"):
            return make_network(architecture)
    except Exception as error:  # whatever a strange description makes of the networks
        raise ValueError(f"its network cannot be made ({type(error).__name__})") from error


def rebuild(architecture: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
    """The network of a stranger's description around tensors that stand in memory, in eval mode
    and without gradients; ValueError where they do not fit.
    """
    network = blank(architecture)
    expected = {key: (one.shape, one.dtype) for key, one in network.state_dict().items()}
    if {key: (one.shape, one.dtype) for key, one in state.items()} != expected:
        raise ValueError("its tensors are not those of its network")
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def num_parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())
