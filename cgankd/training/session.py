"""One training: where it is kept and what it depends on; and networks that are trained once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from cgankd import runs
from cgankd.models.saved import load_network, save_network
from cgankd.training.machine import Machine


@dataclass(frozen=True)
class Session:
    """What a training needs beside what is trained and on what."""

    folder: Path  # of its checkpoints and its log
    name: str  # as people read it
    seed: int  # of the run
    digest: str  # of what is being made: checkpoints of anything else are refused
    machine: Machine

    def part(self, folder: str, name: str) -> "Session":
        """A training that is part of this one, with a folder of its own."""
        return replace(self, folder=self.folder / folder, name=name)


def train_or_load(
    train: Callable[[], nn.Module], *, session: Session, file: str, architecture: dict[str, Any]
) -> nn.Module:
    """The network that stands as `file` in the session's folder, left there by an import or an
    interrupted run for the same digest; else what `train` makes, saved there. Frozen, in eval mode.
    """
    machine, folder = session.machine, session.folder
    parts = [folder / f"{file}.safetensors", folder / f"{file}.json"]
    if machine.decide(lambda: all(runs.part_stands(part, session.digest) for part in parts)):
        return load_network(folder, file, machine.device)
    network = train()
    machine.once(lambda: save_part(folder, file, network, architecture, session.digest))
    return machine.place(network).eval().requires_grad_(False)


def save_part(
    folder: Path, file: str, network: nn.Module, architecture: dict[str, Any], digest: str
) -> None:
    """Saves a network that is a part of the unfinished artefact of a digest."""
    for part in save_network(folder, file, network, architecture):
        runs.keep_part(part, digest)
