"""The commands that use what was trained: predict, score, export, and what bench says of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cgankd.cli.options import Device, DeviceName, Json, Quiet, be_quiet, print_result
from cgankd.errors import DATA, IN_USE, USAGE, UserError

if TYPE_CHECKING:  # torch is imported when it is used
    from cgankd.deploy.prediction import Prediction
    from cgankd.deploy.trained import Trained

MODEL = (
    "A run folder (its best student), the folder of a student or a teacher, or an exported file."
)
Model = Annotated[Path, typer.Argument(help=MODEL)]


def predict(
    model: Model,
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders of them, or - for names on stdin.")
    ],
    top: Annotated[int, typer.Option(min=1, help="So many of the likeliest classes.")] = 1,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write a table instead; prints its path.")
    ] = None,
    device: DeviceName = Device.auto,
    json: Annotated[bool, typer.Option("--json", help="A JSON object per line.")] = False,
    quiet: Quiet = False,
) -> None:
    """Say what a trained network answers, for each image file.

    \b
    cgankd predict runs/digits photos/            # a folder, at any depth
    cgankd predict student.onnx a.png --top 3
    find . -name '*.jpg' | cgankd predict runs/digits - --json

    Prints a line for each: path, label and confidence, or path, value and unit, between tabs. What
    cannot be read is named on stderr; then the exit code is 65.
    """
    be_quiet(quiet)
    trained = _load(model, device)
    if top > 1 and not trained.label.classes:
        raise UserError(f"--top {top}: the network answers with {trained.label.plural}", USAGE)
    from cgankd import console
    from cgankd.deploy import prediction

    faults = 0
    total = None if prediction.STDIN in images else _count(images)
    names = prediction.names_of(images, sys.stdin.buffer)
    with _printing(csv, json) as write, _progress(total, csv) as show:
        for done, one in enumerate(prediction.predict(trained, names, top), 1):
            if one.fault:
                faults += 1
                console.warn(str(one.fault))
            else:
                write(one)
            show(done, "")
    if csv:
        console.result([str(csv)], None)
    if faults:
        raise UserError(f"{faults:,} of {done:,} images cannot be read, see above", DATA)


def score(
    model: Model,
    data: Annotated[
        Path, typer.Argument(help="Labelled images: class folders, a CSV, or an HDF5 file.")
    ],
    device: DeviceName = Device.auto,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained network on labelled images: on their test images where some are marked so.

    \b
    cgankd score runs/digits mine/                # class folders, or mine.csv, or mine.h5
    cgankd score student.onnx mine.csv --json     # by class, and which was taken for which

    Prints the error in percent, or the mean absolute error.
    """
    be_quiet(quiet)
    trained = _load(model, device)
    from cgankd.deploy import scoring

    found = scoring.score(trained, data)
    scoring.show(found)
    print_result("score", [f"{found['score']:.6g}"], json, found)


def export(
    model: Model,
    to: Annotated[Path, typer.Option("--to", help="FILE.onnx, FILE.pt2 or FILE.safetensors.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Of an .onnx: layers in 8 bits, smaller and faster.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a trained network as one file that other programs run, with a card beside it.

    \b
    cgankd export runs/digits --to digits.onnx    # needs the extra [onnx]
    cgankd export runs/digits --to digits.pt2     # for torch.export.load

    It takes uint8 images and is written only where it gives the same answers. Prints its path.
    """
    be_quiet(quiet)
    trained = _load(model, Device.cpu)
    from cgankd import console

    facts = trained.export(to, int8=int8)
    same = "its answers differ from the network's by at most"
    if not int8:
        console.say(f"{to}: {same} {facts['difference']:.1g} on {facts['images']}")
    if small := facts.get("int8"):
        metric, unit = small["metric"], f" {small['unit']}".rstrip()
        console.say(
            f"{to}: in 8 bits {metric} {small['int8']:.4g}{unit} on {small['rows']:,} validation "
            f"images, in fp32 {small['fp32']:.4g}{unit}"
        )
    print_result("export", [str(to)], json, facts)


def bench(model: Path, batch: int, device: Device, json: bool) -> None:
    """What `cgankd bench MODEL` does: prints the median time for one image of each runtime, and
    keeps how long the networks of its run take.
    """
    trained = _load(model, device)
    from cgankd import console
    from cgankd.deploy import bench, latency
    from cgankd.deploy.home import home_of
    from cgankd.training.machine import Machine

    found = bench.bench(trained, batch)
    bench.show(found)
    if home := home_of(trained):
        latency.keep(home.run.root, Machine(device.value).device, latency.SECONDS)
        console.say(f"kept for the page: cgankd report {home.run.root} shows all its networks")
    lines = [f"{row['runtime']}\t{row['one']:.4g}" for row in found["runtimes"]]
    print_result("bench", lines, json, found)


def _load(model: Path, device: Device) -> "Trained":
    from cgankd.deploy.loading import load
    from cgankd.training.machine import Machine

    return load(model, Machine(device.value).device)


def _count(images: list[str]) -> int:
    from cgankd.deploy.prediction import names_of

    return sum(1 for _ in names_of(images, sys.stdin.buffer))


@contextmanager
def _progress(total: int | None, csv: Path | None) -> Iterator[Any]:
    """A bar, but where lines on the same terminal would tear it, and show as much."""
    from cgankd import console

    if sys.stdout and sys.stdout.isatty() and not csv:
        yield lambda done, text: None
    else:
        with console.progress("images", total) as show:
            yield show


@contextmanager
def _printing(csv: Path | None, json: bool) -> Iterator[Any]:
    """What takes predictions one by one: stdout, or a table that stands when it is whole."""
    from cgankd import console

    if csv is None:
        yield lambda one: console.result([] if json else [_line(one)], _object(one, json))
        return
    if csv.exists():
        raise UserError(f"{csv} exists", IN_USE, "name another file, or remove it first")
    import csv as tables
    import io

    from cgankd import runs

    with runs.writing(csv) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
        writer = tables.writer(text)
        header: list[str] = []

        def write(one: "Prediction") -> None:
            pairs = _pairs(one)
            if not header:
                header.extend(name for name, _ in pairs)
                writer.writerow(header)
            writer.writerow([value for _, value in pairs])

        yield write
        text.flush()
        text.detach()


def _object(one: "Prediction", json: bool) -> dict[str, Any] | None:
    return {"path": one.path, **one.told} if json else None


def _line(one: "Prediction") -> str:
    return "\t".join(value for _, value in _pairs(one))


def _pairs(one: "Prediction") -> list[tuple[str, str]]:
    """The columns of a prediction: of several classes the second is label_2, confidence_2."""
    pairs = [("path", one.path)]
    for place, answer in enumerate(one.told.get("top", [one.told]), 1):
        suffix = f"_{place}" if place > 1 else ""
        pairs += [(f"{name}{suffix}", _text(value)) for name, value in answer.items()]
    return pairs


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
