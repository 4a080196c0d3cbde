"""Plans without data and networks: what the tests of `plan` ask about a finished run (the fixture
of conftest).
"""

from typing import Any

from cgankd import plan, preset
from cgankd.job import Job, Overrides
from cgankd.plan import Student, StudentPlanner, StudentSpec
from cgankd.runs import RunFolder

BASE = [
    "distill.pairs=[['resnet8', 'resnet8_x0_5', 'resnet8_x0_25']]",
    "teacher.networks=['resnet8', 'resnet8_x2']", "generate.teacher='resnet8'",
    "distill.seeds=[0, 1]", "rho.grid=[0.5, 1.0]", "rho.seeds=[0, 1]", "distill.rho=0.5",
    "distill.methods=['nokd', 'takd+fake']",
]  # fmt: skip


def job(run: RunFolder, *changes: str, name: str = "digits", **overrides: Any) -> Job:
    """A job on a small preset."""
    base = BASE if name == "digits" else []
    return Job(preset.load(name, [*base, *changes]), run, overrides=Overrides(**overrides))


def digests(stage: str, job: Job) -> list[str]:
    """Those of the artefacts that a stage makes, of which there is one at least."""
    found = [artefact.digest for artefact in plan.STAGES[stage].plan(job)]
    assert found, f"{stage} makes nothing"
    return found


def spec(**values: Any) -> StudentSpec:
    """A student, nokd of seed 0 but for what is said otherwise."""
    return StudentSpec(**{"network": "resnet8_x0_25", "method": "nokd", "seed": 0, **values})


def student(job: Job, **values: Any) -> Student:
    """Such a student, planned."""
    return StudentPlanner(job).plan(spec(**values))


def digest(job: Job, **values: Any) -> str:
    """Of such a student."""
    return student(job, **values).artefact.digest
