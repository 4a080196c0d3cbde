"""The only module that talks: results on stdout, everything else on stderr."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from rich.progress import Progress

WIDE = 200  # columns of a table where there is no terminal that has a width
PLAIN_SECONDS = float(os.environ.get("CGANKD_PROGRESS_SECONDS", "30"))

_stderr = Console(stderr=True, highlight=False)
_quiet = False
_bars: "Progress | None" = None
_last_line = time.monotonic()


def be_quiet() -> None:
    """No progress and no notes; warnings and errors are still shown."""
    global _quiet
    _quiet = True


def _silent() -> bool:
    return _quiet or os.environ.get("RANK", "0") != "0"


def say(text: str) -> None:
    """A note about what is going on."""
    if not _silent():
        _stderr.print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Something the user should know."""
    if os.environ.get("RANK", "0") == "0":
        _stderr.print(f"warning: {text}", markup=False, soft_wrap=True, style="yellow")


def error(message: str, hint: str = "") -> None:
    """Why the command ends."""
    _stderr.print(f"error: {message}", markup=False, soft_wrap=True, style="red")
    if hint:
        _stderr.print(f"  {hint}", markup=False, soft_wrap=True)


def table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """A small table for people."""
    if _silent():
        return
    # Here and below: an error message shall not wait for what it does not use.
    from rich.table import Table

    view = Table(title=title, title_justify="left")
    for name in header:
        view.add_column(name, justify="left" if name == header[0] else "right")
    for row in rows:
        view.add_row(*map(escape, row))
    (_stderr if _stderr.is_terminal else Console(stderr=True, highlight=False, width=WIDE)).print(
        view
    )


def result(lines: list[str], details: dict[str, Any] | None) -> None:
    """The result of the command: its lines, or one JSON object when `details` is given."""
    text = json.dumps(details) if details is not None else "\n".join(lines)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def progress(title: str, total: int, start: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Shows how far something is: a bar on a terminal, else a line every 30 seconds.

    Yields the function to call with the number done and a short text.
    """
    if _silent():
        yield lambda done, text: None
    elif _stderr.is_terminal:
        yield from _bar(title, total, start)
    else:
        yield _lines(title, total, start)


def _bar(title: str, total: int, start: int) -> Iterator[Callable[[int, str], None]]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    global _bars
    outermost = _bars is None
    if _bars is None:
        _bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=_stderr,
            transient=True,
            refresh_per_second=4,
        )
        _bars.start()
    bars = _bars
    task = bars.add_task(title, total=total, completed=start, text="")
    try:
        yield lambda done, text: bars.update(task, completed=done, text=text)
    finally:
        bars.remove_task(task)
        if outermost:
            bars.stop()
            _bars = None


def _lines(title: str, total: int, start: int) -> Callable[[int, str], None]:
    began = time.monotonic()

    def show(done: int, text: str) -> None:
        global _last_line
        now = time.monotonic()
        if now - _last_line < PLAIN_SECONDS:
            return
        _last_line = now
        rate = (done - start) / max(now - began, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate > 0 else ""
        say(f"{title}: {done}/{total}{left}{', ' + text if text else ''}")

    return show
