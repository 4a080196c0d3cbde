"""The artefacts up to the fakes: what each is made from.

Nothing here imports torch, so that whatever is missing, refused or already done is known at once.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from cgankd.errors import USAGE, UserError
from cgankd.job import Job
from cgankd.plan import inputs
from cgankd.plan.imports import gan_parts, imported
from cgankd.preset import Preset
from cgankd.runs import Artefact, content_of
from cgankd.sources import drawn

# Keys of [generate] that matter where the images are drawn by others, and where a ratio accepts.
DRAWN, BOUNDED = ["teacher", "per_label", "label_by_teacher"], ["bound_quantile", "bound_bins"]


def gan(job: Job) -> Artefact:
    """The generator with its condition."""
    record, preset = job.run.gan, job.preset
    if preset.gan_if_any is None:
        raise _no_table("gan", preset)
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
    table = job.preset.teacher
    ignored = ["networks", "tune", *([] if "/" in network else ["input_size"])]
    settings: dict[str, Any] = {}
    if not origin or table.tune:
        settings = {"teacher": inputs.values(table, without=ignored)}
    elif "/" in network:
        settings = {"teacher": inputs.values(table, only=["input_size"])}
    made_from = {"network": network, **settings, **inputs.data(job), **origin}
    return Artefact(record, "train-teacher", made_from)


def dre(job: Job) -> Artefact:
    """The density ratio with its features."""
    if job.preset.dre_if_any is None:
        raise _no_table("dre", job.preset)
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
        **_fakes_for_ratio(job),
        **origin,
    }
    return Artefact(record, "fit-dre", made_from)


def _fakes_for_ratio(job: Job) -> dict[str, Any]:
    """What the fakes that a ratio is fitted to depend on: the GAN, or images that others have
    drawn, whose labels, and the embedding of these, are made here.
    """
    preset, run = job.preset, job.run
    if preset.generate.images is None:
        return {"train-gan": content_of(run.gan, "train-gan")}
    teacher = run.teacher(preset.generate.teacher)
    labelled = preset.generate.label_by_teacher
    return {
        "images": drawn.identify(preset),
        **({"train-teacher": content_of(teacher, "train-teacher")} if labelled else {}),
        **({"embedding": inputs.values(preset.embedding)} if preset.embedding else {}),
    }


def _no_table(key: str, preset: Preset) -> UserError:
    return UserError(
        f"preset {preset.name} has no table [{key}]: its fakes are the images of "
        f"{preset.generate.images}",
        USAGE,
        "add the table, or leave out this command",
    )


def pool_networks(job: Job) -> dict[str, Path]:
    """The records of the networks that draw and judge fakes, by the command that makes each."""
    run, preset = job.run, job.preset
    records = {
        "train-gan": run.gan,
        "train-teacher": run.teacher(preset.generate.teacher),
        "fit-dre": run.dre,
    }
    used = {
        "train-gan": preset.generate.images is None,
        "train-teacher": True,
        "fit-dre": preset.dre_if_any is not None,
    }
    return {command: record for command, record in records.items() if used[command]}


def pool(job: Job) -> Artefact:
    """The fake pool."""
    preset, run, networks = job.preset, job.run, pool_networks(job)
    settings = inputs.values(preset.generate, without=["images", "label_by_teacher"])
    if preset.generate.images is not None:  # the same images in another place are the same pool
        kept = [*DRAWN, *(BOUNDED if preset.dre_if_any else [])]
        settings = {**inputs.values(preset.generate, only=kept), "images": drawn.identify(preset)}
    made_from = {
        "generate": settings,
        "seed": preset.seed,
        **{command: content_of(record, command) for command, record in networks.items()},
    }
    if preset.generate.images is not None:
        made_from |= inputs.data(job)  # whose validation and test images may not be among them
    return Artefact(run.pool, "generate", made_from)
