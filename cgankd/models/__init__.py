"""The networks by name: `make_network` rebuilds one from the description that is saved beside its
weights.
"""

from typing import Any

from torch import nn

from cgankd.models.autoencoder import SparseEncoder
from cgankd.models.biggan import BigGanDiscriminator, BigGanGenerator
from cgankd.models.cnn import Cnn, CnnFeatures, Projection
from cgankd.models.embedding import ClassIndex, ImageEmbedding, LabelEmbedding
from cgankd.models.ratio import RatioNetwork
from cgankd.models.sagan import SaganDiscriminator, SaganGenerator
from cgankd.models.sngan import SnganDiscriminator, SnganGenerator

GANS: dict[str, tuple[Any, Any]] = {
    "biggan": (BigGanGenerator, BigGanDiscriminator),
    "sngan": (SnganGenerator, SnganDiscriminator),
    "sagan": (SaganGenerator, SaganDiscriminator),
}
NETWORKS: dict[str, Any] = {
    "biggan": BigGanGenerator,
    "sngan": SnganGenerator,
    "sagan": SaganGenerator,
    "cnn": Cnn,
    "cnn-features": CnnFeatures,
    "sparse-encoder": SparseEncoder,
    "class-index": ClassIndex,
    "label-embedding": LabelEmbedding,
    "image-embedding": ImageEmbedding,
    "ratio": RatioNetwork,
    "projection": Projection,
}


def make_network(architecture: dict[str, Any]) -> nn.Module:
    """The network of a description {"name": a key of NETWORKS, and its sizes}."""
    sizes = {key: value for key, value in architecture.items() if key != "name"}
    return NETWORKS[architecture["name"]](**sizes)
