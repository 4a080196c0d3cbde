"""What the networks of a preset are: descriptions for `make_network`, from settings and what the data tell.

`outputs` is the number of classes, or 1 for a continuous label; `constants` are the mean and std of the real pixels.
"""

from typing import Any

from cgankd.preset import Preset

Design = dict[str, Any]
Constants = dict[str, list[float]]


def cnn(trunk: str, side: int, outputs: int, constants: Constants, head: int | None = None) -> Design:
    """A teacher, an assistant or a student; `head` is the width of hidden layers before the output."""
    design = {"name": "cnn", "trunk": trunk, "side": side, "outputs": outputs, **constants}
    return {**design, "head": head} if head else design


def generator(preset: Preset, outputs: int) -> Design:
    """The generator, and with it what its discriminator has in common."""
    gan = preset.gan
    shared = gan.model_dump(include={"shared"}, exclude_none=True)
    return {"name": gan.network, "latent": gan.latent, **discriminator(preset, outputs), **shared}


def discriminator(preset: Preset, outputs: int) -> dict[str, Any]:
    """The sizes of the discriminator."""
    gan = preset.gan
    sizes: dict[str, Any] = {"size": preset.data.size, "width": gan.width}
    sizes |= {"embedding": gan.embedding.size} if gan.embedding else {"num_classes": outputs}
    return sizes | gan.model_dump(include={"attention"}, exclude_none=True)


def features(preset: Preset, outputs: int, constants: Constants) -> Design:
    """The space of the density ratio: a CNN's wide layer for classes, a sparse autoencoder for a continuous label."""
    settings, side = preset.dre.features, preset.data.size
    if settings.network:
        return {"name": "cnn-features", "trunk": settings.network, "side": side, "size": settings.size,
                "outputs": outputs, **constants}  # fmt: skip
    return {"name": "sparse-encoder", "side": side, "width": settings.width, "size": settings.size}


def ratio(preset: Preset, outputs: int) -> Design:
    """The density ratio on those features."""
    dre, embedding = preset.dre, preset.gan.embedding
    return {"name": "ratio", "layers": dre.network, "width": dre.width, "features": dre.features.size,
            "dropout": dre.dropout, "output": dre.output, "embedding": embedding.size if embedding else 0,
            "num_classes": 0 if embedding else outputs}  # fmt: skip
