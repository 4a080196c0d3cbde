"""A trained network to use, as `cgankd.load` gives it."""

from pathlib import Path
from typing import Any

from cgankd.deploy.export import export
from cgankd.deploy.model import Model


class Trained(Model):
    """A network with its label and the side of its images.

    `label.classes` are the names of classes; of a continuous label there are `label.unit`,
    `label.low` and `label.high`. `network` takes floats (N, 3, S, S) in [-1, 1] and gives logits
    (N, K), or values (N, 1) scaled to [0, 1]; an exported .onnx has none.
    """

    def export(self, path: str | Path, *, int8: bool = False) -> dict[str, Any]:
        """Writes it as one file, .onnx, .pt2 or .safetensors, as `cgankd export` does; what was
        measured of it.
        """
        return export(self, Path(path), int8=int8)
