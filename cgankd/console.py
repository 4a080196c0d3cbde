"""The only module that talks: results on stdout, everything else on stderr."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

WIDE = 200  # columns of a table where there is no terminal that has a width
PLAIN_SECONDS = float(os.environ.get("CGANKD_PROGRESS_SECONDS", "30"))

# Control characters but tab and newline, changes of direction, surrogates.
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

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
        _stderr.print(visible(text), markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Something the user should know."""
    if os.environ.get("RANK", "0") == "0":
        _stderr.print(f"warning: {visible(text)}", markup=False, soft_wrap=True, style="yellow")


def error(message: str, hint: str = "") -> None:
    """Why the command ends."""
    _stderr.print(f"error: {visible(message)}", markup=False, soft_wrap=True, style="red")
    if hint:
        _stderr.print(f"  {visible(hint)}", markup=False, soft_wrap=True)


def visible(text: str) -> str:
    """Text that may have come from anywhere, as it can be shown: characters that would control the
    terminal or hide as escapes, halves of characters as the replacement character.
    """
    return HIDDEN.sub(lambda match: _escape(match[0]), text)


def _escape(letter: str) -> str:
    if "\ud800" <= letter <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    return letter.encode("unicode_escape").decode()


def table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """A small table for people."""
    if _silent():
        return
    # Here and below: an error message shall not wait for what it does not use.
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(visible(title), style="table.title"), title_justify="left")
    for name in header:
        shown.add_column(Text(visible(name)), justify="left" if name == header[0] else "right")
    for row in rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    (_stderr if _stderr.is_terminal else Console(stderr=True, highlight=False, width=WIDE)).print(
        shown
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
