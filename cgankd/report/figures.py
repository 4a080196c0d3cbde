"""The figures of the report as data URIs: charts are SVG, images of fakes are PNG. matplotlib stays
in here.

n images of side S are uint8 (n, 3, S, S); labels are shown in their unit.
"""

import base64
import io
import itertools
import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from cgankd.console import visible
from cgankd.fakes import FakeSelection, Pool
from cgankd.label import Label
from cgankd.report.blocks import Sheet
from cgankd.report.comparison import CHAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
# Neither light nor dark, so that they can be told on white and, inverted, on a dark page.
BLUE, ORANGE, GREEN, RED, VIOLET = "#0072b2", "#c07d00", "#009e73", "#cc4455", "#8a63b5"
GREY = "#888888"
LINES = [BLUE, ORANGE, GREEN, RED, VIOLET]  # and then the same dashed
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('linestyle', ['-', '--']) * cycler('color', {LINES})",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.8,
    "lines.linewidth": 1.2,
    "svg.hashsalt": "cgankd",  # the same figure has the same bytes
    "text.parse_math": False,  # names are not formulas
}
WIDTH = 9.0  # inches
SHOWN_LABELS = 10
SIDE = 32  # pixels that a small image is scaled up to
GAP = 2


def chart(draw: "Callable[P, Figure]") -> Callable[P, str]:
    """Makes of a function that draws one that returns the drawing as a data URI."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        from matplotlib import rc_context

        with rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # see _svg
            figure = draw(*map(_visible, args), **kwargs)
            return data_uri(_svg(figure), "image/svg+xml")

    return drawn


def _visible(value: Any) -> Any:
    """What a figure is drawn from, with its words as they can be shown."""
    match value:
        case str():
            return " ".join(visible(value).split())
        case list():
            return [_visible(item) for item in value]
        case dict():
            return {_visible(key): _visible(item) for key, item in value.items()}
    return value


def _svg(figure: "Figure") -> bytes:
    """A figure as SVG. Its letters are shapes, and so the same everywhere, where the plot's font
    has them all; else they are text, which browsers have fonts for.
    """
    from matplotlib import rc_context
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.text import Text

    figure.draw_without_rendering()  # ticks have no text before
    letters = {ord(letter) for text in figure.findobj(Text) for letter in text.get_text()}
    known = get_font(findfont(FontProperties())).get_charmap()
    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "path" if letters <= known.keys() else "none"}):
        facts = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=facts)
    return buffer.getvalue()


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as part of a page."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _panels(
    num: int, height: float, columns: int = 1, *, width: float = WIDTH, **shared: Any
) -> "tuple[Figure, list[Axes]]":
    """A figure of `num` panels in rows of `columns`, `height` inches each."""
    from matplotlib.figure import Figure

    rows = -(-num // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for empty in axes[num:]:
        empty.remove()
    return figure, list(axes[:num])


# Results


@chart
def students(rows: list[dict[str, Any]], axis: str) -> "Figure":
    """The score of every student, one line per row of the method table, with the mean of NOKD."""
    figure, (axes,) = _panels(1, 0.8 + 0.28 * len(rows))
    baselines = {row["student"]: row["mean"] for row in rows if row["method"] == "nokd"}
    for place, row in enumerate(rows):
        scores = list(row["scores"].values())
        axes.plot(
            scores,
            [place] * len(scores),
            "o",
            color=BLUE,
            alpha=0.7,
            markersize=5,
            markeredgewidth=0,
        )
        axes.plot([row["mean"]], [place], "|", color="black", markersize=14, markeredgewidth=1.8)
        if row["student"] in baselines:
            around = [place - 0.5, place + 0.5]
            axes.plot([baselines[row["student"]]] * 2, around, "--", color=GREY, zorder=1)
    axes.set_yticks(range(len(rows)), [_named(row, "method", *CHAIN) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(axis)
    return figure


@chart
def search(rows: list[dict[str, Any]], chosen: dict[str, Any], axis: str) -> "Figure":
    """The search for rho and the share of fakes: the paired difference to no fakes and its standard
    error per candidate, the chosen one filled, the line no fakes.
    """
    figure, (axes,) = _panels(1, 3.0, width=2.6 + 0.75 * len(rows))
    none_won = chosen["rho"] is None
    name = "no fakes (chosen)" if none_won else "no fakes"
    line = BLUE if none_won else GREY
    axes.axhline(0, color=line, linestyle="-" if none_won else "--", label=name)
    for place, row in enumerate(rows):
        is_chosen = (row["rho"], row["share"]) == (chosen["rho"], chosen["share"])
        axes.errorbar(
            [place],
            [row["difference"]],
            [row["standard_error"] or 0],  # one seed has none
            fmt="o",
            color=BLUE if is_chosen else GREY,
            capsize=3,
            markersize=7,
            markerfacecolor=BLUE if is_chosen else "white",
        )
    shares = [row["share"] for row in rows]
    several = len(set(shares)) > 1
    names = [f"{row['rho']:g}" + (f"\n{row['share']}" if several else "") for row in rows]
    axes.set_xticks(range(len(rows)), names)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("rho, and below it the share of fakes in a batch" if several else "rho")
    axes.set_ylabel(axis)
    axes.legend(fontsize=7)
    return figure


@chart
def curves(lines: list[dict[str, Any]], axis: str) -> "Figure":
    """The error by the number of fakes: a panel per method, a line per chain of networks, published
    points open.
    """
    methods = list(dict.fromkeys(line["method"] for line in lines))
    figure, axes = _panels(len(methods), 3.0, columns=min(2, len(methods)))
    for place, method in zip(axes, methods, strict=True):
        for line in [line for line in lines if line["method"] == method]:
            name = _named(line, *CHAIN)
            fakes, means = ([point[key] for point in line["points"]] for key in ("fakes", "mean"))
            bars = [
                point["standard_error"] or 0 for point in line["points"]
            ]  # a single seed has none
            drawn, *_ = place.errorbar(
                fakes, means, bars, fmt="o-", capsize=3, markersize=4, label=name
            )
            if line["published"]:
                place.plot(
                    *zip(*line["published"], strict=True),
                    "o:",
                    color=drawn.get_color(),
                    markersize=4,
                    markerfacecolor="white",
                    label=f"{name}, published",
                )
        place.set_title(method)
        place.set_xlabel("fakes")
        place.legend(fontsize=7)
    axes[0].set_ylabel(axis)
    return figure


@chart
def steps(rows: list[dict[str, Any]], axis: str) -> "Figure":
    """The error by the students' steps: a panel per student, a line per method."""
    students = list(dict.fromkeys(row["student"] for row in rows))
    figure, axes = _panels(len(students), 3.0, columns=min(2, len(students)))
    for place, student in zip(axes, students, strict=True):
        lines: dict[str, list[dict[str, Any]]] = {}
        for row in [row for row in rows if row["student"] == student]:
            lines.setdefault(_named(row, "method", "teacher", "assistant"), []).append(row)
        for name, points in lines.items():
            errors = [(row["deviation"] or 0) / row["seeds"] ** 0.5 for row in points]
            numbers, means = ([row[key] for row in points] for key in ("steps", "mean"))
            place.errorbar(numbers, means, errors, fmt="o-", capsize=3, markersize=4, label=name)
        numbers = sorted({row["steps"] for row in rows})
        place.set_xscale("log")
        place.set_xticks(numbers, [f"{num:,}" for num in numbers])
        place.xaxis.set_minor_formatter(lambda value, _: "")
        place.set_title(student)
        place.set_xlabel("steps")
        place.legend(fontsize=7)
    axes[0].set_ylabel(axis)
    return figure


@chart
def across(
    lines: dict[str, list[tuple[int, float, float]]], values: list[str], key: str, axis: str
) -> "Figure":
    """The error by the values of a key, evenly spaced: a line per method of (place, mean, standard
    error).
    """
    figure, (axes,) = _panels(1, 3.0)
    for name, points in lines.items():
        places, means, errors = zip(*points, strict=True)
        axes.errorbar(places, means, errors, fmt="o-", capsize=3, markersize=4, label=name)
    axes.set_xticks(range(len(values)), values)
    axes.set_xlabel(key)
    axes.set_ylabel(axis)
    axes.legend(fontsize=7)
    return figure


@chart
def costs(points: list[dict[str, Any]], scales: dict[str, str], axis: str) -> "Figure":
    """The error of each network by what it costs, a panel per scale of cost with its words: in a
    colour per method, teachers and assistants as rings, and joined what nothing that costs less
    equals. The names of networks stand by the best of each.
    """
    from matplotlib.lines import Line2D

    figure, axes = _panels(len(scales), 3.2, columns=len(scales), sharey=True)
    methods = list(dict.fromkeys(point["method"] or point["role"] for point in points))
    colors = dict(zip(methods, itertools.cycle(LINES), strict=False))
    lowest = {}
    for point in sorted(points, key=lambda point: -point["validation"]):
        lowest[point["name"]] = point
    for place, (cost, words) in zip(axes, scales.items(), strict=True):
        front = [point for point in points if cost in point["frontier"]]
        front.sort(key=lambda point: point[cost])
        across, up = ([point[key] for point in front] for key in (cost, "validation"))
        place.plot(across, up, "-", color=GREY, zorder=1, drawstyle="steps-post", linewidth=1)
        for point in points:
            color = colors[point["method"] or point["role"]]
            fill = color if point["role"] == "student" else "white"
            spot = (point[cost], point["validation"])
            place.plot(*spot, "o", color=color, markerfacecolor=fill, markersize=5)
            if point is lowest[point["name"]]:
                place.annotate(
                    point["name"],
                    spot,
                    (0, -6),
                    textcoords="offset points",
                    ha="center",
                    va="top",
                    fontsize=7,
                )
        values = [point[cost] for point in points]
        place.set_xscale("log")
        place.set_xlim(min(values) / 2, 2 * max(values))  # what is alike shall look alike
        place.margins(y=0.15)
        _name_few(place, values)
        place.set_xlabel(words)
    axes[0].set_ylabel(axis)
    marks = [Line2D([], [], marker="o", linestyle="", color=colors[name]) for name in methods]
    figure.legend(marks, methods, loc="outside upper right", ncols=min(6, len(marks)))
    return figure


def _name_few(axes: "Axes", values: list[float]) -> None:
    """Names values on a logarithmic scale, of those that are close to each other one."""
    named: list[float] = []
    for value in sorted(set(values)):
        if not named or value > 1.5 * named[-1]:
            named.append(value)
    words = [f"{value:,}" if isinstance(value, int) else f"{value:.3g}" for value in named]
    axes.set_xticks(named, words)
    axes.xaxis.set_minor_formatter(lambda value, _: "")


@chart
def losses(panels: dict[str, dict[str, list[tuple[int, float]]]]) -> "Figure":
    """Losses by step: each logged batch faintly, and their running mean."""
    figure, axes = _panels(len(panels), 2.1, columns=3)
    for place, (title, lines) in zip(axes, panels.items(), strict=True):
        for name, points in lines.items():
            steps, values = np.array(points, dtype=float).T
            (faint,) = place.plot(steps, values, alpha=0.25)
            color, style = faint.get_color(), faint.get_linestyle()
            place.plot(steps, _smooth(values), color=color, linestyle=style, label=name)
        place.set_title(title)
        place.set_xlabel("step")
        place.legend(fontsize=7)
    return figure


def _named(row: dict[str, Any], *keys: str) -> str:
    return " · ".join(row[key] for key in keys if row[key])


def _smooth(values: np.ndarray, window: int = 11) -> np.ndarray:
    """The running mean, over fewer values at the ends."""
    kernel = np.ones(min(window, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


# The fake pool


ACCEPTED = FakeSelection(relabel="keep")  # as asked for


@chart
def labels(pool: Pool, selection: FakeSelection, label: Label, names: list[str]) -> "Figure":
    """How the labels of the fakes are distributed after each step of the method."""
    filtered = pool.rows(selection)
    steps = {
        "raw": pool.labels(ACCEPTED, pool.rows(FakeSelection(subsample=False))),
        "subsampled": pool.labels(ACCEPTED, pool.rows(ACCEPTED)),
        "filtered": pool.labels(ACCEPTED, filtered),
        "relabelled": pool.labels(selection, filtered),
    }
    height = 2.1 + _tall(names) if label.discrete else 2.1
    figure, axes = _panels(len(steps), height, columns=4, sharey=True)
    for place, (title, values) in zip(axes, steps.items(), strict=True):
        place.set_title(f"{title} ({len(values):,})")
        if not label.discrete:
            ends = tuple(label.unscaled(np.array([0.0, 1.0])))
            place.hist(label.unscaled(values.clip(0, 1)), bins=30, range=ends, color=BLUE)
            place.set_xlabel(f"label{_in(label.unit)}")
        else:
            counts = np.bincount(values, minlength=len(names))
            place.bar(range(len(names)), counts, color=BLUE, width=0.85)
            _name_ticks(place, names, angle=90)
    axes[0].set_ylabel("fakes")
    return figure


@chart
def filtered(pool: Pool, selection: FakeSelection, label: Label) -> "Figure":
    """A continuous label before and after the filter: as asked for of the accepted and the kept,
    and as given.

    What the teacher gives beyond the range is counted in the bar at its end, here as in `labels`.
    """
    every, kept = pool.rows(ACCEPTED), pool.rows(selection)
    edges = label.unscaled(np.linspace(0, 1, 31))
    asked, left = (label.unscaled(pool.labels(ACCEPTED, rows)) for rows in (every, kept))
    given = label.unscaled(pool.labels(selection, kept)).clip(edges[0], edges[-1])
    figure, (axes,) = _panels(1, 2.4)
    bins = list(edges)
    axes.hist(asked, bins=bins, color=GREY, alpha=0.6, label="asked for, before the filter")
    axes.hist(left, bins=bins, color=BLUE, label="asked for, after it")
    axes.hist(given, bins=bins, histtype="step", color=ORANGE, label="given, after it")
    axes.set_xlabel(f"label{_in(label.unit)}")
    axes.set_ylabel("fakes")
    axes.legend(fontsize=7)
    return figure


@chart
def errors(pool: Pool, selection: FakeSelection, unit: str) -> "Figure":
    """The errors of the teacher on the subsampled fakes, and the largest one that a single filter
    keeps.
    """
    values = pool.errors(selection)
    every, kept = values[pool.rows(FakeSelection())], values[pool.rows(selection)]
    figure, (axes,) = _panels(1, 2.6)
    skewed = every.max() > 100 * max(float(np.median(every)), 1e-9)
    if skewed:
        every, kept = np.maximum(every, 1e-6), np.maximum(kept, 1e-6)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # the default is a formula
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    space = np.geomspace if skewed else np.linspace
    bins = space(every.min(), max(every.max(), every.min() * 1.01 + 1e-9), 61)
    if len(kept) and selection.bins == 1:
        cut = kept.max()
        # No bar on both sides of the cut.
        bins[max(1, np.abs(bins - cut).argmin())] = np.nextafter(cut, np.inf)
        axes.axvline(float(cut), color=RED, linestyle="--", label=f"cut at {cut:.3g}")
    axes.hist(every, bins=list(bins), color=GREY, alpha=0.6, label="all subsampled fakes")
    axes.hist(kept, bins=list(bins), color=BLUE, label="kept by the filter")
    axes.set_xlabel(f"error of the teacher{_in(unit)}")
    axes.set_ylabel("fakes")
    figure.legend(loc="outside upper right", ncols=3)
    return figure


@chart
def variety(windows: list[dict[str, Any]], names: list[str], label: str) -> "Figure":
    """How much fakes vary and how much of the real images they cover, within each label or window;
    the line is as much as real images.
    """
    figure, (axes,) = _panels(1, 2.4 + _tall(names))
    places = range(len(windows))
    varied = [np.nan if part["variance"] is None else part["variance"] for part in windows]
    axes.bar(places, varied, color=BLUE, alpha=0.6, width=0.85, label="variance, fakes / real")
    if any(part["coverage"] is not None for part in windows):
        covered = [np.nan if part["coverage"] is None else part["coverage"] for part in windows]
        axes.plot(places, covered, "o", color=GREEN, markersize=4, label="coverage")
    axes.axhline(1, color=GREY, linestyle="--", zorder=1, label="as real images")
    axes.set_ylim(0, max(1.15, *(1.05 * value for value in varied if value == value)))
    axes.set_xlabel(label)
    _name_ticks(axes, names)
    figure.legend(loc="outside upper right", ncols=3)
    return figure


@chart
def acceptance(rows: list[dict[str, Any]]) -> "Figure":
    """How much of the proposals each label accepts, and how healthy its density ratios are."""
    names = [row["name"] for row in rows]
    figure, (axes,) = _panels(1, 2.4 + _tall(names))
    places = range(len(rows))
    axes.bar(
        places,
        [row["acceptance"] for row in rows],
        color=BLUE,
        alpha=0.6,
        width=0.85,
        label="accepted",
    )
    axes.plot(
        places,
        [row["effective"] for row in rows],
        "o",
        color=GREEN,
        markersize=4,
        label="effective share",
    )
    axes.plot(
        places, [row["clipped"] for row in rows], "x", color=RED, markersize=4, label="clipped"
    )
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("label")
    axes.set_ylabel("share of proposals")
    _name_ticks(axes, names)
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def sheets(pool: Pool, selection: FakeSelection, names: list[str], columns: int) -> list[Sheet]:
    """Up to `columns` fakes per label at each step of the method, and of what the filter drops, if
    any, the worst.
    """
    accepted, kept = pool.rows(FakeSelection()), pool.rows(selection)
    dropped = np.setdiff1d(accepted, kept)
    worst = np.argsort(-pool.errors(selection)[dropped], kind="stable")
    steps = {
        "Raw: the first proposals": pool.rows(FakeSelection(subsample=False)),
        "Subsampled: accepted by the density ratio": accepted,
        f"Filtered: kept at rho = {selection.rho:g}": kept,
        "Dropped by the filter, the worst first": dropped[worst],
    }
    labels, values = pool.columns["labels"], np.unique(pool.columns["labels"])
    evenly = np.linspace(0, len(values) - 1, min(SHOWN_LABELS, len(values)))
    shown = np.unique(evenly.round().astype(int))
    picked = {
        title: [rows[labels[rows] == values[place]][:columns] for place in shown]
        for title, rows in steps.items()
    }
    every = np.unique(np.concatenate([rows for strips in picked.values() for rows in strips]))
    images = pool.images(every)
    return [
        Sheet(
            title,
            [
                (names[place], _strip(images[np.searchsorted(every, rows)]))
                for place, rows in zip(shown, strips, strict=True)
            ],
        )
        for title, strips in picked.items()
        if any(map(len, strips))
    ]


def _strip(images: np.ndarray) -> str:
    """Images (n, 3, S, S) side by side, small ones scaled up with hard pixels."""
    from matplotlib.image import imsave

    if not len(images):
        return ""
    zoom = max(1, SIDE // images.shape[-1])
    pixels = images.transpose(0, 2, 3, 1).repeat(zoom, axis=1).repeat(zoom, axis=2)
    num, side = pixels.shape[:2]
    strip = np.zeros((side, num, side + GAP, 4), np.uint8)  # transparent between the images
    strip[:, :, :side, :3] = pixels.transpose(1, 0, 2, 3)
    strip[:, :, :side, 3] = 255
    buffer = io.BytesIO()
    imsave(buffer, strip.reshape(side, -1, 4), format="png")
    return data_uri(buffer.getvalue(), "image/png")


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}\N{HORIZONTAL ELLIPSIS}"


def _turned(names: list[str]) -> bool:
    """Whether names are too long to stand side by side."""
    return any(len(name) > 4 for name in names)


def _tall(names: list[str]) -> float:
    """Inches that turned names take."""
    return 0.05 * max(len(_short(name)) for name in names) if _turned(names) else 0.0


def _name_ticks(axes: "Axes", names: list[str], angle: float = 45) -> None:
    """Names under about ten of the places, turned by an angle where they are long."""
    places = range(0, len(names), max(1, round(len(names) / 10)))
    words = _turned(names)
    axes.set_xticks(
        places,
        [_short(names[place]) for place in places],
        rotation=angle if words else 0,
        ha="right" if words else "center",
        va="center" if words and angle == 90 else "top",
        rotation_mode="anchor",
    )
