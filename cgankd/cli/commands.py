"""The command `cgankd`: one thin function per subcommand. torch is imported only when something is
built.
"""

import os
import sys
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cgankd import __version__
from cgankd.cli import tools
from cgankd.cli.options import (
    Ablation,
    Export,
    FakeFile,
    Json,
    MethodName,
    Options,
    Quiet,
    RhoValue,
    StudentName,
    Weights,
    _changes,
    _quieten,
    _result,
    app,
    command,
)
from cgankd.errors import DATA, IN_USE, MEMORY, USAGE, UserError

app.add_typer(tools.data_app, name="data")
app.add_typer(tools.presets_app, name="presets")


@command("train-gan")
def train_gan(options: Options, weights: Weights = []) -> None:  # noqa: B006, typer copies it
    """Train the conditional GAN. Prints the path of the generator."""
    _stage(
        "train-gan", options, lambda job: [job.run.gan.parent / "generator.safetensors"], weights
    )


@command("train-teacher")
def train_teacher(options: Options, weights: Weights = []) -> None:  # noqa: B006
    """Train the teachers. Prints the path of the one that filters the fakes."""
    _stage(
        "train-teacher",
        options,
        lambda job: [job.run.teacher(job.preset.generate.teacher).parent / "network.safetensors"],
        weights,
    )


@command("fit-dre")
def fit_dre(options: Options, weights: Weights = []) -> None:  # noqa: B006
    """Fit the conditional density ratio. Prints the path of its network."""
    _stage("fit-dre", options, lambda job: [job.run.dre.parent / "ratio.safetensors"], weights)


@command("generate")
def generate(options: Options, export: Export = None) -> None:
    """Draw, subsample and score the fake pool. Prints the path of its record."""

    def result(job: Any) -> list[Path]:
        if export:
            _export(job, export)
        return [job.run.pool]

    _stage("generate", options, result)


@command("evaluate")
def evaluate(options: Options) -> None:
    """Score the fakes of a continuous label in windows of it. Prints the path of the record."""
    _stage("evaluate", options, lambda job: [job.run.evaluation])


@command("select-rho")
def select_rho(options: Options) -> None:
    """Choose rho on validation rows. Prints it: a number, or none."""

    def result(job: Any) -> list[str]:
        from cgankd.runs import finished

        rho = finished(job.run.rho, "select-rho")["rho"]
        return ["none" if rho is None else f"{rho:g}"]

    _stage("select-rho", options, result)


@command("distill")
def distill(
    options: Options,
    method: MethodName = "",
    student: StudentName = "",
    rho: RhoValue = "",
    fake: FakeFile = None,
    ablation: Ablation = False,
) -> None:
    """Train the students of the methods, each seed. Prints the path of each method's results."""

    def result(job: Any) -> list[Path]:
        from cgankd import plan

        return [
            artefact.record for artefact in plan.artefacts("distill", job.preset, job.run, job.call)
        ]

    _stage(
        "distill",
        options,
        result,
        method=_method(method),
        student=student,
        rho=rho,
        fake=str(fake.absolute()) if fake else "",
        ablation=ablation,
    )


@command("run")
def run(options: Options, ablation: Ablation = False) -> None:
    """Run the whole chain: builds what is missing or out of date, nothing else. Prints the path of
    the page.
    """
    job = _job(options)
    if _dry(job, options):
        return
    from cgankd import launch, pipeline
    from cgankd.report import page as pages

    with _building(job):
        for stage in pipeline.stages(job.preset):
            pipeline.build(stage, job, whole_chain=True)
        if ablation:
            pipeline.build("distill", _job(options, ablation=True), whole_chain=True)
        if launch.is_first():
            pages.build([job.run.root], job.run.report)
    _print(options, "run", [job.run.report])


@app.command("report")
def report(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or paths inside them.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the page.", show_default="of the run")
    ] = Path(),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write tables and figures of finished runs as one page. Prints its path."""
    from cgankd import runs
    from cgankd.report import page as pages

    _quieten(quiet)
    roots = list(dict.fromkeys(_root_of(path) for path in folders or [Path("runs") / "digits"]))
    page = (out if out != Path() else runs.Run(roots[0]).report.parent) / "index.html"
    with runs.locked(roots[0]):
        pages.build(roots, page)
    _result("report", [str(page)], json)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    """cGAN-KD from one command."""
    if version:
        typer.echo(__version__)
        raise typer.Exit()


def main() -> None:
    """Runs the command and turns errors into one message and an exit code."""
    from cgankd import signals

    signals.install()
    try:
        app()
    except UserError as error:
        _fail(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except MemoryError:
        _fail(_out_of_memory())
    except Exception as error:
        # torch has the class, and importing torch to name it would cost seconds.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        _fail(_out_of_memory())


def _fail(error: UserError) -> typing.NoReturn:
    from cgankd import console

    console.error(str(error), error.hint)
    sys.exit(error.code)


def _out_of_memory() -> UserError:
    return UserError(
        "out of memory",
        MEMORY,
        "lower the batch of the stage, e.g. --set gan.batch=32, and run again",
    )


def _job(options: Options, **call: Any) -> Any:
    """The checked job of a call: preset, run folder, machine. The preset is checked before all else
    is imported.
    """
    from cgankd import preset, runs

    _quieten(options.quiet)
    given = options.out != Path()
    own = runs.Run(options.out if given else Path("runs") / "digits").preset
    source: str | Path = options.preset or (own if own.is_file() else "digits")
    settings = preset.load(source, _changes(options.set, options.seed))
    root = options.out if given else Path("runs") / settings.name
    if root.exists() and not root.is_dir():
        raise UserError(f"--out {root} is a file", IN_USE, "name a folder")
    if (
        root.is_dir()
        and not (root / "preset.toml").exists()
        and any(p for p in root.iterdir() if p.name[0] != ".")
    ):
        raise UserError(
            f"--out {root} holds other files", IN_USE, "name a new folder, or that of a run"
        )
    from cgankd import pipeline, preset, sources

    preset.check_labels(settings, sources.known_label(settings.data))
    return pipeline.Job(
        settings,
        runs.Run(root),
        options.device.value,
        options.precision.value,
        options.num_processes,
        options.deterministic,
        options.rebuild,
        pipeline.Overrides(**call),
    )


def _stage(
    name: str,
    options: Options,
    result: Callable[[Any], list[Any]],
    weights: list[str] | None = None,
    **call: Any,
) -> None:
    job = _job(options, **call)
    if weights:
        from cgankd import plan

        found = plan.weights(name, weights, job.preset)
        job = replace(job, call=replace(job.call, weights=found))
    if _dry(job, options):
        return
    from cgankd import pipeline

    with _building(job, name):
        pipeline.build(name, job)
        lines = result(job)
    _print(options, name, lines)


def _building(job: Any, name: str = "") -> Any:
    """The lock of the run folder; a stage that has inputs is refused before a folder is made for
    it.
    """
    from contextlib import nullcontext

    from cgankd import launch, plan, runs

    if name and not job.run.root.exists():
        plan.artefacts(name, job.preset, job.run, job.call)
    return runs.locked(job.run.root) if launch.is_first() else nullcontext()


def _dry(job: Any, options: Options) -> bool:
    """Prints the plan of --dry-run."""
    if not options.dry_run:
        return False
    from cgankd import console, pipeline, preset

    states, costs = pipeline.states(job), pipeline.costs(job)
    for stage, state in states.items():
        console.say(f"{stage}: {state}")
    details = (
        {"preset": job.preset.model_dump(), "stages": states, "costs": costs}
        if options.json
        else None
    )
    console.result([preset.dump(job.preset).rstrip()], details)
    return True


def _print(options: Options, name: str, lines: list[Any]) -> None:
    from cgankd import launch

    if launch.is_first():
        text = [str(line) for line in lines]
        _result(name, text, options.json, text[0] if len(text) == 1 else text)


def _method(name: str) -> str:
    from cgankd import preset

    try:
        return preset.check_method(name) if name else ""
    except ValueError as error:
        raise UserError(f"--method {name}: {error}", USAGE) from None


def _export(job: Any, path: Path) -> None:
    from cgankd import fakes

    pool = fakes.Pool(job.run.pool)
    label = pool.record["label"]
    fakes.export(
        pool, fakes.FakeSelection(relabel="keep"), path, label.get("min", 0), label.get("max", 1)
    )


def _root_of(path: Path) -> Path:
    """The run folder that `path` is or lies in."""
    for folder in (path, *path.absolute().parents):
        if (folder / "preset.toml").is_file():
            return folder
    raise UserError(
        f"{path} is no run folder and in none: no preset.toml there", DATA, "run `cgankd run` first"
    )
