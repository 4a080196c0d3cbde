"""Published weights: the state dicts of the original code become networks of ours.

Our modules and those of the file are put in one order (published_names.py) and meet one by one;
every pair must hold the same tensors in the same shapes, and none may be left over.
"""

import hashlib
import io
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from cgankd.errors import DATA, UserError
from cgankd.job import ImportFile
from cgankd.models import make_network
from cgankd.models.architectures import UNCHANGED, cnn, published_regressor
from cgankd.models.cnn import TRUNKS
from cgankd.models.foreign import fill, is_foreign
from cgankd.models.published_names import LAYOUTS, WRAPPERS, Layout, kind, known_for, twin

State = dict[str, Tensor]

OURS_ALONE = "normalise."  # published networks are given normalised images
ORIGINAL, U, V = (f"parametrizations.weight.{name}" for name in ("original", "0._u", "0._v"))
OPTIONAL = (V, "num_batches_tracked")  # the first is computed, the second not read in eval mode
DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)
KINDS = {
    "u0": U,
    "weight_orig": ORIGINAL,
    "weight_u": U,
    "weight_v": V,
}  # of older spectral norms, by ours


@dataclass(frozen=True)
class Imported:
    """A network with published weights, in eval mode, and where they come from."""

    network: nn.Module
    origin: dict[str, str]


def load(weights: ImportFile, architecture: dict[str, Any], *, tune: bool = False) -> Imported:
    """The network of an architecture with the weights of a file; one of another library that is to
    be tuned may have outputs of its own.

    UserError for a file that changed, that is more than tensors, or that does not fit: it names the
    first tensor that differs, with both shapes.
    """
    file, sha256 = Path(weights.file), weights.sha256
    state, wrapper = read(file, sha256)
    if is_foreign(trunk := architecture.get("trunk", "")):
        network = make_network(architecture)
        fill(network, state, str(file), tune=tune)
        origin = {"file": file.name, "sha256": sha256, "layout": trunk}
        return Imported(network.eval().requires_grad_(False), origin)
    try:
        name, layout = _choose(state, wrapper, architecture, str(file))
        network = (
            _fill(state, layout, architecture, f"{file} ({name})").eval().requires_grad_(False)
        )
    except UserError as error:
        raise UserError(
            str(error), error.code, _better(state, wrapper, architecture) or error.hint
        ) from error
    return Imported(network, {"file": file.name, "sha256": sha256, "layout": name})


def read(file: Path, sha256: str) -> tuple[State, str]:
    """The tensors of a state dict, and the key they stand under (empty: none); nothing in the file
    can run.
    """
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{file} has changed since this command began", DATA, "run it again")
    if file.suffix == ".safetensors":
        return _safetensors(data, file), ""
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                assert sum(entry.file_size for entry in archive.infolist()) <= len(data), (
                    "it is compressed"
                )
                assert archive.testzip() is None, "its checksums differ"  # torch reads past them
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickles
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a strange file makes of the reader, it holds no weights
        # Not in torch's words: they advise to load the file without this check.
        raise UserError(
            f"{file}: not readable as tensors and nothing else ({type(error).__name__})",
            DATA,
            "it is damaged, or holds more than torch.load(weights_only=True) takes",
        ) from error
    wrapper = next((key for key in WRAPPERS if isinstance(found, dict) and key in found), "")
    state = found[wrapper] if wrapper else found
    if not isinstance(state, dict) or not state:
        raise UserError(
            f"{file}: expected tensors by name, at the top or under {', '.join(WRAPPERS)}", DATA
        )
    for key, value in state.items():
        if not isinstance(key, str) or not _is_plain(value):
            raise UserError(
                f"{file}: {str(key)[:80]} is {type(value).__name__}, expected a tensor of numbers",
                DATA,
            )
    return {key.removeprefix("module."): value.detach() for key, value in state.items()}, wrapper


def _safetensors(data: bytes, file: Path) -> State:
    try:
        return load_safetensors(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{file}: not readable as safetensors ({error})", DATA) from error


def _is_plain(value: Any) -> bool:
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.dtype in DTYPES
        and not value.is_nested
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _choose(
    state: State, wrapper: str, architecture: dict[str, Any], where: str
) -> tuple[str, Layout]:
    """The layout of the file among those of the network."""
    known = known_for(architecture)
    if not known:
        raise UserError(
            f"{where}: no published weights are known for the network {kind(architecture)}", DATA
        )
    strange = {name: _strange(state, layout) for name, layout in known.items()}
    named = {name: known[name] for name, key in strange.items() if key is None}
    if not named:
        raise UserError(
            f"{where}: {next(iter(strange.values()))} is no tensor of {' or '.join(known)}",
            DATA,
            f"name weights of the network {kind(architecture)}",
        )
    fitting = {name: layout for name, layout in named.items() if wrapper in layout.wrappers}
    if not fitting:
        raise UserError(
            f"{where}: its {wrapper} is that of {twin(named.values(), wrapper)}, whose forward "
            "pass is "
            f"not that of {kind(architecture)}",
            DATA,
            "networks of Distiller end in -uda here",
        )
    name, layout = next(iter(fitting.items()))
    for key, value in layout.needs.items():
        if architecture[key] != value:
            raise UserError(
                f"{where}: {name} was published with {key} = {value}, the preset has "
                f"{architecture[key]}",
                DATA,
            )
    return name, layout


def _fill(state: State, layout: Layout, architecture: dict[str, Any], where: str) -> nn.Module:
    """The network of a design with the tensors of a file."""
    network = make_network(architecture)
    own, filled = network.state_dict(), {}
    for ours, theirs in _pairs(own, state, layout, where):
        filled[ours] = state[theirs].reshape(own[ours].shape).to(own[ours].dtype)
        if not filled[ours].isfinite().all():  # as it will be used: 1e300 is not in fp32
            raise UserError(f"{where}: {theirs} is not finite in {_dtype(own[ours])}", DATA)
    network.load_state_dict(own | filled | _iterated(filled))
    return network


def _better(state: State, wrapper: str, architecture: dict[str, Any]) -> str:
    """Which network a file that was refused holds, as a hint; empty where it is the one asked for,
    or unknown.
    """
    named = {
        name: layout
        for name, layout in LAYOUTS.items()
        if wrapper in layout.wrappers and not _strange(state, layout)
    }
    for layout in named.values():
        # The last module is the classifier; a regressor's head has no module of that name.
        classes = len(state.get(f"{layout.order.split()[-1]}.bias", ()))
        for trunk, side in itertools.product(
            TRUNKS, dict.fromkeys([architecture.get("side", 32), 32, 64])
        ):
            other = (
                cnn(trunk, side, classes, UNCHANGED)
                if classes
                else published_regressor(trunk, side)
            )
            if re.fullmatch(layout.networks, kind(other)) and _fits(state, layout, other):
                asked = all(
                    architecture.get(key) == other.get(key)
                    for key in ("trunk", "side", "outputs", "head")
                )
                labels = f"{classes} classes" if classes else "a continuous label"
                return "" if asked else f"it fits {trunk} for images of side {side} and {labels}"
    return (
        f"its names are those of {' or '.join(named)}"
        if named and not named.keys() & known_for(architecture)
        else ""
    )


def _strange(state: State, layout: Layout) -> str | None:
    """The first tensor whose name is not of the layout."""
    return next(
        (key for key in state if layout.place(_split(_modern(key, state, layout))[0]) is None), None
    )


def _fits(state: State, layout: Layout, architecture: dict[str, Any]) -> bool:
    with torch.device("meta"):
        own = make_network(architecture).state_dict()
    try:
        return len(list(_pairs(own, state, layout, ""))) > 0
    except UserError:
        return False


def _modern(key: str, state: State, layout: Layout) -> str:
    """A name with the kind of its tensor as we call it, and the layout's patterns applied."""
    module, _, suffix = key.rpartition(".")
    suffix = (
        ORIGINAL if suffix == "weight" and f"{module}.u0" in state else KINDS.get(suffix, suffix)
    )
    return layout.rename(f"{module}.{suffix}")


def _pairs(own: State, state: State, layout: Layout, where: str) -> Iterable[tuple[str, str]]:
    """(our name, name in the file) for all tensors of both; UserError naming the first that
    differs.
    """
    names = {
        _modern(key, state, layout): key
        for key in state
        if not re.match(layout.unused, key) and not key.endswith(".sv0")
    }
    ours = _by_module(key for key in own if not key.startswith(OURS_ALONE))
    found = _by_module(names)
    ordered = [
        found[module] for module in sorted(found, key=lambda module: layout.place(module) or ())
    ]
    mine: dict[str, str]
    other: dict[str, str]
    for mine, other in itertools.zip_longest(ours.values(), ordered, fillvalue={}):
        for suffix in [*mine, *(other.keys() - mine.keys())]:
            expected = (
                f"{tuple(own[mine[suffix]].shape)} for our {mine[suffix]}"
                if suffix in mine
                else "none"
            )
            if suffix in other:
                theirs = names[other[suffix]]
                if suffix not in mine or not _alike(own[mine[suffix]], state[theirs], suffix):
                    kind = meant = ""
                    if suffix in mine and not _same_kind(own[mine[suffix]], state[theirs]):
                        kind, meant = (
                            f" of {_dtype(one)}" for one in (state[theirs], own[mine[suffix]])
                        )
                    raise UserError(
                        f"{where}: {theirs} is {tuple(state[theirs].shape)}{kind}, expected "
                        f"{expected}{meant}",
                        DATA,
                        "are classes, side of the images and widths those of the preset?",
                    )
                yield mine[suffix], theirs
            elif suffix not in OPTIONAL:
                beside = f" beside {names[next(iter(other.values()))]}" if other else " at its end"
                raise UserError(f"{where}: a tensor is missing{beside}, expected {expected}", DATA)


def _alike(mine: Tensor, other: Tensor, suffix: str) -> bool:
    # BigGAN keeps u as a matrix of one row, SAGAN a number as a vector of one.
    shapes = [tuple(mine.shape), *([(1, *mine.shape)] if suffix == U or mine.ndim == 0 else [])]
    return tuple(other.shape) in shapes and _same_kind(mine, other)


def _same_kind(mine: Tensor, other: Tensor) -> bool:
    return mine.is_floating_point() == other.is_floating_point()


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _by_module(keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """{module: {kind of tensor: name}}, in the order of the names."""
    modules: dict[str, dict[str, str]] = {}
    for key in keys:
        module, suffix = _split(key)
        modules.setdefault(module, {})[suffix] = key
    return modules


def _split(key: str) -> tuple[str, str]:
    """A name as module and kind of tensor; a parametrized weight is of one module."""
    module, found, rest = key.partition(".parametrizations.")
    return (
        (module, f"parametrizations.{rest}")
        if found
        else (key.rpartition(".")[0], key.rpartition(".")[2])
    )


def _iterated(state: State) -> State:
    """u and v where a file has u alone, so that the spectral norm in eval mode is the published
    one.

    BigGAN keeps u and computes v = u W and u = W v, each divided by its norm, at every evaluation,
    to divide W by u W v; we divide by u W v with u and v as they are stored.
    """
    iterated = {}
    for key in state:
        module = key.removesuffix(U)
        if module != key and module + V not in state:
            matrix = state[module + ORIGINAL].float().flatten(1)
            iterated[module + V] = v = F.normalize(state[key].float() @ matrix, dim=0)
            iterated[key] = F.normalize(matrix @ v, dim=0)
    return iterated
