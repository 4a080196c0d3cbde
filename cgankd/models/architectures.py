"""What the networks of a preset are: descriptions for `make_network`, from settings and what the
data tell.

`outputs` and `num_classes` are those of the task; `constants` are the mean and std of the real
pixels.
"""

from typing import Any

from cgankd.models import foreign
from cgankd.preset import Embedding, Preset, TeacherSettings
from cgankd.task import Task

Architecture = dict[str, Any]
Constants = dict[str, list[float]]
UNCHANGED: Constants = {"mean": [0.5] * 3, "std": [0.5] * 3}  # images stay in [-1, 1]


def cnn(
    trunk: str, side: int, outputs: int, constants: Constants, head: int | None = None
) -> Architecture:
    """A teacher, an assistant or a student; `head` is the width of hidden layers before the
    output.
    """
    architecture = {"name": "cnn", "trunk": trunk, "side": side, "outputs": outputs, **constants}
    return {**architecture, "head": head} if head else architecture


def teacher(
    trunk: str, settings: TeacherSettings, side: int, outputs: int, constants: Constants
) -> Architecture:
    """A teacher that is trained here; one of another library sees images as it was designed for."""
    if not foreign.is_foreign(trunk):
        return cnn(trunk, side, outputs, constants, settings.head)
    own = foreign.facts(trunk)
    seen = {"mean": own.mean, "std": own.std}
    resized = settings.input_size or own.side
    return {**cnn(trunk, side, outputs, seen, settings.head), "resized": resized}


def imported_teacher(
    trunk: str, settings: TeacherSettings, side: int, task: Task, constants: Constants
) -> Architecture:
    """A teacher whose weights are those of a file, or begin as these."""
    if settings.tune:
        return teacher(trunk, settings, side, task.outputs, constants)
    if foreign.is_foreign(trunk):
        plain = settings.model_copy(update={"head": None})
        return teacher(trunk, plain, side, task.outputs, constants)
    return published_cnn(trunk, side, task, constants)


def published_cnn(trunk: str, side: int, task: Task, constants: Constants) -> Architecture:
    """A teacher as it was published: one that answers with a value has a head that ends in a ReLU,
    and takes images in [-1, 1].
    """
    if task.label.distribution:
        return cnn(trunk, side, task.outputs, constants)
    return published_regressor(trunk, side)


def published_regressor(trunk: str, side: int) -> Architecture:
    """A teacher of a continuous label as it was published."""
    return {**cnn(trunk, side, 1, UNCHANGED, 128), "rectified": True}


def condition(settings: Embedding | None, num_classes: int) -> Architecture:
    """What labels become for GAN and ratio."""
    if settings is None:
        return {"name": "class-index", "num_classes": num_classes}
    return {"name": "label-embedding", "size": settings.size}


def embedding(settings: Embedding, side: int, constants: Constants) -> Architecture:
    """What the embedding of a continuous label is trained with."""
    return {
        "name": "image-embedding",
        "trunk": settings.network,
        "side": side,
        "size": settings.size,
        **constants,
    }


def published_embedding(settings: Embedding, side: int) -> Architecture:
    """As it was published: it reads labels back through a ReLU, of images in [-1, 1]."""
    return {**embedding(settings, side, UNCHANGED), "rectified": True}


def generator(preset: Preset, num_classes: int) -> Architecture:
    """The generator, and with it what its discriminator has in common."""
    gan = preset.gan
    shared = gan.model_dump(include={"shared"}, exclude_none=True)
    return {
        "name": gan.network,
        "latent": gan.latent,
        **discriminator(preset, num_classes),
        **shared,
    }


def discriminator(preset: Preset, num_classes: int) -> dict[str, Any]:
    """The sizes of the discriminator."""
    gan = preset.gan
    sizes: dict[str, Any] = {"size": preset.data.size, "width": gan.width}
    sizes |= {"embedding": gan.embedding.size} if gan.embedding else {"num_classes": num_classes}
    sizes |= {"tapered": True} if gan.tapered else {}
    return sizes | gan.model_dump(include={"attention"}, exclude_none=True)


def features(preset: Preset, outputs: int, constants: Constants) -> Architecture:
    """The space of the density ratio: a CNN's wide layer for classes, a sparse autoencoder for a
    continuous label.
    """
    settings, side = preset.dre.features, preset.data.size
    if settings.network:
        return {
            "name": "cnn-features",
            "trunk": settings.network,
            "side": side,
            "size": settings.size,
            "outputs": outputs,
            **constants,
        }
    return {"name": "sparse-encoder", "side": side, "width": settings.width, "size": settings.size}


def ratio(preset: Preset, num_classes: int) -> Architecture:
    """The density ratio on those features."""
    dre, embedding = preset.dre, preset.embedding
    return {
        "name": "ratio",
        "layers": dre.network,
        "width": dre.width,
        "features": dre.features.size,
        "dropout": dre.dropout,
        "output": dre.output,
        "embedding": embedding.size if embedding else 0,
        "num_classes": 0 if embedding else num_classes,
    }
