"""Spectral normalisation (Miyato et al. 2018), of all layers of a network at once.

A layer's weight, as a matrix W (O, I) of its first dimension and all others, is divided by its
largest singular value, which u (O,) and v (I,) follow by one power iteration per forward in
training. A network has tens of layers, and its step is short: they share one node of the graph,
whose gradient is written out, in the place of some fifteen small nodes each. The names of the
state are those of torch's own parametrization.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Layer = Callable[..., nn.Module]
Tensors = list[Tensor] | tuple[Tensor, ...]  # of each layer one

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
            _iterate([matrix], [self])


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

    @cached_property
    def spectral_layers(self) -> list[SpectralLayer]:
        """Looked for once: a walk through all modules is long beside the forward of a small one."""
        return [layer for layer in self.modules() if isinstance(layer, SpectralLayer)]

    def __call__(self, *inputs: Any) -> Any:
        layers = self.spectral_layers
        try:
            for layer, weight in zip(layers, _normalised(layers), strict=True):
                layer._prepared = weight
            return super().__call__(*inputs)
        finally:
            for layer in layers:  # of one forward, and no part of the network
                layer._prepared = None


def _normalised(layers: Sequence[SpectralLayer]) -> Tensors:
    """The weight of each layer over its largest singular value; in training u and v are moved."""
    if not layers:
        return []
    weights = [layer.original.original for layer in layers]
    vectors = [layer.original["0"] for layer in layers]
    # Of a singular value bf16 would keep two digits.
    with torch.no_grad(), full_precision():
        matrices = [weight.flatten(1) for weight in weights]
        if layers[0].training:
            us, vs, largest = _iterate(matrices, vectors)
        else:
            us, vs = [own._u for own in vectors], [own._v for own in vectors]
            largest = [u.dot(matrix.mv(v)) for matrix, u, v in zip(matrices, us, vs, strict=True)]
    return _Divided.apply(us, vs, largest, *weights)


@contextmanager
def full_precision() -> Iterator[None]:
    """Inside, matrix products are of fp32 on any device, that of shapes alone included."""
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _iterate(
    matrices: Sequence[Tensor], vectors: Sequence[_Vectors]
) -> tuple[Tensors, Tensors, Tensors]:
    """A power iteration, kept in `vectors`: u and v of each matrix, and its largest singular value,
    which is the length of W^T u.
    """
    us, _ = _unit([matrix.mv(own._v) for matrix, own in zip(matrices, vectors, strict=True)])
    vs, largest = _unit([matrix.t().mv(u) for matrix, u in zip(matrices, us, strict=True)])
    # Kept as copies: graphs of earlier forwards hold on to the u and v that they were made with.
    torch._foreach_copy_([own._u for own in vectors], us)
    torch._foreach_copy_([own._v for own in vectors], vs)
    return us, vs, largest


def _unit(vectors: Tensors) -> tuple[Tensors, Tensors]:
    """The vectors at length 1, and how long they were."""
    lengths = torch._foreach_norm(vectors)
    torch._foreach_clamp_min_(lengths, EPSILON)
    return torch._foreach_div(vectors, lengths), lengths


class _Divided(torch.autograd.Function):
    """Weights W over sigma = u^T W v, whose u and v stand for constants.

    With Y = W / sigma and G the gradient of Y, that of W is (G - sum(G * Y) u v^T) / sigma.
    """

    @staticmethod
    def forward(
        context: Any,
        us: Tensors,
        vs: Tensors,
        largest: Tensors,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        divided = torch._foreach_div(weights, largest)
        context.save_for_backward(*us, *vs, *largest, *divided)
        return tuple(divided)

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Any, ...]:
        num, saved = len(gradients), context.saved_tensors
        us, vs, largest, divided = (saved[start : start + num] for start in range(0, 4 * num, num))
        found: list[Tensor] = []
        for gradient, u, v, weight in zip(gradients, us, vs, divided, strict=True):
            along = (gradient * weight).sum()
            found.append(gradient - torch.outer(along * u, v).view(weight.shape))
        return None, None, None, *torch._foreach_div(found, largest)
