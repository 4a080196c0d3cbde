"""What a stage reads, all the way up: nothing that is missing, or stale, may be taken.

Whatever is upstream is planned for the job of today and compared with what stands. Digests of
inputs alone would not do: a teacher of another seed has a content like any other.
"""

from typing import Any

from cgankd.errors import DATA, UserError
from cgankd.job import Job
from cgankd.plan.stages import STAGES
from cgankd.runs import Artefact

STALE = "was made from other settings than asked for now"


class NotBuilt(UserError):
    """What a stage reads is not as its job asks for it: `waits` are the commands that mend it, in
    their order, each with the reason; empty where its inputs alone are at fault.
    """

    def __init__(self, waits: dict[str, str]) -> None:
        self.waits = waits
        reasons = [reason for reason in waits.values() if reason]
        calls = [
            f"`cgankd {command}{' --rebuild' if STALE in reason else ''}`"
            for command, reason in waits.items()
        ]
        hint = f"run {', '.join(calls)} first"
        if len(calls) > 1:
            hint = f"`cgankd run` with the same options builds it all; or {hint}, in this order"
        elif STALE in reasons[0]:
            hint = f"{hint}, or name the settings that it was made with"
        super().__init__("; ".join(reasons), DATA, hint)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.waits,)


def check_inputs(stage: str, job: Job) -> None:
    """NotBuilt naming all that a stage reads and that is missing, unfinished or stale."""
    if found := waits(stage, job):
        raise NotBuilt(found)


def waits(stage: str, job: Job) -> dict[str, str]:
    """What has to be built before a stage: commands in their order, with reasons."""
    found: dict[str, str] = {}
    for command, plan in STAGES[stage].reads(job):
        before = waits(command, job)
        reason = "" if before else _fault(plan())
        if before or reason:
            found = {**before, **found, command: found.get(command) or reason}
    return found


def _fault(artefact: Artefact) -> str:
    """Why what stands is not what is asked for; empty where it is."""
    match artefact.state():
        case "done":
            return ""
        case "missing":
            return f"{artefact.record} not found"
        case "begun":
            return f"{artefact.folder} is not finished"
        case "other":
            return f"{artefact.record} {STALE}: {artefact.difference()}"
        case _:
            raise artefact.blocked()
