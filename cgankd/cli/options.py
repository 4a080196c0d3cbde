"""The options of the command, and what turns them into a call."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="cGAN-KD: accurate small networks, distilled through the samples of a conditional GAN.\n\n"
    "Start with [bold]cgankd run[/bold]: the whole chain on handwritten digits, in minutes and "
    "without a GPU.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


Sets = Annotated[
    list[str], typer.Option("--set", "-s", help="Change a setting: table.key=value. Repeatable.")
]


Seed = Annotated[
    int, typer.Option(min=-1, max=2**31, help="Same as --set seed=N.", show_default="of the preset")
]


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@dataclass
class Options:
    """What every building command takes. Settings live in the preset; these are about this call."""

    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            "-p",
            help="Preset name or TOML file.",
            show_default="the folder's own, else digits",
        ),
    ] = ""
    set: Sets = ()  # type: ignore[assignment]
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Run folder.", show_default="runs/<preset>")
    ] = Path()
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto
    precision: Annotated[
        Precision, typer.Option(help="Of the networks' arithmetic; auto is fp32.")
    ] = Precision.auto
    num_processes: Annotated[
        int,
        typer.Option(
            min=0,
            max=1024,
            help="Processes on this machine; 0: one, for students on a CPU one per core.",
        ),
    ] = 0
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Deterministic kernels on a GPU.")
    ] = False
    seed: Seed = -1
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Move what stands aside and build anew.")
    ] = False
    json: Json = False
    quiet: Quiet = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved preset and what would be built.")
    ] = False


def command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a subcommand whose first parameter gathers the options that all building commands
    share.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function).parameters.values())[1:]
        hints = typing.get_type_hints(Options, include_extras=True)
        shared = [
            inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=getattr(Options, key)
            )
            for key, hint in hints.items()
        ]
        shared[1] = shared[1].replace(default=[])

        def call(**values: Any) -> None:
            options = Options(**{key: values.pop(key) for key in hints})
            function(options, **values)

        keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        call.__signature__ = inspect.Signature([*keyword, *shared])  # type: ignore[attr-defined]
        call.__annotations__ = {
            parameter.name: parameter.annotation for parameter in [*keyword, *shared]
        }
        call.__doc__ = function.__doc__
        app.command(name)(call)
        return function

    return register


Export = Annotated[
    Path | None,
    typer.Option(
        "--export", help="Also write the accepted fakes as FILE.h5, in the published layout."
    ),
]


MethodName = Annotated[
    str, typer.Option("--method", "-m", help="One method instead of the preset's, e.g. takd+fake.")
]


StudentName = Annotated[str, typer.Option("--student", help="Only this student of distill.pairs.")]


RhoValue = Annotated[
    str, typer.Option("--rho", help="Share of fakes to keep, or none for no fakes.")
]


FakeFile = Annotated[
    Path | None,
    typer.Option(
        "--fake", help="Fakes of others, as they are: FILE.h5 with fake_images, fake_labels."
    ),
]


Ablation = Annotated[
    bool, typer.Option("--ablation", help="NOKD, raw fakes, + subsampling, + filter, + relabel.")
]


Weights = Annotated[
    list[str],
    typer.Option(
        "--from", help="Import published weights instead of training: FILE or PART=FILE.pth."
    ),
]


def _changes(given: list[str], seed: int) -> list[str]:
    """What --set and --seed change of a preset; the seed is -1 where none was given."""
    return [*given, *([f"seed={seed}"] if seed >= 0 else [])]


def _result(command: str, lines: list[str], json: bool, details: Any = None) -> None:
    """The lines, or as JSON the command with its `details`, which are the lines where nothing else
    is given.
    """
    from cgankd import console

    found = lines if details is None else details
    console.result(lines, {"command": command, "result": found} if json else None)


def _quieten(quiet: bool) -> None:
    from cgankd import console

    if quiet:
        console.be_quiet()
