"""The formats of exported files, by the ending of their names."""

from collections.abc import Callable
from pathlib import Path

import torch

from cgankd.deploy import onnx_file, pt2_file, safetensors_file
from cgankd.deploy.model import Parts

READERS: dict[str, Callable[[Path, bytes, torch.device], Parts]] = {
    ".onnx": onnx_file.read,
    ".pt2": pt2_file.read,
    ".safetensors": safetensors_file.read,
}
