"""Which fakes a call uses: rho, their share of a batch, what is selected of the pool."""

from dataclasses import replace
from typing import Any

from cgankd.errors import USAGE, UserError
from cgankd.fakes import FakeSelection
from cgankd.job import Job
from cgankd.preset import Preset
from cgankd.runs import fact

BatchShare = float | str  # a number in (0, 1), or "proportional"


def selections_of(job: Job) -> list[FakeSelection | None]:
    """The fakes that +fake methods use, one selection for each number of them; None is without."""
    distill = job.preset.distill
    numbers = distill.nfake if isinstance(distill.nfake, list) else [distill.nfake]
    if job.overrides.fakes:  # a file of fakes is used as it is
        whole = FakeSelection(subsample=False, relabel="keep")
    elif (job.overrides.rho or distill.rho) == "none":
        return [None]
    else:
        whole = full_selection(job.preset, rho_of(job))
    return [replace(whole, num=num) if num != 0 else None for num in numbers]


def full_selection(preset: Preset, rho: float) -> FakeSelection:
    """All steps of the method with one number of fakes; of several the largest."""
    num, distill = preset.distill.nfake, preset.distill
    return FakeSelection(
        rho=rho,
        relabel=distill.relabel,
        clip=distill.relabel != "unclipped",
        num=max(num) if isinstance(num, list) else num,
        bins=distill.filter_bins,
    )


def is_selected(job: Job) -> bool:
    """Whether rho, or the share of fakes in a batch, is the one that select-rho chooses."""
    return _selects_rho(job) or _selects_share(job)


def without_search(job: Job) -> Job:
    """The same job with a rho and a share in the place of those that select-rho has yet to choose:
    who they teach and what they read is the same with any.
    """
    search = job.preset.search
    known: dict[str, Any] = {}
    if _selects_rho(job):
        known["rho"] = str(max(search.grid))
    if _selects_share(job):
        known["share"] = max(search.shares or [])
    return job.asking(**known)


def _selects_rho(job: Job) -> bool:
    return (job.overrides.rho or job.preset.distill.rho) == "selected"


def _selects_share(job: Job) -> bool:
    """The share that was chosen stays with a rho that is named, such as the one that select-rho
    has printed; fakes of others were not searched.
    """
    preset, overrides = job.preset, job.overrides
    searched = preset.search.shares is not None and preset.distill.rho == "selected"
    with_fakes = overrides.rho != "none" and not overrides.fakes
    return searched and with_fakes and overrides.share is None


def share_of(job: Job) -> BatchShare:
    """The share of fakes in a batch: of the call, of the preset, or the selected one."""
    asked = job.overrides.share
    if asked is not None and not 0 < asked < 1:
        raise UserError(f"--share {asked:g}: expected a number between 0 and 1", USAGE)
    if _selects_share(job):
        return float(fact(job.run.search, "select-rho", "best_share", float))
    return job.preset.distill.fake_share if asked is None else asked


def rho_of(job: Job) -> float:
    """The rho of the call, of the preset, or the selected one."""
    asked = job.overrides.rho or job.preset.distill.rho
    if _selects_rho(job):
        return float(fact(job.run.search, "select-rho", "best_rho", (int, float)))
    try:
        value = float(asked)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UserError(f"--rho {asked}: expected a number in (0, 1] or none", USAGE)
    return value
