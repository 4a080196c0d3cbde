"""The figures of the report: what is drawn."""

import base64
from pathlib import Path

import numpy as np
from handmade import finish

from cgankd import fakes
from cgankd.label import make_label
from cgankd.report import figures


def test_a_continuous_label_is_shown_before_and_after_the_filter(tmp_path: Path):
    labels, errors = (
        np.float32([0.15, 0.15, 0.15, 0.85, 0.85, 0.85]),
        np.float32([1, 2, 3, 4, 5, 6]),
    )
    rows = {
        "images": np.zeros((6, 3, 8, 8), np.uint8),
        "labels": labels,
        "proposals": np.array([0, 1, 2] * 2),
        "accepted": np.ones(6, bool),
        "ratios": np.ones(6, np.float32),
        "errors": errors,
        "clipped_errors": errors,
        "outputs": np.float32([0.2, 0.3, 0.4, 0.8, 1.2, 0.5])[:, None],
        "relabels": labels,
    }
    fakes.write_shard(tmp_path / "pool-00000.h5", rows)
    label = {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}
    finish(
        tmp_path / "pool.json",
        "generate",
        [tmp_path / "pool-00000.h5"],
        per_label=3,
        label=label,
        error_unit="degrees",
    )
    pool = fakes.Pool(tmp_path / "pool.json")
    selection = fakes.FakeSelection(rho=2 / 3, bins=2, relabel="unclipped")
    (axes,) = figures.filtered.__wrapped__(pool, selection, make_label(label)).axes
    before, after = ([bar.get_height() for bar in bars] for bars in axes.containers)
    assert (before[4], before[25], sum(before)) == (3, 3, 6), (
        "bars of 3 degrees: 13.5 and 76.5 degrees"
    )
    assert (after[4], after[25], sum(after)) == (2, 2, 4), (
        "two of three in each range, though the second errs more"
    )
    given, _ = np.histogram(np.clip([18, 27, 72, 108], 0, 90), bins=30, range=(0, 90))
    line = axes.patches[-1].get_path().vertices
    assert {round(x) for x, y in line if y > 0} == {
        edge for bar in np.flatnonzero(given) for edge in (3 * bar, 3 * bar + 3)
    }
    (axes,) = figures.errors.__wrapped__(pool, selection, "degrees").axes
    assert not axes.lines, "two ranges have no common cut"


def test_the_figure_holds_our_points_with_their_bars_and_the_published_ones():
    points = [
        {"fakes": 0, "mean": 12.0, "standard_error": 0.5},
        {"fakes": 5, "mean": 10.0, "standard_error": None},
    ]
    chain = {"teacher": "", "assistant": "", "student": "vgg11"}
    lines = [
        {"method": "nokd+fake", **chain, "points": points, "published": [(0, 8.42), (5, 8.1)]},
        {"method": "blkd+fake", **chain, "teacher": "resnet18", "points": points, "published": []},
    ]
    figure = figures.curves.__wrapped__(lines, "error (%)")
    fakes, blkd = figure.axes
    ours, published = [
        line
        for line in fakes.lines
        if len(line.get_xdata()) == 2 and line.get_linestyle() != "None"
    ]
    assert (list(ours.get_xdata()), list(ours.get_ydata())) == ([0, 5], [12.0, 10.0])
    (bars,) = fakes.containers[0].lines[2]
    assert [bar[:, 1].tolist() for bar in bars.get_segments()] == [[11.5, 12.5], [10.0, 10.0]]
    assert (list(published.get_xdata()), list(published.get_ydata())) == ([0, 5], [8.42, 8.1])
    assert [text.get_text() for text in fakes.get_legend().get_texts()] == [
        "vgg11, published",
        "vgg11",
    ]
    assert [text.get_text() for text in blkd.get_legend().get_texts()] == ["resnet18 · vgg11"]
    assert (fakes.get_title(), fakes.get_ylabel()) == ("nokd+fake", "error (%)")


class Errors:
    """A pool of nothing but the errors of its fakes."""

    def __init__(self, errors: list[float]) -> None:
        self.all = np.float32(errors)

    def errors(self, selection: fakes.FakeSelection) -> np.ndarray:
        return self.all

    def rows(self, selection: fakes.FakeSelection) -> np.ndarray:
        return np.arange(round(selection.rho * len(self.all)))


def test_errors_over_many_orders_have_plain_numbers_on_their_axis_and_the_legend_beside_it():
    pool = Errors([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0])
    figure = figures.errors.__wrapped__(pool, fakes.FakeSelection(rho=0.5), "nats")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert {"0.0001", "0.01", "1", "100"} <= set(ticks)
    assert all(text.get_text() == "" for text in axes.get_xticklabels(minor=True))
    (legend,) = figure.legends
    inside = axes.get_window_extent()
    assert not legend.get_window_extent().overlaps(inside), "nothing lies under the legend"


def drawn(name: str) -> str:
    """The SVG of a chart with a class of that name."""
    rates = {"acceptance": 0.5, "clipped": 0.0, "effective": 1.0, "bound": 1.0}
    uri = figures.acceptance([{"label": 0, "name": name, **rates}])
    return base64.b64decode(uri.partition(",")[2]).decode()


def test_letters_are_shapes_where_the_font_has_them_and_else_text_that_the_browser_can_draw():
    assert "<text" not in drawn("cat")
    for name in ("\u732b", "\u0b95\u0bbe", "\U0001f986 duck"):
        assert f">{name}</text>" in drawn(name)


def test_no_name_breaks_a_chart_or_hides_in_it():
    svg = drawn("\x1b[1m $a \ud800\u732b")
    assert ">\\x1b[1m $a \N{REPLACEMENT CHARACTER}\u732b</text>" in svg


def candidates() -> list[dict]:
    rows = [(0.5, 0.25, -1.0, 0.5), (1.0, 0.25, -2.0, 0.75), (1.0, 0.5, 1.0, None)]
    keys = ("rho", "share", "difference", "standard_error")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def test_the_figure_of_the_search_holds_differences_with_their_errors_and_fills_the_chosen():
    def drawn(rho: float | None, share: float | None):
        chosen = {"rho": rho, "share": share}
        (axes,) = figures.search.__wrapped__(candidates(), chosen, "error").axes
        return axes

    axes = drawn(1.0, 0.25)
    points = [container.lines[0] for container in axes.containers]
    assert [point.get_ydata()[0] for point in points] == [-1, -2, 1]
    ends = [container.lines[2][0].get_segments()[0][:, 1] for container in axes.containers]
    assert [end.tolist() for end in ends] == [[-1.5, -0.5], [-2.75, -1.25], [1, 1]]
    assert [point.get_markerfacecolor() for point in points] == ["white", figures.BLUE, "white"]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["0.5\n0.25", "1\n0.25", "1\n0.5"]
    none = drawn(None, None)
    assert {c.lines[0].get_markerfacecolor() for c in none.containers} == {"white"}
    assert none.get_legend().get_texts()[0].get_text() == "no fakes (chosen)"


def test_the_variety_of_fakes_is_shown_where_it_is_known():
    windows = [{"variance": 0.25, "coverage": 0.5}, {"variance": None, "coverage": None}]
    (axes,) = figures.variety.__wrapped__(windows, ["a", "b"], "label").axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights[0] == 0.25
    assert np.isnan(heights[1])
    assert axes.get_ylim()[1] > 1, "the line of real images is seen"
