"""The tables of the report: numbers become text, with marks for what may be read out of them."""

from typing import Any

from cgankd.document import Table
from cgankd.results import Record

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
SHOWN_DIGITS = 16  # of a digest; report.json has all
SIZES = ["seeds", "rho", "fakes", "steps", "parameters"]


def methods(summaries: list[Record]) -> Table:
    """Setting x teacher x student x method; the setting and its metric only where there are several runs."""
    several = len(summaries) > 1
    rows = [(one, row) for one in summaries for row in one["methods"]]
    optional = {"setting": several, "assistant": any(row["assistant"] for _, row in rows), "metric": several}
    columns = ("setting", "method", "teacher", "assistant", "student", "metric")
    names = [name for name in columns if optional.get(name, True)]
    cells = []
    for one, row in rows:
        words = {**row, "setting": one["name"], "metric": metric(one), "method": _method(row)}
        cells.append([*(words[name] or NONE for name in names), *_results(one, row)])
    score = "score" if several else metric(summaries[0], "test")
    marks = [_difference_mark(row, len(names) + 1) for _, row in rows]
    return Table([*names, score, "vs NOKD", *SIZES], cells, len(names), marks)


def terminal(summaries: list[Record]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the method table as far as 80 columns hold it; a star stands for bold."""
    several = len(summaries) > 1
    cells = []
    for one in summaries:
        for row in one["methods"]:
            chain = " > ".join(filter(None, (row["teacher"], row["assistant"], row["student"])))
            score, difference, *_ = _results(one, row)
            star = "*" if row["significant"] else ""
            setting = [one["name"]] if several else []
            cells.append([*setting, _method(row), chain, score, difference + star])
    header = ["setting", "method", "networks", "score"] if several else ["method", "networks", metric(summaries[0])]
    return [*header, "vs NOKD"], cells


def ablation(one: Record) -> Table:
    """Each step of the method with the statistics of the method table."""
    rows = one["ablation"]
    cells = [[row["method"], *_results(one, row)] for row in rows]
    marks = [_difference_mark(row, 2) for row in rows]
    return Table(["step", metric(one, "test"), "vs NOKD", *SIZES], cells, marks=marks)


def search(one: Record) -> Table:
    """The candidates for rho, the chosen one marked."""
    rows = one["rho"]["table"]
    cells = [[rho(row["rho"], "no fakes"), number(one, row["mean"]), number(one, row["deviation"]), str(row["num"])]
             for row in rows]  # fmt: skip
    marks = [dict.fromkeys(range(4), "chosen") if row["rho"] == one["rho"]["rho"] else {} for row in rows]
    return Table(["rho", metric(one, "validation"), "deviation", "students"], cells, marks=marks)


def teachers(one: Record) -> Table:
    """The teachers with their validation scores."""
    cells = [
        [row["network"], " and ".join(row["uses"]) or NONE, number(one, row["validation"]), f"{row['parameters']:,}"]
        for row in one["teachers"]
    ]
    return Table(["teacher", "use", metric(one, "validation"), "parameters"], cells, 2)


def rejection(one: Record) -> Table:
    """How rejection sampling went for each label."""
    shares = ("acceptance", "clipped", "effective")
    cells = [[str(row["name"]), *(f"{row[key]:.1%}" for key in shares), f"{row['bound']:.4g}"]
             for row in one["pool"]["labels"]]  # fmt: skip
    return Table(["label", "accepted", "clipped", "effective share", "bound"], cells)


def published(paper: Record) -> list[Table]:
    """The preset's [paper] as it stands there: one table for all of its tables that have the same keys."""
    groups: dict[tuple[str, ...], list[list[str]]] = {}

    def collect(part: Record, path: str) -> None:
        plain = {key: value for key, value in part.items() if not isinstance(value, dict)}
        if plain:
            groups.setdefault(tuple(plain), []).append([path or NONE, *map(_quoted, plain.values())])
        for key, value in part.items():
            if key not in plain:
                collect(value, f"{path} {key}".strip())

    collect(paper, "")
    return [Table(["", *keys], rows) for keys, rows in groups.items()]


def students(one: Record) -> Table:
    """Every student with its own scores."""
    words = ("row", "student", "teacher")
    cells = [[*(member[key] or NONE for key in words), *(number(one, member[key]) for key in ("validation", "test"))]
             for member in one["students"]]  # fmt: skip
    return Table(["method", "folder in students/", "teacher", "validation", "test"], cells, 3)


def digests(one: Record) -> Table:
    """The beginnings of the digests of all artefacts."""
    cells = [[row["record"], *(str(row[key])[:SHOWN_DIGITS] for key in ("digest", "content"))]
             for row in one["artefacts"]]  # fmt: skip
    return Table(["record", "made from", "content"], cells, 3)


def machine(one: Record) -> Table:
    """What the run was made on."""
    return Table(["", "made on"], [[key, value] for key, value in one["made_on"].items()], 2)


# Words and numbers


def metric(one: Record, split: str = "") -> str:
    """The metric with its unit."""
    return f"{split} {one['metric']} ({one['unit']})".strip()


def number(one: Record, value: float) -> str:
    """A score: two decimals in a run whose scores reach ten, else three."""
    scores = [row["mean"] for row in [*one["methods"], *one["ablation"]]]
    return f"{value:.{2 if max(scores) >= 10 else 3}f}"


def rho(value: float | None, none: str = NONE) -> str:
    """A rho, or the words for none."""
    return none if value is None else f"{value:g}"


def _method(row: Record) -> str:
    return f"{row['method']} †" if row["note"] else str(row["method"])


def _results(one: Record, row: Record) -> list[str]:
    """Score, difference and SIZES of a row."""
    difference = row["difference"]
    sign = MINUS if (difference or 0) < 0 else "+"
    against = NONE if difference is None else sign + _with(one, abs(difference), row["standard_error"])
    sizes = [str(row["seeds"]), rho(row["rho"]), *(f"{row[key]:,}" for key in SIZES[2:])]
    return [_with(one, row["mean"], row["deviation"]), against, *sizes]


def _with(one: Record, value: float, error: float | None) -> str:
    return number(one, value) + ("" if error is None else f" ± {number(one, error)}")


def _difference_mark(row: Record, column: int) -> dict[int, str]:
    """Marks the difference only where it exceeds two standard errors."""
    return {column: "better" if row["difference"] < 0 else "worse"} if row["significant"] else {}


def _quoted(value: Any) -> str:
    return " ± ".join(map(str, value)) if isinstance(value, list) else str(value)
