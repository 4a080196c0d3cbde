"""The command `cgankd`: one thin function per subcommand. torch is imported only when something is
built.
"""

import sys
import typing
from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from cgankd.cli import deploy, tools
from cgankd.cli.options import (
    WHERE,
    Ablation,
    Against,
    Curve,
    Export,
    FakesFile,
    ImagesPlace,
    Imports,
    Json,
    LabelByTeacher,
    MethodNames,
    Options,
    Quiet,
    Rho,
    Share,
    StageName,
    StudentName,
    be_quiet,
    changes_of,
    print_result,
    takes_options,
)
from cgankd.errors import DATA, MEMORY, UNREAD, Unread, UserError, explained
from cgankd.version import VERSION

CHAIN, RESULTS, TOOLS = "The chain", "Results", "Data and presets"
USE = "What was trained, in use"

app = typer.Typer(
    help="cGAN-KD: accurate small networks, distilled through the samples of a conditional GAN.\n\n"
    "Start with [bold]cgankd run[/bold]: the whole chain on handwritten digits, in minutes and "
    "without a GPU.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@takes_options(app, "run", CHAIN)
def run(options: Options, ablation: Ablation = False) -> None:
    """Run the whole chain: builds what is missing or out of date, nothing else.

    \b
    cgankd run                                    # handwritten digits
    cgankd run -p mine.toml                       # a preset of one's own
    cgankd run -s 'distill.seeds=\\[0,1,2,3]'      # other seeds: only students are trained

    Prints the path of the page.
    """
    job = _job(options)
    if _dry(job, options):
        return
    from cgankd import pipeline

    page = pipeline.build_chain(job, ablation=ablation)
    _print(options, "run", [page])


@takes_options(app, "train-gan", CHAIN)
def train_gan(options: Options, imports: Imports = []) -> None:  # noqa: B006, typer copies it
    """Train the conditional GAN.

    \b
    cgankd train-gan -s gan.steps=5000 --rebuild
    cgankd train-gan -p cifar10-c10k -s data.protocol=paper --from G_ema.pth

    Prints the path of the generator.
    """
    _stage(
        "train-gan", options, lambda job: [job.run.gan.parent / "generator.safetensors"], imports
    )


@takes_options(app, "train-teacher", CHAIN)
def train_teacher(options: Options, imports: Imports = []) -> None:  # noqa: B006
    """Train the teachers.

    \b
    cgankd train-teacher -s 'teacher.networks=\\["resnet8","resnet20"]'
    cgankd train-teacher -o runs/cifar10-c10k --from resnet18=resnet18.pth

    Prints the path of the one that filters the fakes.
    """

    def result(job: Any) -> list[Path]:
        record = job.run.teacher(job.preset.generate.teacher)
        return [record.parent / "network.safetensors"]

    _stage("train-teacher", options, result, imports)


@takes_options(app, "fit-dre", CHAIN)
def fit_dre(options: Options, imports: Imports = []) -> None:  # noqa: B006
    """Fit the conditional density ratio (cDRE-F-SP); needs the GAN.

    \b
    cgankd fit-dre -s dre.penalty=0.1 --rebuild

    Prints the path of its network.
    """
    _stage("fit-dre", options, lambda job: [job.run.dre.parent / "ratio.safetensors"], imports)


@takes_options(app, "generate", CHAIN)
def generate(
    options: Options,
    images: ImagesPlace = None,
    label_by_teacher: LabelByTeacher = False,
    export: Export = None,
) -> None:
    """Draw, subsample and score the fake pool, or make it of images that others have drawn.

    \b
    cgankd generate --export fakes.h5
    cgankd generate --images drawn -s dre=none    # none is subsampled: no density ratio is needed

    Prints the path of its record.
    """

    def result(job: Any) -> list[Path]:
        if export:
            from cgankd import fakes

            everything = fakes.FakeSelection(relabel="keep")
            fakes.export(fakes.Pool(job.run.pool), everything, export)
        return [job.run.pool]

    if images:
        options.set = [*options.set, f"generate.images={dumps(str(images.absolute()))}"]
    if label_by_teacher:
        options.set = [*options.set, "generate.label_by_teacher=true"]
    _stage("generate", options, result)


@takes_options(app, "evaluate", CHAIN)
def evaluate(options: Options) -> None:
    """Score the fakes: are they any good, and which setting to change where they are not.

    \b
    cgankd evaluate
    cgankd evaluate -s evaluate.student=none      # without students of fakes alone

    Says it in words, and prints the path of the record.
    """
    _stage("evaluate", options, lambda job: [job.run.evaluation])


@takes_options(app, "select-rho", CHAIN)
def select_rho(options: Options) -> None:
    """Choose rho, the share of fakes to keep, on validation rows; or no fakes.

    \b
    rho=$(cgankd select-rho)
    cgankd select-rho -s 'rho.shares=\\[0.25,0.5]'  # and the share of fakes in a batch

    Prints rho: a number, or none. The share is kept in the record, where distill finds it.
    """

    def result(job: Any) -> list[str]:
        from cgankd.runs import fact

        rho = fact(job.run.search, "select-rho", "rho", (int, float, type(None)))
        return ["none" if rho is None else f"{rho:g}"]

    _stage("select-rho", options, result)


@takes_options(app, "distill", CHAIN)
def distill(
    options: Options,
    method: MethodNames = [],  # noqa: B006
    student: StudentName = None,
    rho: Rho = None,
    share: Share = None,
    fake: FakesFile = None,
    ablation: Ablation = False,
    curve: Curve = None,
) -> None:
    """Train the students of the methods, each seed.

    \b
    cgankd distill -m takd -m takd+fake           # other methods than the preset's
    cgankd distill --ablation                     # what each step of cGAN-KD adds
    cgankd distill --curve steps=200,800,2400     # when do students profit?
    cgankd distill -m fake --fake theirs.h5 --rebuild

    Prints the path of each method's results.
    """

    def result(job: Any) -> list[Path]:
        from cgankd.plan import STAGES

        return [artefact.record for artefact in STAGES["distill"].plan(job)]

    _stage(
        "distill",
        options,
        result,
        methods=tuple(method),
        student=student,
        rho=rho,
        share=share,
        fakes=str(fake.absolute()) if fake else None,
        ablation=ablation,
        curve=curve,
    )


@app.command("report", rich_help_panel=RESULTS)
def report(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or paths inside them.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the page.",
            show_default="of the run",
            rich_help_panel=WHERE,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write tables and figures of runs as one page; of one that goes on, as far as it is.

    \b
    cgankd report                                 # runs/digits
    cgankd report runs/a runs/b -o both           # one page over two runs

    Prints its path.
    """
    from cgankd import report, runs

    be_quiet(quiet)
    roots = list(dict.fromkeys(_root_of(path) for path in folders or [Path("runs") / "digits"]))
    page = (out or runs.RunFolder(roots[0]).report.parent) / "index.html"
    report.build(roots, page)  # without a lock: it reads what is whole, and writes the page whole
    print_result("report", [str(page)], json)


for command in (deploy.predict, deploy.score, deploy.export):
    app.command(rich_help_panel=USE)(command)
app.add_typer(tools.data_app, name="data", rich_help_panel=TOOLS)
app.add_typer(tools.presets_app, name="presets", rich_help_panel=TOOLS)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    """cGAN-KD from one command."""
    if version:
        from cgankd import console

        console.result([VERSION], None)
        raise typer.Exit()


def main() -> None:
    """Runs the command and turns errors into one message and an exit code."""
    from cgankd import console, signals

    signals.install()
    console.open_streams()
    try:
        app()
    except Unread:
        sys.exit(UNREAD)
    except Exception as error:
        failure = explained(error)
        if failure is None:
            raise
        _fail(failure)
    finally:
        console.close_streams()


def _fail(error: UserError) -> typing.NoReturn:
    """Says why, once where several processes were started; want of memory may be of one of them."""
    from cgankd import console

    if console.is_first() or error.code == MEMORY:
        console.error(str(error), error.hint)
    sys.exit(error.code)


@takes_options(app, "bench", TOOLS)
def bench(
    options: Options,
    model: Annotated[
        Path | None, typer.Argument(help=f"{deploy.MODEL} Without one, a preset's steps.")
    ] = None,
    stage: StageName = None,
    against: Against = None,
    batch: Annotated[int, typer.Option(min=1, help="Of MODEL: images at a time, beside one.")] = 64,
) -> None:
    """Time the steps of a preset on this machine, or a trained network in use.

    \b
    cgankd bench                                  # every stage of digits
    cgankd bench -p cifar10-c10k --stage distill --against plain
    cgankd bench -p mine.toml --json | jq .result.seconds
    cgankd bench runs/digits                      # its student: torch, onnxruntime, 8 bits

    Prints stage, network and images a second; of a MODEL runtime and milliseconds for one image.
    """
    be_quiet(options.quiet)
    if model:
        deploy.bench(model, batch, options.device, options.json)
        return
    job = _job(options)
    from cgankd.bench.result import bench as timed

    result = timed(job, stage and stage.value, plain=against is not None)
    lines = [
        f"{row['stage']}\t{row['name']}\t{row['images_per_second']:.1f}" for row in result["rows"]
    ]
    print_result("bench", lines, options.json, result)


# From options to a job


def _job(options: Options, **overrides: Any) -> Any:
    """The checked job of a call. The preset is checked before all else is imported."""
    from cgankd.job import Overrides, make_job

    be_quiet(options.quiet)
    return make_job(
        options.out,
        options.preset,
        changes_of(options.set, options.seed),
        device=options.device.value,
        precision=options.precision.value,
        num_processes=options.num_processes,
        deterministic=options.deterministic,
        compile=options.compile,
        eager=options.eager,
        rebuild=options.rebuild,
        track=options.track.value if options.track else None,
        overrides=Overrides(**overrides),
    )


def _stage(
    name: str,
    options: Options,
    result: Callable[[Any], list[Any]],
    imports: list[str] | None = None,
    **overrides: Any,
) -> None:
    """Builds one stage and prints what `result` says of it."""
    job = _job(options, **overrides)
    if imports:
        from cgankd import plan

        job = job.asking(imports=plan.import_files(name, imports, job.preset))
    if _dry(job, options, name):
        return
    from cgankd import pipeline

    pipeline.build_stage(name, job)
    _print(options, name, result(job))


def _dry(job: Any, options: Options, name: str | None = None) -> bool:
    """Prints the plan of --dry-run, and ends as the stage `name` or the chain would before anything
    is trained.
    """
    if not options.dry_run:
        return False
    from cgankd import console, pipeline

    states, costs = pipeline.states(job), pipeline.costs(job)
    from cgankd.bench import kept

    minutes = kept.minutes(job)
    if minutes is not None:
        console.say(f"time: about {minutes:.1f} minutes for all of it, by `cgankd bench`")
    details = {"preset": job.preset.model_dump(), "stages": states, "costs": costs}
    details["minutes"] = minutes
    lines = [f"{stage}: {state}" for stage, state in states.items()]
    console.result(lines, details if options.json else None)
    pipeline.check(name, job)
    return True


def _print(options: Options, name: str, lines: list[Any]) -> None:
    """The result, said once where several processes were started."""
    from cgankd import console

    if console.is_first():
        text = [str(line) for line in lines]
        print_result(name, text, options.json, text[0] if len(text) == 1 else text)


def _root_of(path: Path) -> Path:
    """The run folder that `path` is or lies in."""
    from cgankd.runs import RunFolder

    for folder in (path, *path.absolute().parents):
        run = RunFolder(folder)
        if run.preset.is_file() and run.stands:
            return folder
    raise UserError(
        f"{path} is no run folder and in none: no preset.toml of a run there",
        DATA,
        "run `cgankd run` first",
    )
