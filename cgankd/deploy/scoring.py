"""How well a network does on labelled images, as a run scores its students."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgankd import console
from cgankd.data.batches import Images
from cgankd.deploy.home import home_of
from cgankd.deploy.model import Model
from cgankd.errors import UserError
from cgankd.sources import labelled, overlap
from cgankd.statistics import standard_error

MOST = 20  # classes whose confusion is shown as a table


def score(model: Model, path: Path) -> dict[str, Any]:
    """The score on the images of `path` with its standard error, and by parts of the label."""
    task = model.task
    pixels, values = labelled.read(path, model.facts.label, model.size)
    labels = task.scale(torch.from_numpy(values).to(task.dtype))
    images = Images(torch.from_numpy(pixels), labels)
    _tell_trained_on(model, images)
    outputs = model.outputs(images.pixels)
    labels = labels.to(outputs.device)
    return {
        "metric": task.metric,
        "unit": task.unit,
        "images": len(images),
        "score": task.score(outputs, labels),
        "standard_error": standard_error(task.scores(outputs, labels).tolist()),
        **task.breakdown(outputs, labels),
    }


def _tell_trained_on(model: Model, images: Images) -> None:
    """A warning where the network has been trained on some of the images."""
    home = home_of(model)
    if home is None:
        return
    try:
        seen = home.source.images[home.source.rows["train"]]
    except UserError:
        return  # nobody can tell
    both = np.concatenate([seen, images.pixels.numpy()])
    rows = np.arange(len(both))
    if copies := overlap.twins(both, rows[len(seen) :], rows[: len(seen)]):
        num = len(images)
        console.warn(f"{len(copies):,} of {num:,} images are among those it was trained on")


def show(found: dict[str, Any]) -> None:
    """The same as tables on stderr."""
    unit = f" {found['unit']}".rstrip()
    error = found["standard_error"]
    spread = "" if error is None else f" ± {error:.2g} (standard error)"
    title = f"{found['metric']} {found['score']:.4g}{unit}{spread} on {found['images']:,} images"
    if "bias" in found:
        title += f", bias {found['bias']:+.3g}{unit}"
    parts = found.get("parts", [])
    header = ["label", "images", f"{found['metric']}{f' ({unit.strip()})' if unit else ''}"]
    rows = [[one["label"], f"{one['images']:,}", _number(one["error"])] for one in parts]
    console.say(title)
    if rows:
        console.table("By label", header, rows)
    confusion = found.get("confusion", [])
    if 0 < len(confusion) <= MOST:
        names = [one["label"] for one in parts]
        cells = [[name, *map(str, row)] for name, row in zip(names, confusion, strict=True)]
        console.table("Which were taken for which", ["label \\ answer", *names], cells)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
