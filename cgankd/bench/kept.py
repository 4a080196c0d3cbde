"""The last result for a preset on this machine, in the user's cache folder, for --dry-run."""

from pathlib import Path
from typing import Any

from cgankd import console, runs
from cgankd.errors import UserError
from cgankd.job import Job
from cgankd.sources import cache


def keep(job: Job, result: dict[str, Any]) -> None:
    """Keeps a result; one that cannot be kept is no reason to lose it."""
    path = _place(job)
    try:
        runs.make_folder(path.parent)
        runs.write_json(path, result)
    except UserError as error:
        console.warn(f"the result cannot be kept for --dry-run: {error}")


def minutes(job: Job) -> float | None:
    """How long the whole preset takes here, where a bench has found that out."""
    try:
        seconds = runs.read_json(_place(job)).get("seconds")
    except UserError:
        return None
    return seconds / 60 if isinstance(seconds, int | float) else None


def _place(job: Job) -> Path:
    settings = job.preset.model_dump()
    settings.pop("name")
    asked = runs.digest([settings, job.computing])
    return cache.folder() / "bench" / f"{asked[:16]}.json"
