"""What an exported file says of itself: one JSON object, in every format under the same key.

It is sealed, and names the digest of what it describes, so that a change of either is noticed. A
seal is no signature: who means harm can seal anew, and what is read has to be harmless by itself.
"""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from cgankd.deploy.model import Facts
from cgankd.errors import DATA, UserError
from cgankd.runs import sealed
from cgankd.task import Task, make_task
from cgankd.version import VERSION

KEY = "cgankd"  # under which it stands in the file's metadata
FORMAT = 1  # raise it when files of before cannot be read any more
MAX_SIDE = 1 << 16
AGAIN = "export it again"


def describe(facts: Facts, task: Task, payload: dict[str, Any], precision: str = "fp32") -> str:
    """The JSON text; `payload` says by which digests the rest of the file is known."""
    label = task.label
    told = {
        "cgankd": VERSION,
        "format": FORMAT,
        "input": f"images: uint8 RGB (N, 3, {facts.size}, {facts.size})",
        "output": task.readout_name,
        "classes": list(label.classes),
        "unit": label.unit,
        "range": [label.low, label.high],
        "precision": precision,
        "versions": {"torch": version("torch")},
        **asdict(facts),
        "payload": payload,
    }
    return json.dumps(sealed(told))


def read(text: str | bytes | None, path: Path) -> tuple[Facts, dict[str, Any]]:
    """The facts of a file and all that it says; UserError where it says nothing, something else
    than was written, or is of another version.
    """
    if not text:
        raise UserError(
            f"{path}: no file that cgankd has exported: it does not say what it is",
            DATA,
            "`cgankd export` writes one",
        )
    try:
        told = json.loads(text)
        known = told["format"]
        of = str(told["cgankd"])[:20]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, "its description is not readable") from error
    if known != FORMAT:
        raise UserError(
            f"{path}: written by cgankd {of} in format {str(known)[:20]}, this one reads format "
            f"{FORMAT}",
            DATA,
            f"{AGAIN} with this version",
        )
    if sealed(told) != told:
        raise damaged(path, "its description was changed since it was written")
    try:
        task = make_task(told["label"])
        assert all(isinstance(word, str) for word in (*task.label.classes, task.label.unit))
        size, architecture, span = told["size"], told["architecture"], told["span"]
        assert type(size) is int
        assert 0 < size <= MAX_SIDE
        assert architecture["outputs"] == task.outputs
        assert span is None or [type(one) for one in span] == [float, float]
        facts = Facts(told["label"], size, architecture, span and tuple(span), told["origin"])
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
        raise damaged(path, "its description is not that of a network") from error
    return facts, told


def check(found: object, told: dict[str, Any], path: Path) -> None:
    """UserError where the rest of a file is not what it says."""
    if found != told["payload"]:
        raise damaged(path, "its content was changed since it was written")


def damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path}: {why}"[:500], DATA, f"put back a copy of it, or {AGAIN}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of(state: dict[str, Tensor]) -> str:
    """The sha256 of tensors: names, types, shapes and values."""
    total = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        total.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()
