"""cgankd from Python: the same runs, with the same checks and locks as the command line."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cgankd import pipeline, plan, report
from cgankd.job import make_job
from cgankd.preset import Preset


class Run:
    """A run folder with its preset.

    Without a preset it is the folder's own, or `digits` for a new one; without a folder it is
    runs/<preset>. `changes` are of the form "table.key=value". UserError for a bad preset, and for
    a folder of something else. Several processes (`num_processes` > 1) start this program anew, so
    that it needs the usual `if __name__ == "__main__":`.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        preset: str | Path | None = None,
        changes: Sequence[str] = (),
        device: str = "auto",
        precision: str = "auto",
        num_processes: int = 1,
        deterministic: bool = False,
        compile: bool = False,
        eager: bool = False,
        track: str | None = None,
    ) -> None:
        self._job = make_job(
            None if folder is None else Path(folder),
            preset,
            changes,
            device=device,
            precision=precision,
            num_processes=num_processes,
            deterministic=deterministic,
            compile=compile,
            eager=eager,
            track=track,
        )

    @property
    def folder(self) -> Path:
        """Where everything of the run stands."""
        return self._job.run.root

    @property
    def preset(self) -> Preset:
        """The settings, as resolved."""
        return self._job.preset

    def build(
        self,
        stage: str | None = None,
        *,
        method: str | Sequence[str] | None = None,
        student: str | None = None,
        rho: float | str | None = None,
        share: float | None = None,
        fakes: str | Path | None = None,
        ablation: bool = False,
        curve: str | None = None,
        imports: Sequence[str] = (),
        rebuild: bool = False,
    ) -> list[Path]:
        """Builds what is not up to date: one stage, whose records it returns, or the whole chain,
        with the page as the last. The other arguments are the options of `cgankd` with these names
        (`fakes` is --fake, `imports` is --from).
        """
        job = replace(self._job, rebuild=rebuild).asking(
            methods=(method,) if isinstance(method, str) else tuple(method or ()),
            student=student,
            rho=None if rho is None else str(rho),
            share=share,
            fakes=None if fakes is None else str(Path(fakes).absolute()),
            ablation=ablation,
            curve=curve,
            imports=plan.import_files(stage or "", list(imports), self.preset) if imports else {},
        )
        if stage is None:
            return [pipeline.build_chain(job, ablation=ablation)]
        return pipeline.build_stage(stage, job)

    def results(self) -> dict[str, Any]:
        """The numbers of the report, as report.json holds them; UserError where there are none."""
        return report.summarise(report.read(self.folder), self.preset.name)
