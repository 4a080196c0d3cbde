"""The command `cgankd`: one thin function per subcommand. torch is imported only when something is built."""

import inspect
import os
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cgankd import __version__
from cgankd.errors import DATA, IN_USE, MEMORY, USAGE, UserError

app = typer.Typer(
    help="cGAN-KD: accurate small networks, distilled through the samples of a conditional GAN.\n\n"
    "Start with [bold]cgankd run[/bold]: the whole chain on handwritten digits, in minutes and without a GPU.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
data_app = typer.Typer(help="Look at images, and bring them into one file.", no_args_is_help=True)
presets_app = typer.Typer(help="List, show and copy presets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(presets_app, name="presets")


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


Sets = Annotated[list[str], typer.Option("--set", "-s", help="Change a setting: table.key=value. Repeatable.")]
Seed = Annotated[int, typer.Option(min=-1, max=2**31, help="Same as --set seed=N.", show_default="of the preset")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@dataclass
class Options:
    """What every building command takes. Settings live in the preset; these are about this call."""

    preset: Annotated[
        str,
        typer.Option("--preset", "-p", help="Preset name or TOML file.", show_default="the folder's own, else digits"),
    ] = ""
    set: Sets = ()  # type: ignore[assignment]
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.", show_default="runs/<preset>")] = Path()
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto
    precision: Annotated[Precision, typer.Option(help="Of the networks' arithmetic; auto is fp32.")] = Precision.auto
    num_processes: Annotated[
        int,
        typer.Option(min=0, max=1024, help="Processes on this machine; 0: one, for students on a CPU one per core."),
    ] = 0
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Deterministic kernels on a GPU.")] = False
    seed: Seed = -1
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Move what stands aside and build anew.")] = False
    json: Json = False
    quiet: Quiet = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved preset and what would be built.")] = (
        False
    )


def command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a subcommand whose first parameter gathers the options that all building commands share."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function).parameters.values())[1:]
        hints = typing.get_type_hints(Options, include_extras=True)
        shared = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=getattr(Options, key))
                  for key, hint in hints.items()]  # fmt: skip
        shared[1] = shared[1].replace(default=[])

        def call(**values: Any) -> None:
            options = Options(**{key: values.pop(key) for key in hints})
            function(options, **values)

        keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        call.__signature__ = inspect.Signature([*keyword, *shared])  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in [*keyword, *shared]}
        call.__doc__ = function.__doc__
        app.command(name)(call)
        return function

    return register


Export = Annotated[
    Path | None, typer.Option("--export", help="Also write the accepted fakes as FILE.h5, in the published layout.")
]
MethodName = Annotated[str, typer.Option("--method", "-m", help="One method instead of the preset's, e.g. takd+fake.")]
StudentName = Annotated[str, typer.Option("--student", help="Only this student of distill.pairs.")]
RhoValue = Annotated[str, typer.Option("--rho", help="Share of fakes to keep, or none for no fakes.")]
FakeFile = Annotated[
    Path | None, typer.Option("--fake", help="Fakes of others, as they are: FILE.h5 with fake_images, fake_labels.")
]
Ablation = Annotated[bool, typer.Option("--ablation", help="NOKD, raw fakes, + subsampling, + filter, + relabel.")]
Weights = Annotated[
    list[str], typer.Option("--from", help="Import published weights instead of training: FILE or PART=FILE.pth.")
]


@command("train-gan")
def train_gan(options: Options, weights: Weights = []) -> None:  # noqa: B006, typer copies it
    """Train the conditional GAN. Prints the path of the generator."""
    _stage("train-gan", options, lambda job: [job.run.gan.parent / "generator.safetensors"], weights)


@command("train-teacher")
def train_teacher(options: Options, weights: Weights = []) -> None:  # noqa: B006
    """Train the teachers. Prints the path of the one that filters the fakes."""
    _stage("train-teacher", options,
           lambda job: [job.run.teacher(job.preset.generate.teacher).parent / "network.safetensors"],
           weights)  # fmt: skip


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
def distill(options: Options, method: MethodName = "", student: StudentName = "", rho: RhoValue = "",
            fake: FakeFile = None, ablation: Ablation = False) -> None:  # fmt: skip
    """Train the students of the methods, each seed. Prints the path of each method's results."""

    def result(job: Any) -> list[Path]:
        from cgankd import plan

        return [artefact.record for artefact in plan.artefacts("distill", job.preset, job.run, job.call)]

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
    """Run the whole chain: builds what is missing or out of date, nothing else. Prints the path of the page."""
    job = _job(options)
    if _dry(job, options):
        return
    from cgankd import launch, pages, pipeline

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
    folders: Annotated[list[Path] | None, typer.Argument(help="Run folders, or paths inside them.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the page.", show_default="of the run")] = Path(),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write tables and figures of finished runs as one page. Prints its path."""
    from cgankd import pages, runs

    _quieten(quiet)
    roots = list(dict.fromkeys(_root_of(path) for path in folders or [Path("runs") / "digits"]))
    page = (out if out != Path() else runs.Run(roots[0]).report.parent) / "index.html"
    with runs.locked(roots[0]):
        pages.build(roots, page)
    _result("report", [str(page)], json)


@data_app.command("inspect")
def inspect_data(
    path: Annotated[Path, typer.Argument(help="An HDF5 file, a CSV, or a folder of images.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List what a file or folder holds, and its problems."""
    from cgankd.sources import inspection

    _quieten(quiet)
    facts = inspection.inspect(path)
    _result("data inspect", inspection.lines(facts), json, facts)


@data_app.command("prepare")
def prepare_data(
    to: Annotated[Path, typer.Option("--to", help="The HDF5 file to write.")],
    preset: Annotated[str, typer.Option("--preset", "-p", help="Preset name or TOML file.")] = "digits",
    set: Sets = [],  # noqa: B006 - typer makes a new one
    seed: Seed = -1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the images of a preset as one HDF5 file with splits, for the source h5. Prints its path."""
    from cgankd import preset as presets
    from cgankd.sources.prepare import prepare

    _quieten(quiet)
    settings = presets.load(preset, _changes(set, seed))
    prepare(settings.data, settings.seed, to)
    _result("data prepare", [str(to)], json, str(to))


@data_app.command("verify")
def verify_data(
    file: Annotated[Path, typer.Argument(help="An HDF5 file.")],
    bounds: Annotated[
        tuple[float, float] | None, typer.Option("--range", help="Of a continuous label: smallest and largest value.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a whole HDF5 file: images, labels, splits, test images among the others. Prints its path."""
    from cgankd.sources import inspection

    _quieten(quiet)
    facts = inspection.verify(file, bounds)
    _result("data verify", [str(file)], json, facts)


@presets_app.command("ls")
def list_presets(json: Json = False) -> None:
    """List the presets that come with cgankd."""
    from cgankd import preset

    _result("presets ls", preset.names(), json)


@presets_app.command("show")
def show_preset(name: Annotated[str, typer.Argument(help="Preset name or TOML file.")], json: Json = False) -> None:
    """Print a preset as it is written; `run --dry-run` prints every value."""
    from cgankd import preset

    settings = preset.load(name).model_dump() if json else None
    _result("presets show", [preset.text(name).rstrip()], json, settings)


@presets_app.command("cp")
def copy_preset(
    name: Annotated[str, typer.Argument(help="Preset name or TOML file.")],
    file: Annotated[Path, typer.Argument(help="The TOML file to write; the copy is named after it.")],
    json: Json = False,
) -> None:
    """Copy a preset to edit. Prints the path of the copy."""
    from cgankd import preset

    preset.copy(name, file)
    _result("presets cp", [str(file)], json, str(file))


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
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
    return UserError("out of memory", MEMORY, "lower the batch of the stage, e.g. --set gan.batch=32, and run again")


def _job(options: Options, **call: Any) -> Any:
    """The checked job of a call: preset, run folder, machine. The preset is checked before all else is imported."""
    from cgankd import preset, runs

    _quieten(options.quiet)
    given = options.out != Path()
    own = runs.Run(options.out if given else Path("runs") / "digits").preset
    source: str | Path = options.preset or (own if own.is_file() else "digits")
    settings = preset.load(source, _changes(options.set, options.seed))
    root = options.out if given else Path("runs") / settings.name
    if root.exists() and not root.is_dir():
        raise UserError(f"--out {root} is a file", IN_USE, "name a folder")
    if root.is_dir() and not (root / "preset.toml").exists() and any(p for p in root.iterdir() if p.name[0] != "."):
        raise UserError(f"--out {root} holds other files", IN_USE, "name a new folder, or that of a run")
    from cgankd import pipeline, plan, sources

    plan.check_labels(settings, sources.known_label(settings.data))
    return pipeline.Job(settings, runs.Run(root), options.device.value, options.precision.value, options.num_processes,
                        options.deterministic, options.rebuild, pipeline.Call(**call))  # fmt: skip


def _changes(given: list[str], seed: int) -> list[str]:
    """What --set and --seed change of a preset; the seed is -1 where none was given."""
    return [*given, *([f"seed={seed}"] if seed >= 0 else [])]


def _stage(
    name: str, options: Options, result: Callable[[Any], list[Any]], weights: list[str] | None = None, **call: Any
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
    """The lock of the run folder; a stage that has inputs is refused before a folder is made for it."""
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
    details = {"preset": job.preset.model_dump(), "stages": states, "costs": costs} if options.json else None
    console.result([preset.dump(job.preset).rstrip()], details)
    return True


def _print(options: Options, name: str, lines: list[Any]) -> None:
    from cgankd import launch

    if launch.is_first():
        text = [str(line) for line in lines]
        _result(name, text, options.json, text[0] if len(text) == 1 else text)


def _result(command: str, lines: list[str], json: bool, details: Any = None) -> None:
    """The lines, or as JSON the command with its `details`, which are the lines where nothing else is given."""
    from cgankd import console

    found = lines if details is None else details
    console.result(lines, {"command": command, "result": found} if json else None)


def _quieten(quiet: bool) -> None:
    from cgankd import console

    if quiet:
        console.be_quiet()


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
    fakes.export(pool, fakes.View(relabel="keep"), path, label.get("min", 0), label.get("max", 1))


def _root_of(path: Path) -> Path:
    """The run folder that `path` is or lies in."""
    for folder in (path, *path.absolute().parents):
        if (folder / "preset.toml").is_file():
            return folder
    raise UserError(f"{path} is no run folder and in none: no preset.toml there", DATA, "run `cgankd run` first")
