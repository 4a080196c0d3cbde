"""What artefacts are made from, as plain values: settings, and data by their digest."""

from collections.abc import Collection
from typing import Any

from cgankd import sources
from cgankd.job import Job
from cgankd.preset.base import Settings


def values(
    table: Settings, only: Collection[str] | None = None, without: Collection[str] = ()
) -> dict[str, Any]:
    """The keys of a table that are set."""
    include = None if only is None else set(only)
    return table.model_dump(include=include, exclude=set(without), exclude_none=True)


def data(job: Job) -> dict[str, Any]:
    """What all that learns from the data depends on."""
    preset = job.preset
    return {
        "seed": preset.seed,
        "data": sources.identify(preset.data, preset.seed, job.run),
    }
