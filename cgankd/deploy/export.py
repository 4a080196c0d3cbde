"""One file from a trained network, which stands only where its own runtime gives the same
answers.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgankd import console, report, runs
from cgankd.deploy import onnx_file, pt2_file, quantisation, safetensors_file
from cgankd.deploy.formats import READERS
from cgankd.deploy.home import Home, home_of
from cgankd.deploy.model import Compute, Model
from cgankd.errors import DATA, DIVERGED, IN_USE, USAGE, UserError
from cgankd.models.saved import num_parameters
from cgankd.randomness import generator

LARGEST = 1e-4  # difference of a probability, or of a value in parts of its range or of itself
NUM_IMAGES = 512  # on which files are compared at most
CPU = torch.device("cpu")


def export(model: Model, path: Path, *, int8: bool = False) -> dict[str, Any]:
    """Writes `model` as a new file, the format by its ending, with a card beside it; what was
    measured. UserError(DIVERGED) where the file would give other answers: then there is none.
    """
    check(model, path, int8=int8)
    home = home_of(model)
    pixels, whose = _images(model, home)
    expected = model.task.readout(model.outputs(pixels)).cpu()
    facts: dict[str, Any] = {"path": str(path), "images": f"{len(pixels)} {whose}"}
    data, program = _written(model, path)
    facts["difference"] = _gate(model, path, data, pixels, expected, program)
    if int8:
        assert home is not None, "checked"
        data, facts["int8"] = quantisation.quantised(model, home, path, data)
    card = _card(model, home, path, facts)
    runs.write_bytes(path, data)
    runs.write_bytes(_card_of(path), card.encode())
    return {**facts, "bytes": len(data)}


def _written(model: Model, path: Path) -> tuple[bytes, Compute | None]:
    """The file, and of a .pt2, which is loaded here as its weights, what its program computes."""
    if path.suffix == ".onnx":
        return onnx_file.write(onnx_file.graph_of(model), model.facts, "fp32"), None
    if path.suffix == ".pt2":
        data = pt2_file.write(model)
        return data, pt2_file.program_of(data)
    return safetensors_file.write(model), None


def check(model: Model, path: Path, *, int8: bool) -> None:
    """UserError for what cannot be exported, or not there."""
    if path.suffix not in READERS:
        known = ", ".join(READERS)
        raise UserError(f"--to {path}: the format is told by the ending: {known}", USAGE)
    if int8 and path.suffix != ".onnx":
        raise UserError(f"--int8: only .onnx files hold 8 bits, not {path.suffix}", USAGE)
    if model.network is None:
        raise UserError(
            f"{model.place}: is an .onnx, which has no network to export", USAGE, _FROM_FOLDER
        )
    if int8 and home_of(model) is None:
        raise UserError(
            f"{model.place}: the images of its run are needed for --int8, and it is in none",
            DATA,
            _FROM_FOLDER,
        )
    for file in (path, _card_of(path)):
        if file.exists() or file.is_symlink():
            raise UserError(f"{file} exists", IN_USE, "name another file, or remove it first")


_FROM_FOLDER = "export it from the folder of the run or of the student"


def _images(model: Model, home: Home | None) -> tuple[Tensor, str]:
    """The pixels on which a file has to give the same answers, and whose they are: validation
    images, and noise where there are none.
    """
    if home is not None:
        try:
            pixels = home.images("validation").pixels
            step = -(-len(pixels) // NUM_IMAGES)
            return pixels[::step], "validation images"
        except UserError as error:
            console.say(f"the images of the run cannot be read ({error})")
    draws = generator(0, "noise for an exported file")
    shape = (64, 3, model.size, model.size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=draws), "images of noise"


def _gate(
    model: Model,
    path: Path,
    data: bytes,
    pixels: Tensor,
    expected: Tensor,
    program: Compute | None,
) -> float:
    """The largest difference of what the file gives, loaded again and by its `program`; UserError
    where it is too large.
    """
    task = model.task
    again = Model(READERS[path.suffix](path, data, CPU))
    readouts = [task.readout(again.outputs(pixels))]
    if program:
        readouts.append(program(pixels))
    scale = expected.double().abs().clamp(min=task.readout_span)  # rounding is relative
    largest = max(((one - expected).double() / scale).abs().max().item() for one in readouts)
    if not largest <= LARGEST:
        raise UserError(
            f"{path}: not written, its answers differ by up to {largest:.2g} from those of the "
            f"network (at most {LARGEST:g})",
            DIVERGED,
            "try another format, and report which network this is",
        )
    return largest


def _card_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.md")


def _card(model: Model, home: Home | None, path: Path, facts: dict[str, Any]) -> str:
    assert model.network is not None
    return report.card(
        model.label,
        model.size,
        num_parameters(model.network),
        records=home.records if home else None,
        student=home.student if home else "",
        file=path.name,
        exported=facts,
    )
