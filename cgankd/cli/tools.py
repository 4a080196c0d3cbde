"""The commands around the chain: data sets and presets."""

from pathlib import Path
from typing import Annotated

import typer

from cgankd.cli.options import (
    Changes,
    Json,
    Quiet,
    Seed,
    be_quiet,
    changes_of,
    print_result,
)
from cgankd.errors import DATA, UserError

Range = Annotated[
    tuple[float, float] | None,
    typer.Option("--range", help="Of a continuous label: smallest and largest value."),
]
data_app = typer.Typer(help="Look at images, and bring them into one file.", no_args_is_help=True)
presets_app = typer.Typer(help="List, show and copy presets.", no_args_is_help=True)


@data_app.command("inspect")
def inspect_data(
    path: Annotated[Path, typer.Argument(help="An HDF5 file, a CSV, or a folder of images.")],
    bounds: Range = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List what a file or folder holds, and its problems; exit code 65 where a run refuses it."""
    from cgankd.sources import inspection

    be_quiet(quiet)
    facts = inspection.inspect(path, bounds)
    print_result("data inspect", inspection.lines(facts), json, facts)
    if problems := facts["problems"]:
        found = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise UserError(f"{path}: a run refuses this, {found} listed above", DATA)


@data_app.command("prepare")
def prepare_data(
    to: Annotated[Path, typer.Option("--to", help="The HDF5 file to write.")],
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="Preset name or TOML file.")
    ] = "digits",
    set: Changes = [],  # noqa: B006 - typer makes a new one
    seed: Seed = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the images of a preset as one HDF5 file with splits, for the source h5.

    Prints its path.
    """
    from cgankd import preset as presets
    from cgankd.sources.prepare import prepare

    be_quiet(quiet)
    settings = presets.load(preset, changes_of(set, seed))
    prepare(settings.data, settings.seed, to)
    print_result("data prepare", [str(to)], json, str(to))


@data_app.command("verify")
def verify_data(
    file: Annotated[Path, typer.Argument(help="An HDF5 file.")],
    bounds: Range = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a whole HDF5 file: images, labels, splits, test images among the others. Prints its
    path.
    """
    from cgankd.sources import inspection

    be_quiet(quiet)
    facts = inspection.verify(file, bounds)
    print_result("data verify", [str(file)], json, facts)


@presets_app.command("ls")
def list_presets(json: Json = False) -> None:
    """List the presets that come with cgankd."""
    from cgankd import preset

    print_result("presets ls", preset.names(), json)


@presets_app.command("show")
def show_preset(
    name: Annotated[str, typer.Argument(help="Preset name or TOML file.")],
    set: Changes = [],  # noqa: B006 - typer makes a new one
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Every value, with what it extends and --set.")
    ] = False,
    json: Json = False,
) -> None:
    """Print a preset as it is written, or with every value.

    \b
    cgankd presets show digits --resolved
    """
    from cgankd import preset

    if not (resolved or json or set):
        print_result("presets show", [preset.text(name).rstrip()], json)
        return
    settings = preset.load(name, set)
    print_result("presets show", [preset.dump(settings).rstrip()], json, settings.model_dump())


@presets_app.command("cp")
def copy_preset(
    name: Annotated[str, typer.Argument(help="Preset name or TOML file.")],
    file: Annotated[
        Path, typer.Argument(help="The TOML file to write; the copy is named after it.")
    ],
    json: Json = False,
) -> None:
    """Copy a preset to edit. Prints the path of the copy."""
    from cgankd import preset

    preset.copy(name, file)
    print_result("presets cp", [str(file)], json, str(file))
