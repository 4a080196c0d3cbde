"""The artefacts up to the fakes: what each is made from.

Nothing here imports torch, so that whatever is missing, refused or already done is known at once.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from cgankd.job import Job
from cgankd.plan import inputs
from cgankd.plan.imports import gan_parts, imported
from cgankd.preset import Preset
from cgankd.runs import Artefact, content_of


def gan(job: Job) -> Artefact:
    """The generator with its condition."""
    record, preset = job.run.gan, job.preset
    origin = imported(record, job, *gan_parts(preset))
    settings = _gan_settings(preset, origin.get("from", {}))
    return Artefact(record, "train-gan", {"gan": settings, **inputs.data(job), **origin})


def _gan_settings(preset: Preset, imported: Collection[str]) -> dict[str, Any]:
    """What the GAN depends on: of imported parts only their form."""
    form = ("network", "width", "latent", "shared", "attention", "embedding")
    settings = inputs.values(preset.gan, only=form if "generator" in imported else None)
    if preset.gan.embedding and {"condition", "embedding"} & set(imported):
        trained = {"labels", "noise"} if "condition" not in imported else set()
        network = {"network"} if "embedding" in imported else set()
        settings["embedding"] = inputs.values(
            preset.gan.embedding, only={"size"} | network | trained
        )
    return settings


def teachers(job: Job) -> list[Artefact]:
    """Every teacher of the preset."""
    return [teacher(network, job) for network in job.preset.teacher.networks]


def teacher(network: str, job: Job) -> Artefact:
    """One teacher, which does not depend on the others."""
    record = job.run.teacher(network)
    origin = imported(record, job, network)
    settings = (
        {} if origin else {"teacher": inputs.values(job.preset.teacher, without=["networks"])}
    )
    made_from = {"network": network, **settings, **inputs.data(job), **origin}
    return Artefact(record, "train-teacher", made_from)


def dre(job: Job) -> Artefact:
    """The density ratio with its features."""
    record, dre = job.run.dre, job.preset.dre
    origin = imported(record, job, "features", "ratio")
    form = ("network", "width", "output") if "ratio" in origin.get("from", {}) else None
    settings = inputs.values(dre, only=form)
    settings["features"] = inputs.values(
        dre.features, only=("network", "width", "size") if origin else None
    )
    made_from = {
        "dre": settings,
        **inputs.data(job),
        "train-gan": content_of(job.run.gan, "train-gan"),
        **origin,
    }
    return Artefact(record, "fit-dre", made_from)


def pool_networks(job: Job) -> dict[str, Path]:
    """The records of the networks that draw and judge fakes, by the command that makes each."""
    run = job.run
    return {
        "train-gan": run.gan,
        "train-teacher": run.teacher(job.preset.generate.teacher),
        "fit-dre": run.dre,
    }


def pool(job: Job) -> Artefact:
    """The fake pool."""
    preset, run, networks = job.preset, job.run, pool_networks(job)
    made_from = {
        "generate": inputs.values(preset.generate),
        "seed": preset.seed,
        **{command: content_of(record, command) for command, record in networks.items()},
    }
    return Artefact(run.pool, "generate", made_from)
