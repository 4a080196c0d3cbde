"""The options of the command, and what turns them into a call."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum, auto
from pathlib import Path
from typing import Annotated, Any

import typer

WHAT, WHERE, HOW, OUTPUT = "What to build", "Where", "How to compute", "Output"

# What a command needs before it has read its options is said in their types.
Strings = list[str]


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Track(StrEnum):
    tensorboard = auto()
    trackio = auto()
    wandb = auto()
    mlflow = auto()


PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="Preset name or TOML file.",
        show_default="the folder's own, else digits",
        rich_help_panel=WHAT,
    ),
]
Changes = Annotated[
    Strings,
    typer.Option(
        "--set", "-s", help="Change a setting: table.key=value. Repeatable.", rich_help_panel=WHAT
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=2**31,
        help="Same as --set seed=N.",
        show_default="of the preset",
        rich_help_panel=WHAT,
    ),
]
DeviceName = Annotated[Device, typer.Option(help="Where to compute.", rich_help_panel=HOW)]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=OUTPUT)]


@dataclass
class Options:
    """What every building command takes. Settings live in the preset; these are about this call."""

    preset: PresetName = None
    set: Changes = field(default_factory=list)
    seed: Seed = None
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Move what stands aside and build anew.", rich_help_panel=WHAT
        ),
    ] = False
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Run folder.", show_default="runs/<preset>", rich_help_panel=WHERE
        ),
    ] = None
    device: DeviceName = Device.auto
    precision: Annotated[
        Precision,
        typer.Option(help="Of the networks' arithmetic; auto is fp32.", rich_help_panel=HOW),
    ] = Precision.auto
    num_processes: Annotated[
        int,
        typer.Option(
            min=0,
            max=1024,
            help="Processes on this machine; 0: one, for students on a CPU one per core.",
            rich_help_panel=HOW,
        ),
    ] = 0
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic", help="Deterministic kernels on a GPU.", rich_help_panel=HOW
        ),
    ] = False
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Steps of all but the GAN through torch.compile.",
            rich_help_panel=HOW,
        ),
    ] = False
    eager: Annotated[
        bool,
        typer.Option(
            "--eager",
            help="On a GPU launch each kernel of a step, and no CUDA graph of them all.",
            rich_help_panel=HOW,
        ),
    ] = False
    track: Annotated[
        Track | None,
        typer.Option(
            help="Tell a tracker losses, measures and samples, too.", rich_help_panel=OUTPUT
        ),
    ] = None
    json: Json = False
    quiet: Quiet = False
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be built, and its cost; with --json the resolved preset too.",
            rich_help_panel=OUTPUT,
        ),
    ] = False


Imports = Annotated[
    Strings,
    typer.Option(
        "--from",
        help="Import published weights instead of training: FILE or PART=FILE.pth.",
        rich_help_panel=WHAT,
    ),
]
ImagesPlace = Annotated[
    Path | None,
    typer.Option(
        "--images",
        help="Images that others have drawn in the place of the GAN's: class folders, or FILE.h5 "
        "with fake_images, fake_labels. Same as --set generate.images=PATH.",
        rich_help_panel=WHAT,
    ),
]
LabelByTeacher = Annotated[
    bool,
    typer.Option(
        "--label-by-teacher",
        help="The images have no labels: the teacher gives them. Same as --set "
        "generate.label_by_teacher=true.",
        rich_help_panel=WHAT,
    ),
]
Export = Annotated[
    Path | None,
    typer.Option(
        "--export",
        help="Also write the accepted fakes as FILE.h5, in the published layout.",
        rich_help_panel=WHERE,
    ),
]
MethodNames = Annotated[
    Strings,
    typer.Option(
        "--method",
        "-m",
        help="A method instead of the preset's, e.g. takd+fake; may be given several times.",
        rich_help_panel=WHAT,
    ),
]
StudentName = Annotated[
    str | None,
    typer.Option("--student", help="Only this student of distill.pairs.", rich_help_panel=WHAT),
]
Rho = Annotated[
    str | None,
    typer.Option(
        "--rho", help="Share of fakes to keep, or none for no fakes.", rich_help_panel=WHAT
    ),
]
Share = Annotated[
    float | None,
    typer.Option(
        "--share",
        help="Share of fakes in a batch.",
        show_default="the one chosen among rho.shares, else distill.fake_share",
        rich_help_panel=WHAT,
    ),
]
FakesFile = Annotated[
    Path | None,
    typer.Option(
        "--fake",
        help="Fakes of others, as they are: FILE.h5 with fake_images, fake_labels.",
        rich_help_panel=WHAT,
    ),
]
Ablation = Annotated[
    bool,
    typer.Option(
        "--ablation",
        help="NOKD, raw fakes, + subsampling, + filter, + relabel.",
        rich_help_panel=WHAT,
    ),
]
Curve = Annotated[
    str | None,
    typer.Option(
        "--curve",
        help="Error on validation rows by the students' steps, e.g. steps=200,800,2400.",
        rich_help_panel=WHAT,
    ),
]


class Timed(StrEnum):
    """The stages that `bench` can time."""

    gan = "train-gan"
    teacher = "train-teacher"
    dre = "fit-dre"
    generate = "generate"
    distill = "distill"


class Plain(StrEnum):
    plain = "plain"


StageName = Annotated[
    Timed | None,
    typer.Option("--stage", help="Only this stage.", rich_help_panel=WHAT),
]
Against = Annotated[
    Plain | None,
    typer.Option(
        "--against",
        help="Also time the usual loop in turns: a DataLoader of PIL images, fp32.",
        rich_help_panel=WHAT,
    ),
]


def takes_options(app: typer.Typer, name: str, panel: str) -> Callable[..., Callable[..., None]]:
    """Registers a subcommand whose first parameter gathers the options that all building commands
    share; typer is shown them one by one, after those of its own.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function).parameters.values())[1:]
        shared = [_parameter(one) for one in dataclasses.fields(Options)]

        def call(**values: Any) -> None:
            options = Options(**{one.name: values.pop(one.name) for one in shared})
            function(options, **values)

        keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        parameters = [*keywords, *shared]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in parameters}
        call.__doc__ = function.__doc__
        app.command(name, rich_help_panel=panel)(call)
        return function

    return register


def _parameter(option: dataclasses.Field[Any]) -> inspect.Parameter:
    """A field of Options as a parameter of a command."""
    hints = typing.get_type_hints(Options, include_extras=True)
    make, default = option.default_factory, option.default
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=hints[option.name],
        default=default if make is dataclasses.MISSING else make(),
    )


def changes_of(given: list[str], seed: int | None) -> list[str]:
    """What --set and --seed change of a preset."""
    return [*given, *([] if seed is None else [f"seed={seed}"])]


def print_result(command: str, lines: list[str], json: bool, details: Any = None) -> None:
    """The lines, or as JSON the command with its `details`, which are the lines where nothing else
    is given.
    """
    from cgankd import console

    result = lines if details is None else details
    console.result(lines, {"command": command, "result": result} if json else None)


def be_quiet(quiet: bool) -> None:
    """No progress where it is not wanted."""
    from cgankd import console

    if quiet:
        console.be_quiet()
