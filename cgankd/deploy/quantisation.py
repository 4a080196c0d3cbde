"""Networks of 8 bits: static quantisation of an .onnx (Jacob et al. 2018), weights per channel.

Scaling, normalisation and what is answered stay in fp32, as does the output of the last layer: of a
number in 8 bits a range would have 256 values.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgankd.deploy import onnx_file
from cgankd.deploy.home import Home
from cgankd.deploy.model import Model
from cgankd.deploy.onnx_file import INPUT

OPERATORS = ["Conv", "Gemm", "MatMul", "Add"]
BATCH = 64


def quantised(model: Model, home: Home, path: Path, whole: bytes) -> tuple[bytes, dict[str, Any]]:
    """The .onnx of `model` with the contents `whole` as one of 8 bits, and its score on validation
    rows beside that of fp32.
    """
    onnx, tools = onnx_file.library("onnx"), onnx_file.library("onnxruntime.quantization")
    single = onnx.load_model_from_string(whole)
    names = [node.name for node in single.graph.node]
    kinds = [node.op_type for node in single.graph.node]
    with tempfile.TemporaryDirectory() as folder, _silenced():
        made = Path(folder) / "int8.onnx"
        tools.quantize_static(
            single,
            made,
            _reader(tools, home.calibration().numpy()),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QInt8,
            weight_type=tools.QuantType.QInt8,
            op_types_to_quantize=OPERATORS,
            nodes_to_exclude=names[: kinds.index("Conv")],
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )
        small = onnx_file.plain(onnx.load(made))
    data = onnx_file.write(small, model.facts, "int8")
    again = Model(onnx_file.read(path, data, torch.device("cpu")))
    rows = home.images("validation")
    before, after = (
        model.task.score(one.outputs(rows.pixels).cpu(), rows.labels) for one in (model, again)
    )
    return data, {
        "metric": model.task.metric,
        "unit": model.task.unit,
        "rows": len(rows),
        "fp32": before,
        "int8": after,
    }


def _reader(tools: Any, pixels: np.ndarray) -> Any:
    """Images (N, 3, S, S) as onnxruntime asks for them."""

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.parts = iter(range(0, len(pixels), BATCH))

        def get_next(self) -> dict[str, np.ndarray] | None:
            start = next(self.parts, None)
            return None if start is None else {INPUT: pixels[start : start + BATCH]}

    return Reader()


@contextmanager
def _silenced() -> Iterator[None]:
    """Without advice that is for others."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
