"""Exported .onnx: the graph with its weights, for any runtime.

The file is the graph, and behind it the description, which protobuf reads as one model. A graph may
name other files (external data) and operators of other libraries, and both are refused here, as is
every operator that no network of ours needs: none of these loops, or makes more of little.
"""

import importlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgankd.data.batches import BATCH
from cgankd.deploy import description
from cgankd.deploy.description import KEY
from cgankd.deploy.model import Compute, Deployed, Facts, Model, Parts
from cgankd.errors import UNAVAILABLE, UserError
from cgankd.task import make_task

INPUT = "images"
OPERATORS = {
    *("Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv"),
    *("DequantizeLinear", "Div", "Dropout", "Flatten", "Gemm", "GlobalAveragePool", "Identity"),
    *("MatMul", "MaxPool", "Mul", "Pad", "QuantizeLinear", "ReduceMean", "Relu", "Reshape"),
    *("Shape", "Sigmoid", "Softmax", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
    *("Slice", "Gather", "HardSigmoid", "HardSwish", "Swish"),
}


def library(name: str) -> Any:
    """A module of the extra [onnx]; UserError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f".onnx needs the package {name.partition('.')[0]} ({error})",
            UNAVAILABLE,
            "python -m pip install 'cgankd[onnx]'",
        ) from error


def graph_of(model: Model) -> bytes:
    """The graph without a description; the batch may have any size when it is used."""
    for name in ("onnx", "onnxscript"):
        library(name)
    images = torch.zeros(2, 3, model.size, model.size, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what torch itself will change
        program = torch.onnx.export(
            Deployed(model),
            (images,),
            dynamo=True,
            dynamic_shapes={INPUT: {0: torch.export.Dim("N", min=1)}},
            input_names=[INPUT],
            output_names=[model.task.readout_name],
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return plain(program.model_proto)


def plain(whole: Any) -> bytes:
    """A graph without notes on how it was made, which name paths of this machine."""
    for message in _messages(whole):
        for field in ("metadata_props", "doc_string"):
            if field in message.DESCRIPTOR.fields_by_name:
                message.ClearField(field)
    return bytes(whole.SerializeToString(deterministic=True))


def write(graph: bytes, facts: Facts, precision: str) -> bytes:
    """The whole file of a graph."""
    payload = {"graph": description.sha256(graph)}
    return graph + _tail(description.describe(facts, make_task(facts.label), payload, precision))


def _tail(text: str) -> bytes:
    """A description as protobuf reads it behind a graph."""
    tail = library("onnx").ModelProto()
    tail.metadata_props.add(key=KEY, value=text)
    return bytes(tail.SerializeToString())


def read(path: Path, data: bytes, device: torch.device) -> Parts:
    """The network of a file, run by onnxruntime."""
    onnx = library("onnx")
    try:
        whole = onnx.load_model_from_string(data)
        text = {one.key: one.value for one in whole.metadata_props}.get(KEY)
    except Exception as error:  # protobuf's own, whatever its version calls it
        raise description.damaged(path, f"not readable as ONNX ({type(error).__name__})") from error
    facts, told = description.read(text, path)
    graph = data.removesuffix(_tail(str(text)))
    description.check({"graph": description.sha256(graph)}, told, path)
    if reason := _unsafe(whole):
        raise description.damaged(path, f"{reason}, which no network of cgankd has")
    task = make_task(facts.label)
    compute = computing(graph, device)
    try:
        shape = tuple(compute(torch.zeros(2, 3, facts.size, facts.size, dtype=torch.uint8)).shape)
    except Exception as error:  # onnxruntime's own
        raise description.damaged(path, f"its graph does not run ({str(error)[:200]})") from error
    if shape != ((2, task.outputs) if task.label.distribution else (2,)):
        raise description.damaged(path, f"its graph gives {shape} for two images")
    return Parts(path, facts, None, lambda pixels: task.outputs_of(compute(pixels)))


def computing(graph: bytes, device: torch.device | None = None) -> Compute:
    """What a graph gives, by onnxruntime: on a GPU where that was asked for and it can."""
    runtime = library("onnxruntime")
    wanted = ["CUDAExecutionProvider"] if device is not None and device.type == "cuda" else []
    known = runtime.get_available_providers()
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(
        graph, options, providers=[*(one for one in wanted if one in known), "CPUExecutionProvider"]
    )

    def compute(pixels: Tensor) -> Tensor:
        batches = (batch.cpu().numpy() for batch in pixels.split(BATCH))
        return torch.cat(
            [torch.from_numpy(session.run(None, {INPUT: batch})[0]) for batch in batches]
        )

    return compute


def _unsafe(whole: Any) -> str:
    """What a graph has that could read other files, run other code or run for ever; empty where
    there is nothing.
    """
    for message in _messages(whole):
        kind = message.DESCRIPTOR.name
        if kind == "TensorProto" and (message.data_location or message.external_data):
            return "a tensor in another file"
        if kind == "NodeProto" and (message.domain or message.op_type not in OPERATORS):
            return f"the operator {message.domain}{message.op_type}"[:80]
        if kind == "FunctionProto":
            return "a function of its own"
    return ""


def _messages(message: Any) -> Iterator[Any]:
    """A protobuf message and all that it holds."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _messages(inner)
