"""What one call asks for: a preset, a run folder, how to compute, and what differs this time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cgankd import preset as presets
from cgankd.preset import Preset
from cgankd.runs import RunFolder

DEFAULT = "digits"  # the preset of a new folder


@dataclass(frozen=True)
class ImportFile:
    """A file of published weights, and the digest of the content that was asked for."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Overrides:
    """What a call asks for beside the preset; None, or no methods, is what the preset says."""

    methods: tuple[str, ...] = ()  # in the place of the preset's
    student: str | None = None  # one of distill.pairs
    rho: str | None = None  # a number, or none
    share: float | None = None  # of fakes in a batch
    fakes: str | None = None  # a file of fakes in the place of the pool
    ablation: bool = False
    curve: str | None = None  # steps=N,N,...: students of each number of steps
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
    compile: bool = False
    eager: bool = False
    rebuild: bool = False
    track: str | None = None  # the tracker that is told what happens
    overrides: Overrides = field(default_factory=Overrides)

    @property
    def computing(self) -> dict[str, Any]:
        """How to compute, as Machine takes it."""
        return {
            "device": self.device,
            "precision": self.precision,
            "deterministic": self.deterministic,
            "compile": self.compile,
            "eager": self.eager,
        }

    def asking(self, **overrides: object) -> "Job":
        """The same job with other overrides."""
        changed = replace(self.overrides, **overrides)  # type: ignore[arg-type]
        return replace(self, overrides=changed)


def make_job(
    folder: Path | None = None,
    preset: str | Path | None = None,
    changes: Sequence[str] = (),
    **options: Any,
) -> Job:
    """The checked job of a call, with `options` of Job.

    Without a preset it is the folder's own, or `digits` for a new one; without a folder it is
    runs/<preset>. UserError for a bad preset, and for a folder that is no run's.
    """
    own = RunFolder(folder or Path("runs") / DEFAULT)
    own.check()
    source = preset or (own.preset if own.preset.is_file() else DEFAULT)
    settings = presets.load(source, list(changes))
    run = RunFolder(folder or Path("runs") / settings.name)
    run.check()
    from cgankd import sources  # a misspelt key is told before numpy is imported

    presets.check_labels(settings, sources.known_label(settings.data))
    return Job(settings, run, **options)
