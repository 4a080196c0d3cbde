"""What one call asks for: a preset, a run folder, how to compute, and what differs this time."""

from dataclasses import dataclass, field, replace

from cgankd.preset import Preset
from cgankd.runs import RunFolder


@dataclass(frozen=True)
class ImportFile:
    """A file of published weights, and the digest of the content that was asked for."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Overrides:
    """What a call asks for beside the preset; None is what the preset says."""

    method: str | None = None  # one in the place of the preset's
    student: str | None = None  # one of distill.pairs
    rho: str | None = None  # a number, or none
    fakes: str | None = None  # a file of fakes in the place of the pool
    ablation: bool = False
    imports: dict[str, ImportFile] = field(default_factory=dict)  # by the part to import


@dataclass(frozen=True)
class Job:
    """All that a stage needs to know; it pickles, so processes are given it as it is."""

    preset: Preset
    run: RunFolder
    device: str = "auto"
    precision: str = "auto"
    num_processes: int = 0  # 0: one, and for students on a CPU one per core
    deterministic: bool = False
    rebuild: bool = False
    overrides: Overrides = field(default_factory=Overrides)

    def asking(self, **overrides: object) -> "Job":
        """The same job with other overrides."""
        return replace(self, overrides=replace(self.overrides, **overrides))  # type: ignore[arg-type]
