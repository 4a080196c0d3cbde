"""The tables of the report: numbers become text, with marks for what may be read out of them."""

from collections.abc import Iterable

from cgankd.report.blocks import Table
from cgankd.report.comparison import CHAIN, Row, within
from cgankd.report.summary import Summary

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
NOTED = "\N{NO-BREAK SPACE}\N{DAGGER}"
SHOWN_DIGITS = 16  # of a digest; report.json has all
DIFFERENCE = "vs NOKD"


# Scores of students


def methods(summary: Summary) -> Table:
    """The method table of one run."""
    rows = summary["methods"]
    networks = {
        name: [row[name] or NONE for row in rows]
        for name in CHAIN
        if any(row[name] for row in rows)
    }
    return _scores(
        summary, rows, {"method": [_noted(row, row["method"]) for row in rows]} | networks
    )


def ablation(summary: Summary) -> Table:
    """Each step of the method with the statistics of the method table."""
    rows = summary["ablation"]
    return _scores(summary, rows, {"step": [_step(row["method"], summary["idle"]) for row in rows]})


def _scores(summary: Summary, rows: list[Row], words: dict[str, list[str]]) -> Table:
    """Rows as words, their score, difference, published errors if there are any, and sizes."""
    published = {"published": [_quoted(row["published"]) for row in rows]}
    shares = {"share": [share(row["share"]) for row in rows]}
    columns = {
        **words,
        metric(summary, "test"): [score(summary, row) for row in rows],
        DIFFERENCE: [difference(summary, row) for row in rows],
        **(published if any(row["published"] for row in rows) else {}),
        "seeds": [str(row["seeds"]) for row in rows],
        "rho": [rho(row["rho"]) for row in rows],
        **(shares if any(row["share"] for row in rows) else {}),
        **{key: [f"{row[key]:,}" for row in rows] for key in ("fakes", "steps", "parameters")},
    }
    marks = [{DIFFERENCE: found} if (found := mark(row)) else {} for row in rows]
    return Table(columns, len(words), marks)


def costs(summary: Summary) -> Table:
    """Every network with its validation score and what it costs; marked what nothing of less cost
    equals.
    """
    rows = summary["by_cost"]
    images = summary["latency"]["images"] if summary["latency"] else 0
    scores = metric(summary, "validation")
    keys = {"parameters": "parameters", "one": "ms for an image", "batch": f"ms for {images}"}
    known = {key: name for key, name in keys.items() if any(row[key] for row in rows)}
    columns = {
        "network": [row["name"] for row in rows],
        "as": [row["role"] for row in rows],
        "method": [row["method"] or NONE for row in rows],
        scores: [number(summary, row["validation"]) for row in rows],
        **{name: [_cost(row[key]) for row in rows] for key, name in known.items()},
    }
    if any(row["multiply_adds"] for row in rows):
        counts = [row["multiply_adds"] for row in rows]
        columns["million multiply-adds"] = [_cost(num and num / 1e6) for num in counts]
    marks: list[dict[str, str]] = [
        {known[key]: "chosen" for key in row["frontier"] if key in known} for row in rows
    ]
    return Table(columns, 3, marks)


def _cost(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def steps(summary: Summary) -> Table:
    """The students of each method by their steps, its best marked."""
    rows = summary["steps"]["table"]
    columns = {
        "method": [row["method"] for row in rows],
        "networks": [networks(row) for row in rows],
        "steps": [f"{row['steps']:,}" for row in rows],
        metric(summary, "validation"): [score(summary, row) for row in rows],
        "vs NOKD at these steps": [difference(summary, row) for row in rows],
        "seeds": [str(row["seeds"]) for row in rows],
        "fakes": [f"{row['fakes']:,}" for row in rows],
    }
    marked = metric(summary, "validation")
    return Table(columns, 2, [{marked: "chosen"} if row["best"] else {} for row in rows])


def settings(summaries: list[Summary]) -> Table:
    """Setting x teacher x student by method, marked where better than NOKD; what has no teacher
    stands in all rows.
    """
    methods = dict.fromkeys(row["method"] for summary in summaries for row in summary["methods"])
    lines = [(summary, chain) for summary in summaries for chain in _chains(summary["methods"])]
    rows = [
        {row["method"]: row for row in summary["methods"] if within(_chain(row), chain)}
        for summary, chain in lines
    ]
    columns = {
        "setting": [summary["name"] for summary, _ in lines],
        "metric": [metric(summary) for summary, _ in lines],
        **{name: [chain[place] or NONE for _, chain in lines] for place, name in enumerate(CHAIN)},
    }
    for method in methods:
        columns[method] = [
            _noted(row[method], score(summary, row[method])) if method in row else NONE
            for (summary, _), row in zip(lines, rows, strict=True)
        ]
    better = [[method for method in row if mark(row[method]) == "better"] for row in rows]
    return Table(columns, 2 + len(CHAIN), [dict.fromkeys(names, "better") for names in better])


def terminal(summaries: list[Summary]) -> Table:
    """The method table as far as 80 columns hold it; a star stands for bold."""
    rows = [(summary, row) for summary in summaries for row in summary["methods"]]
    several = len(summaries) > 1
    setting = {"setting": [summary["name"] for summary, _ in rows]} if several else {}
    return Table(
        {
            **setting,
            "method": [_noted(row, row["method"]) for _, row in rows],
            "networks": [networks(row) for _, row in rows],
            "score" if several else metric(summaries[0]): [score(*place) for place in rows],
            DIFFERENCE: [difference(*place) + "*" * place[1]["significant"] for place in rows],
        }
    )


def starred(table: Table) -> list[list[str]]:
    """The rows of a table with a star for bold, for a terminal."""
    marks = table.marks or [{}] * len(table.rows)
    return [
        [cell + "*" * (name in marked) for name, cell in zip(table.header, row, strict=True)]
        for row, marked in zip(table.rows, marks, strict=True)
    ]


def students(summary: Summary) -> Table:
    """Every student with its own scores."""
    members = summary["students"]
    words = {"method": "row", "folder in students/": "student", "teacher": "teacher"}
    return Table(
        {
            **{name: [member[key] or NONE for member in members] for name, key in words.items()},
            **{
                split: [number(summary, member[split]) for member in members]
                for split in ("validation", "test")
            },
        },
        len(words),
    )


def published(paper: Row) -> list[Table]:
    """What the preset quotes: one table for all lines of the same methods, the curve, the
    ablation.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for line in paper["results"]:
        groups.setdefault(tuple(line["errors"]), []).append(line)
    quoted = [_published_lines(names, lines) for names, lines in groups.items()]
    if curve := paper["nfake"]:
        counts = {"fakes": [f"{num:,}" for num in curve["counts"]]}
        quoted.append(Table(counts | {name: _each(line) for name, line in curve["errors"].items()}))
    if steps := paper["ablation"]:
        errors = steps["errors"]
        quoted.append(Table({"step": list(errors), steps["student"]: _each(errors.values())}))
    return quoted


def _published_lines(names: tuple[str, ...], lines: list[Row]) -> Table:
    teachers = [f"{line['teacher']} ({_quoted([line['teacher_error']])})" for line in lines]
    words = {
        "teacher (its error)": teachers,
        "assistant": [line["assistant"] or NONE for line in lines],
        "student": [line["student"] for line in lines],
    }
    errors = {name: _each(line["errors"][name] for line in lines) for name in names}
    return Table(words | errors, len(words))


# What the students learn from


def search(summary: Summary) -> Table:
    """The candidates for rho and the share of fakes, the chosen one marked."""
    rows = summary["rho"]["table"]
    columns = {
        "rho": [rho(row["rho"], "no fakes") for row in rows],
        "share of fakes": [share(row["share"]) for row in rows],
        metric(summary, "validation"): [number(summary, row["mean"]) for row in rows],
        "deviation": [number(summary, row["deviation"]) for row in rows],
        "vs no fakes": [difference(summary, row) for row in rows],
        "seeds": [str(row["num"]) for row in rows],
    }
    keys = ("rho", "share")
    chosen = [all(row[key] == summary["rho"][key] for key in keys) for row in rows]
    return Table(columns, marks=[dict.fromkeys(columns, "chosen") if it else {} for it in chosen])


def teachers(summary: Summary) -> Table:
    """The teachers with their validation scores."""
    rows = summary["teachers"]
    return Table(
        {
            "teacher": [row["network"] for row in rows],
            "use": [" and ".join(row["uses"]) or NONE for row in rows],
            metric(summary, "validation"): [number(summary, row["validation"]) for row in rows],
            "parameters": [f"{row['parameters']:,}" for row in rows],
        },
        2,
    )


def rejection(summary: Summary) -> Table:
    """How rejection sampling went for each label."""
    rows = summary["pool"]["labels"]
    shares = {"accepted": "acceptance", "clipped": "clipped", "effective share": "effective"}
    return Table(
        {
            "label": [str(row["name"]) for row in rows],
            **{name: [f"{row[key]:.1%}" for row in rows] for name, key in shares.items()},
            "bound": [f"{row['bound']:.4g}" for row in rows],
        }
    )


def evaluation(evaluated: Row, idle: str) -> Table:
    """The scores of the fakes after each step; a column in which nothing is known is left out."""
    rows, alone, unit = evaluated["rows"], evaluated["alone"], evaluated["unit"]
    columns = {
        "fakes": [_step(row["row"], idle) for row in rows],
        "images": [f"{row['num']:,}" for row in rows],
        "variance (fakes / real)": [_spread(_windowed(row), "variance") for row in rows],
        f"students of them alone, {_metric(alone)}": [_significant(row["alone"]) for row in rows],
        "coverage": [_overall(row, "coverage") for row in rows],
        "density": [_overall(row, "density") for row in rows],
        "FID": [_overall(row, "fid") for row in rows],
        "FID at equal counts": [_overall(row, "matched") for row in rows],
        "nearest training image": [_overall(row, "nearest") for row in rows],
        "copies": [f"{row['overall']['copies']:.0%}" if row["overall"] else NONE for row in rows],
        f"label score{_in(unit)}": [_spread(row, "label_score") for row in rows],
    }
    return _without_empty(columns)


def windows(evaluated: Row, idle: str) -> Table:
    """The scores within windows of the label, and within labels."""
    rows = evaluated["rows"]
    columns = {
        "fakes": [_step(row["row"], idle) for row in rows],
        "SFID": [_spread(row["sliding"], "fid") for row in rows],
        "at equal counts": [_spread(row["sliding"], "matched") for row in rows],
        "windows": [_windows(row["sliding"]) for row in rows],
        "real in each": [_inside(row["sliding"], "real") for row in rows],
        "fakes in each": [_inside(row["sliding"], "fake") for row in rows],
        "diversity": [_spread(row["sliding"], "diversity") for row in rows],
        "intra-label FID": [_spread(row["intra"], "fid") for row in rows],
        "labels": [_windows(row["intra"]) for row in rows],
        "real of each": [_inside(row["intra"], "real") for row in rows],
        "fakes of each": [_inside(row["intra"], "fake") for row in rows],
    }
    return _without_empty(columns)


def parts(windows: list[Row], names: list[str], label: str) -> Table:
    """The scores of each window of the label, or of each label."""
    scores = {"variance (fakes / real)": "variance", "coverage": "coverage", "density": "density"}
    columns = {
        label: names,
        "images": [f"{part['num']:,}" for part in windows],
        **{name: [_significant(part[key]) for part in windows] for name, key in scores.items()},
        "FID": [_significant(part["fid"]) for part in windows],
    }
    return _without_empty(columns)


def _without_empty(columns: dict[str, list[str]]) -> Table:
    return Table({name: cells for name, cells in columns.items() if set(cells) != {NONE}})


def _step(name: str, idle: str) -> str:
    """A step of the method, marked where it is subsampling by a ratio that has learned nothing."""
    return f"{name} (idle)" if idle and name == "+ subsampling" else name


def _metric(alone: Row | None) -> str:
    return f"{alone['metric']}{_in(alone['unit'])}" if alone else ""


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _windowed(row: Row) -> Row | None:
    """The scores in windows of the label, else within labels."""
    found: Row | None = row["sliding"] or row["intra"]
    return found


def _overall(row: Row, name: str) -> str:
    return _significant((row["overall"] or {}).get(name))


def _significant(value: float | None) -> str:
    """Three digits that tell."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 99.5 else f"{value:#.3g}"


def _spread(scores: Row | None, name: str) -> str:
    """Mean ± deviation of a score, as far as there are any."""
    values = ((scores or {}).get(name) or {}).values()
    return " ± ".join(_significant(value) for value in values if value is not None) or NONE


def _windows(scores: Row | None) -> str:
    """How many windows count."""
    return f"{scores['windows']} of {scores['windows'] + scores['left_out']}" if scores else NONE


def _inside(scores: Row | None, kind: str) -> str:
    """Images of a kind in the median window, and in the one with the fewest."""
    return f"{scores[kind]['median']:,g} (min {scores[kind]['min']:,g})" if scores else NONE


# How the run was made


def stages(summary: Summary) -> Table:
    """How far the run has come."""
    rows = summary["stages"]
    undone = [
        [f"{place} (step {step:,})" if step else place for place, step in row["not_done"].items()]
        for row in rows
    ]
    return Table(
        {
            "stage": [row["stage"] for row in rows],
            "state": [row["state"] for row in rows],
            "not done": [", ".join(places) or NONE for places in undone],
        },
        3,
    )


def digests(summary: Summary) -> Table:
    """The beginnings of the digests of all artefacts."""
    rows = summary["artefacts"]
    return Table(
        {
            "record": [row["record"] for row in rows],
            "made from": [str(row["digest"])[:SHOWN_DIGITS] for row in rows],
            "content": [str(row["content"])[:SHOWN_DIGITS] for row in rows],
        },
        3,
    )


def machine(summary: Summary) -> Table:
    """What the run was made on."""
    facts = summary["made_on"]
    return Table({"": list(facts), "made on": list(facts.values())}, 2)


# Words and numbers


def metric(summary: Summary, split: str = "") -> str:
    """The metric with its unit, if it has one."""
    unit = f"({summary['unit']})" if summary["unit"] else ""
    return " ".join(filter(None, (split, summary["metric"], unit)))


def number(summary: Summary, value: float | None) -> str:
    """A score: two decimals in a run whose scores reach ten, else three; a dash for none."""
    if value is None:
        return NONE
    scored = [row["mean"] for row in [*summary["methods"], *summary["ablation"]]]
    searched = [
        row["mean"]
        for table in (summary["rho"], summary["steps"])
        for row in (table["table"] if table else [])
    ]
    scores = scored or searched or [row["validation"] for row in summary["teachers"]]
    return f"{value:.{2 if max(scores) >= 10 else 3}f}"


def budget(kind: str, rows: list[Row]) -> str:
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


def share(value: float | str | None) -> str:
    """The share of fakes in a batch."""
    return value if isinstance(value, str) else rho(value)


def _noted(row: Row, text: str) -> str:
    return text + NOTED if row["note"] else text


def _chains(rows: list[Row]) -> list[tuple[str, ...]]:
    """The distinct networks of the rows, but for those that are part of another's."""
    every = dict.fromkeys(map(_chain, rows))
    return [
        chain
        for chain in every
        if not any(chain != other and within(chain, other) for other in every)
    ]


def _chain(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in CHAIN)


def networks(row: Row) -> str:
    """Teacher, assistant and student, as far as there are any."""
    return " > ".join(filter(None, _chain(row)))


def score(summary: Summary, row: Row) -> str:
    """Mean ± deviation."""
    return _with(summary, row["mean"], row["deviation"])


def difference(summary: Summary, row: Row) -> str:
    """A paired difference with its sign and its standard error."""
    value = row["difference"]
    if value is None:
        return NONE
    sign = MINUS if value < 0 else "+"
    return sign + _with(summary, abs(value), row["standard_error"])


def _with(summary: Summary, value: float, error: float | None) -> str:
    return number(summary, value) + ("" if error is None else f" ± {number(summary, error)}")


def mark(row: Row) -> str:
    """Better or worse where the difference exceeds two standard errors, else nothing."""
    return ("better" if row["difference"] < 0 else "worse") if row["significant"] else ""


def _each(errors: Iterable[float]) -> list[str]:
    """A column of published errors."""
    return [_quoted([error]) for error in errors]


def _quoted(errors: list[float]) -> str:
    """Published errors, which have two decimals."""
    return " / ".join(f"{error:.2f}" for error in errors) or NONE
