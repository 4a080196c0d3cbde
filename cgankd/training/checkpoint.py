"""Checkpoints of unfinished training: folders that are whole or absent, verified before they are
trusted.

step-00012000/ holds state.safetensors and manifest.json (the file's sha256, the step, the digest of
what is being trained). Tensors only: nothing here can hold code.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cgankd import runs
from cgankd.console import warn
from cgankd.errors import DATA, UserError, storage_errors

KEEP = 2
NAME = re.compile(r"step-[0-9]{8,18}")

State = dict[str, Tensor]


def write(folder: Path, step: int, state: State, digest: str, facts: dict[str, Any]) -> None:
    """Saves the state after `step` steps; older checkpoints go only when this one stands."""
    runs.make_folder(folder)
    with storage_errors(folder, sum(tensor.nbytes for tensor in state.values())):
        beside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder))
        try:
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
            checksum = runs.write_bytes(beside / "state.safetensors", save(tensors))
            manifest = {
                "format": runs.FORMAT,
                "step": step,
                "digest": digest,
                "sha256": checksum,
                **facts,
            }
            runs.write_json(beside / "manifest.json", manifest)
            # Renamed once whole: a kill leaves this checkpoint or the one before, never half of
            # one.
            final = folder / f"step-{step:08d}"
            runs.remove(final)  # damaged, else training would have gone on from it
            os.rename(beside, final)
        except BaseException:
            runs.remove(beside)
            raise
        runs.sync_folder(folder)
    for old in steps(folder)[KEEP:]:
        runs.remove(old)


def newest(folder: Path, digest: str, facts: dict[str, Any]) -> tuple[int, State]:
    """The step and state of the newest whole checkpoint, (0, {}) when there is none.

    A damaged one is named and skipped; one of another digest is refused with a UserError. `facts`
    (device, threads, processes) that differ are warned about: the result is then not bit-identical.
    """
    runs.sweep(folder)
    for path in steps(folder):
        try:
            manifest = runs.read_json(path / "manifest.json")
            data = (path / "state.safetensors").read_bytes()
            if manifest.get("step") != int(path.name[5:]):
                raise UserError(f"{path}: its manifest is that of another step", DATA)
            if hashlib.sha256(data).hexdigest() != manifest.get("sha256"):
                raise UserError(f"{path}: its content does not match its checksum", DATA)
            state = load(data)
        except (UserError, OSError, SafetensorError, ValueError) as error:
            warn(f"checkpoint {path.name} is damaged and skipped: {error}")
            continue
        if manifest.get("digest") != digest:
            raise UserError(f"{path} was made by other settings", DATA, f"move {folder} away")
        changed = [
            f"{key} {manifest.get(key)} -> {value}"
            for key, value in facts.items()
            if manifest.get(key) != value
        ]
        if changed:
            warn(f"continuing from {path.name}, but not bit-identically: {', '.join(changed)}")
        return int(manifest["step"]), state
    return 0, {}


def remove(folder: Path) -> None:
    """Drops the checkpoints of finished training, and of all its parts."""
    for path in list(folder.glob("**/checkpoints")):
        runs.remove(path)


def steps(folder: Path) -> list[Path]:
    """Checkpoints, newest first, by the number in their names: clocks may be wrong."""
    numbered = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name)]
    return sorted(numbered, key=lambda path: int(path.name[5:]), reverse=True)
