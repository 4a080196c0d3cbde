"""The tables of the report: numbers become text, with marks for what may be read out of them."""

from cgankd.report.blocks import Table
from cgankd.report.comparison import CHAIN, Record, within

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
SHOWN_DIGITS = 16  # of a digest; report.json has all
SIZES = ["seeds", "rho", "fakes", "steps", "parameters"]


def methods(one: Record) -> Table:
    """The method table of one run."""
    rows = one["methods"]
    names = ["method", *(name for name in CHAIN if any(row[name] for row in rows))]
    words = [
        [_noted(row, row["method"]), *(row[name] or NONE for name in names[1:])] for row in rows
    ]
    return _scores(one, rows, names, words)


def ablation(one: Record) -> Table:
    """Each step of the method with the statistics of the method table."""
    rows = one["ablation"]
    return _scores(one, rows, ["step"], [[row["method"]] for row in rows])


def _scores(one: Record, rows: list[Record], names: list[str], words: list[list[str]]) -> Table:
    """Rows as words, their score, difference, published errors if there are any, and sizes."""
    quoted = any(row["published"] for row in rows)
    header = [*names, metric(one, "test"), "vs NOKD", *(["published"] if quoted else []), *SIZES]
    cells = [
        [
            *start,
            *_results(one, row),
            *([_quoted(row["published"])] if quoted else []),
            *_sizes(row),
        ]
        for start, row in zip(words, rows, strict=True)
    ]
    marks = [{len(names) + 1: mark} if (mark := _mark(row)) else {} for row in rows]
    return Table(header, cells, len(names), marks)


def settings(summaries: list[Record]) -> Table:
    """Setting x teacher x student by method, marked where better than NOKD; what has no teacher
    stands in all rows.
    """
    columns = list(dict.fromkeys(row["method"] for one in summaries for row in one["methods"]))
    names = ["setting", "metric", *CHAIN]
    cells, marks = [], []
    for one in summaries:
        for chain in _chains(one["methods"]):
            found = {row["method"]: row for row in one["methods"] if within(_chain(row), chain)}
            line = [found.get(method) for method in columns]
            scores = [_noted(row, _score(one, row)) if row else NONE for row in line]
            cells.append([one["name"], metric(one), *(name or NONE for name in chain), *scores])
            marks.append(
                {
                    n: "better"
                    for n, row in enumerate(line, len(names))
                    if row and _mark(row) == "better"
                }
            )
    return Table([*names, *columns], cells, len(names), marks)


def _chains(rows: list[Record]) -> list[tuple[str, ...]]:
    """The distinct networks of the rows, but for those that are part of another's."""
    every = dict.fromkeys(map(_chain, rows))
    return [
        chain
        for chain in every
        if not any(chain != other and within(chain, other) for other in every)
    ]


def _chain(row: Record) -> tuple[str, ...]:
    return tuple(row[name] for name in CHAIN)


def terminal(summaries: list[Record]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the method table as far as 80 columns hold it; a star stands for bold."""
    several = len(summaries) > 1
    cells = []
    for one in summaries:
        for row in one["methods"]:
            score, difference = _results(one, row)
            star = "*" if row["significant"] else ""
            setting = [one["name"]] if several else []
            words = [*setting, _noted(row, row["method"]), " > ".join(filter(None, _chain(row)))]
            cells.append([*words, score, difference + star])
    header = (
        ["setting", "method", "networks", "score"]
        if several
        else ["method", "networks", metric(summaries[0])]
    )
    return [*header, "vs NOKD"], cells


def search(one: Record) -> Table:
    """The candidates for rho, the chosen one marked."""
    rows = one["rho"]["table"]
    cells = [
        [
            rho(row["rho"], "no fakes"),
            number(one, row["mean"]),
            number(one, row["deviation"]),
            str(row["num"]),
        ]
        for row in rows
    ]
    marks = [
        dict.fromkeys(range(4), "chosen") if row["rho"] == one["rho"]["rho"] else {} for row in rows
    ]
    return Table(["rho", metric(one, "validation"), "deviation", "students"], cells, marks=marks)


def teachers(one: Record) -> Table:
    """The teachers with their validation scores."""
    cells = [
        [
            row["network"],
            " and ".join(row["uses"]) or NONE,
            number(one, row["validation"]),
            f"{row['parameters']:,}",
        ]
        for row in one["teachers"]
    ]
    return Table(["teacher", "use", metric(one, "validation"), "parameters"], cells, 2)


def rejection(one: Record) -> Table:
    """How rejection sampling went for each label."""
    shares = ("acceptance", "clipped", "effective")
    cells = [
        [str(row["name"]), *(f"{row[key]:.1%}" for key in shares), f"{row['bound']:.4g}"]
        for row in one["pool"]["labels"]
    ]
    return Table(["label", "accepted", "clipped", "effective share", "bound"], cells)


def evaluation(found: Record) -> Table:
    """The scores of the fakes after each step; a column in which nothing is known is left out."""
    rows = found["rows"]
    columns = {
        "fakes": [row["row"] for row in rows],
        "images": [f"{row['num']:,}" for row in rows],
        "SFID": [_spread(row["sliding"], "fid") for row in rows],
        "at equal counts": [_spread(row["sliding"], "matched") for row in rows],
        "windows": [_windows(row["sliding"]) for row in rows],
        "real in each": [_inside(row["sliding"], "real") for row in rows],
        "fakes in each": [_inside(row["sliding"], "fake") for row in rows],
        "intra-label FID": [_spread(row["intra"], "fid") for row in rows],
        "labels": [_windows(row["intra"]) for row in rows],
        f"label score ({found['unit']})": [_spread(row, "label_score") for row in rows],
        "diversity": [_spread(row["sliding"], "diversity") for row in rows],
    }
    known = {name: cells for name, cells in columns.items() if set(cells) != {NONE}}
    return Table(list(known), [list(row) for row in zip(*known.values(), strict=True)])


def _spread(scores: Record | None, name: str) -> str:
    """Mean ± deviation of a score, as far as there are any."""
    values = ((scores or {}).get(name) or {}).values()
    shown = (
        f"{value:,.0f}" if value >= 99.5 else f"{value:#.3g}"
        for value in values
        if value is not None
    )
    return " ± ".join(shown) or NONE


def _windows(scores: Record | None) -> str:
    """How many windows count."""
    return f"{scores['windows']} of {scores['windows'] + scores['left_out']}" if scores else NONE


def _inside(scores: Record | None, kind: str) -> str:
    """Images of a kind in the median window, and in the one with the fewest."""
    return f"{scores[kind]['median']:g} (min {scores[kind]['min']:g})" if scores else NONE


def published(paper: Record) -> list[Table]:
    """What the preset quotes: one table for all lines of the same methods, the curve, the
    ablation.
    """
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for line in paper["results"]:
        teacher = f"{line['teacher']} ({_quoted([line['teacher_error']])})"
        words = [teacher, line["assistant"] or NONE, line["student"]]
        groups.setdefault(tuple(line["errors"]), []).append(
            [*words, *(_quoted([e]) for e in line["errors"].values())]
        )
    found = [
        Table(["teacher (its error)", "assistant", "student", *key], rows, 3)
        for key, rows in groups.items()
    ]
    if curve := paper["nfake"]:
        rows = [
            [f"{num:,}", *(_quoted([error]) for error in errors)]
            for num, *errors in zip(curve["counts"], *curve["errors"].values(), strict=True)
        ]
        found.append(Table(["fakes", *curve["errors"]], rows, 1))
    if steps := paper["ablation"]:
        found.append(
            Table(
                ["step", steps["student"]],
                [[step, _quoted([e])] for step, e in steps["errors"].items()],
            )
        )
    return found


def students(one: Record) -> Table:
    """Every student with its own scores."""
    words = ("row", "student", "teacher")
    cells = [
        [
            *(member[key] or NONE for key in words),
            *(number(one, member[key]) for key in ("validation", "test")),
        ]
        for member in one["students"]
    ]
    return Table(["method", "folder in students/", "teacher", "validation", "test"], cells, 3)


def digests(one: Record) -> Table:
    """The beginnings of the digests of all artefacts."""
    cells = [
        [row["record"], *(str(row[key])[:SHOWN_DIGITS] for key in ("digest", "content"))]
        for row in one["artefacts"]
    ]
    return Table(["record", "made from", "content"], cells, 3)


def machine(one: Record) -> Table:
    """What the run was made on."""
    return Table(["", "made on"], [[key, value] for key, value in one["made_on"].items()], 2)


# Words and numbers


def metric(one: Record, split: str = "") -> str:
    """The metric with its unit."""
    return f"{split} {one['metric']} ({one['unit']})".strip()


def number(one: Record, value: float | None) -> str:
    """A score: two decimals in a run whose scores reach ten, else three; a dash for none."""
    if value is None:
        return NONE
    scores = [row["mean"] for row in [*one["methods"], *one["ablation"]]]
    return f"{value:.{2 if max(scores) >= 10 else 3}f}"


def budget(kind: str, rows: list[Record]) -> str:
    """What the rows of a table have in common, in words, and the optimiser steps of each method."""
    steps = {row["method"]: row["steps"] for row in rows}
    if kind == "steps":
        each = " or ".join(f"{num:,}" for num in sorted(set(steps.values())))
        return f"equal optimiser steps with and without fakes: {each}"
    alone = min((row["steps"] for row in rows if not row["fakes"]), default=0)
    times = {
        row["method"]: f" ({row['steps'] / alone:.1f} times as many)"
        for row in rows
        if row["fakes"] and alone
    }
    return "equal epochs: " + ", ".join(
        f"{name} {num:,} steps{times.get(name, '')}" for name, num in steps.items()
    )


def rho(value: float | None, none: str = NONE) -> str:
    """A rho, or the words for none."""
    return none if value is None else f"{value:g}"


def _noted(row: Record, text: str) -> str:
    return f"{text} †" if row["note"] else text


def _results(one: Record, row: Record) -> list[str]:
    """Score and difference of a row."""
    difference = row["difference"]
    sign = MINUS if (difference or 0) < 0 else "+"
    return [
        _score(one, row),
        NONE if difference is None else sign + _with(one, abs(difference), row["standard_error"]),
    ]


def _score(one: Record, row: Record) -> str:
    return _with(one, row["mean"], row["deviation"])


def _sizes(row: Record) -> list[str]:
    return [str(row["seeds"]), rho(row["rho"]), *(f"{row[key]:,}" for key in SIZES[2:])]


def _with(one: Record, value: float, error: float | None) -> str:
    return number(one, value) + ("" if error is None else f" ± {number(one, error)}")


def _mark(row: Record) -> str:
    """Better or worse where the difference exceeds two standard errors, else nothing."""
    return ("better" if row["difference"] < 0 else "worse") if row["significant"] else ""


def _quoted(errors: list[float]) -> str:
    """Published errors, which have two decimals."""
    return " / ".join(f"{error:.2f}" for error in errors) or NONE
