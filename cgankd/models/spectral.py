"""Spectral normalisation (Miyato et al. 2018), of all layers of a network at once.

A layer's weight, as a matrix W (O, I) of its first dimension and all others, is divided by its
largest singular value, which u (O,) and v (I,) follow by one power iteration per forward in
training. Matrices of one shape are normalised together: a network has tens of layers and few
shapes, and each by itself costs some fifteen small operations. The names of the state are those of
torch's own parametrization.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = Callable[..., nn.Module]

EPSILON = 1e-8
FIRST = 16  # power iterations of the first weights, as many as torch takes


class _Vectors(nn.Module):
    """u and v of a matrix, by power iterations from normal draws."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self._u: Tensor
        self._v: Tensor
        u, v = (matrix.new_empty(1, size).normal_() for size in matrix.shape)
        self.register_buffer("_u", F.normalize(u, eps=EPSILON)[0])
        self.register_buffer("_v", F.normalize(v, eps=EPSILON)[0])
        for _ in range(0 if matrix.is_meta else FIRST):  # without values there is nothing to find
            u, v = _iterated(matrix[None], self._v[None])
            self._u.copy_(u[0])
            self._v.copy_(v[0])


class _Original(nn.ModuleDict):
    """A weight as the optimiser moves it, with the vectors of its largest singular value."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__({"0": _Vectors(weight.detach().flatten(1))})
        self.original = weight


class SpectralLayer(nn.Module):
    """What the normalised layers share: `weight` is gone, and `normalised` stands for it."""

    def __init__(self, *sizes: Any, **options: Any) -> None:
        super().__init__(*sizes, **options)
        weight: Any = self.weight
        del self.weight
        self.parametrizations = nn.ModuleDict({"weight": _Original(weight)})
        self._prepared: Tensor | None = None

    @property
    def normalised(self) -> Tensor:
        """The weight: prepared with those of the whole network, or made now."""
        prepared = self._prepared
        return _normalised([self])[0] if prepared is None else prepared

    @property
    def original(self) -> Any:
        """The weight as the optimiser moves it, and its vectors."""
        return self.parametrizations["weight"]


class SpectralConv2d(SpectralLayer, nn.Conv2d):
    """nn.Conv2d of spectral norm 1."""

    def forward(self, images: Tensor) -> Tensor:
        return self._conv_forward(images, self.normalised, self.bias)


class SpectralLinear(SpectralLayer, nn.Linear):
    """nn.Linear of spectral norm 1."""

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.normalised, self.bias)


class SpectralEmbedding(SpectralLayer, nn.Embedding):
    """nn.Embedding of spectral norm 1."""

    def forward(self, classes: Tensor) -> Tensor:
        return F.embedding(classes, self.normalised)


SPECTRAL: dict[Layer, Layer] = {
    nn.Conv2d: SpectralConv2d,
    nn.Linear: SpectralLinear,
    nn.Embedding: SpectralEmbedding,
}


def spectral(layer: Layer) -> Layer:
    """The layer type with its weight divided by its largest singular value."""
    return SPECTRAL[layer]


class SpectralNetwork(nn.Module):
    """A network that normalises all of its spectral layers before its forward."""

    def __call__(self, *inputs: Any) -> Any:
        layers = [layer for layer in self.modules() if isinstance(layer, SpectralLayer)]
        try:
            for layer, weight in zip(layers, _normalised(layers), strict=True):
                layer._prepared = weight
            return super().__call__(*inputs)
        finally:
            for layer in layers:  # of one forward, and no part of the network
                layer._prepared = None


def _normalised(layers: Iterable[SpectralLayer]) -> list[Tensor]:
    """The weight of each layer over its largest singular value; in training u and v are moved."""
    layers = list(layers)
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, layer in enumerate(layers):
        groups.setdefault(tuple(layer.original.original.shape), []).append(index)
    weights: dict[int, Tensor] = {}
    with _full_precision():
        for members in groups.values():
            same = [layers[index] for index in members]
            weights.update(zip(members, _together(same), strict=True))
    return [weights[index] for index in range(len(layers))]


@contextmanager
def _full_precision() -> Iterator[None]:
    """Inside, matrix products are of fp32: of a singular value bf16 would keep two digits."""
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _together(layers: list[SpectralLayer]) -> Iterable[Tensor]:
    """The same for layers (G of them) whose weights have one shape."""
    originals = [layer.original.original for layer in layers]
    vectors = [layer.original["0"] for layer in layers]
    weights = torch.stack(originals)
    matrices = weights.flatten(2)  # (G, O, I)
    with torch.no_grad():
        v = torch.stack([own._v for own in vectors])
        if layers[0].training:
            u, v = _iterated(matrices, v)
            for own, new_u, new_v in zip(vectors, u, v, strict=True):
                own._u.copy_(new_u)
                own._v.copy_(new_v)
        else:
            u = torch.stack([own._u for own in vectors])
    largest = (u[:, None] @ matrices @ v[:, :, None]).view(-1, *[1] * (weights.dim() - 1))
    return (weights / largest).unbind()


def _iterated(matrices: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """u (G, O) and v (G, I) of matrices (G, O, I) after a power iteration."""
    u = F.normalize((matrices @ v[:, :, None])[:, :, 0], eps=EPSILON)
    return u, F.normalize((u[:, None] @ matrices)[:, 0], eps=EPSILON)
