"""The only module that talks: results on stdout, everything else on stderr.

A result that cannot be written ends the command; a note that cannot is no reason to lose a run.
"""

import codecs
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from cgankd.errors import STORAGE, Unread, UserError

if TYPE_CHECKING:
    from rich.progress import Progress

WIDE = 200  # columns of a table where there is no terminal that has a width
PLAIN_SECONDS = float(os.environ.get("CGANKD_PROGRESS_SECONDS", "30"))

# Names can hold what a terminal acts on, what hides, or what turns the letters around it. Tab and
# newline may stay; halves of characters cannot be shown.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class _Notes:
    """stderr as rich writes to it, which may be closed or full."""

    encoding = property(lambda self: getattr(self._stream, "encoding", None) or "utf-8")

    @property
    def _stream(self) -> Any:
        """While bars are shown, rich stands in the stream's place and would write to here again."""
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)

    def write(self, text: str) -> None:
        with suppress(OSError, AttributeError):  # it is None where it was closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, AttributeError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def _make(width: int | None = None) -> Console:
    return Console(file=_Notes(), highlight=False, width=width)  # type: ignore[arg-type]


_stderr = _make()
_quiet = False
_bars: "Progress | None" = None
_last_line = time.monotonic()


def be_quiet() -> None:
    """No progress and no notes; warnings and errors are still shown."""
    global _quiet
    _quiet = True


def is_quiet() -> bool:
    """Whether progress and notes are left out, which other processes need to be told."""
    return _quiet


def open_streams() -> None:
    """Makes standard streams fit to be written to, whatever they were opened with."""
    for handle in (0, 1, 2):
        try:
            os.fstat(handle)
        except OSError:  # closed: the next file would be opened in its place, and written to
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error("cgankd", _encode)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="cgankd")


def _encode(error: UnicodeError) -> tuple[str | bytes, int]:
    """File names that are no text are written as they are, and what an encoding lacks escaped."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def close_streams() -> None:
    """Drops what cannot be written, which Python would try once more at its end."""
    for stream, handle in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), handle)


def visible(text: str) -> str:
    """Text that may have come from anywhere, as it can be shown: characters that would control the
    terminal or hide as escapes, halves of characters as the replacement character.
    """
    return HIDDEN.sub(lambda match: _escape(match[0]), text)


def _escape(letter: str) -> str:
    if "\ud800" <= letter <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    return letter.encode("unicode_escape").decode()


def _print(text: str, style: str = "") -> None:
    _stderr.print(Text(visible(text), style=style), soft_wrap=True)


def is_first() -> bool:
    """Whether this process speaks and decides for all that were started with it."""
    return os.environ.get("RANK", "0") == "0"


def _silent() -> bool:
    return _quiet or not is_first()


def say(text: str) -> None:
    """A note about what is going on."""
    if not _silent():
        _print(text)


def warn(text: str) -> None:
    """Something the user should know."""
    if is_first():
        _print(f"warning: {text}", "yellow")


def error(message: str, hint: str = "") -> None:
    """Why the command ends."""
    _print(f"error: {message}", "red")
    if hint:
        _print(f"  {hint}")


def table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """A small table for people."""
    if _silent():
        return
    # Here and below: an error message shall not wait for what it does not use.
    from rich.table import Table

    view = Table(title=Text(visible(title), style="table.title"), title_justify="left")
    for name in header:
        justify = "left" if name == header[0] else "right"
        view.add_column(Text(visible(name)), justify=justify)  # type: ignore[arg-type]
    for row in rows:
        view.add_row(*(Text(visible(cell)) for cell in row))
    (_stderr if _stderr.is_terminal else _make(WIDE)).print(view)


def result(lines: list[str], details: dict[str, Any] | None) -> None:
    """The result of the command: its lines, or one JSON object when `details` is given."""
    text = json.dumps(details) if details is not None else "\n".join(lines)
    if sys.stdout is None:
        raise UserError("the result cannot be written: stdout is closed", STORAGE)
    try:
        sys.stdout.write((visible(text) if sys.stdout.isatty() else text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise Unread from error
    except OSError as error:
        reason = f"the result cannot be written to stdout: {error.strerror}"
        raise UserError(reason, STORAGE, "what was built stands") from error


@contextmanager
def progress(title: str, total: int | None, start: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Shows how far something is: a bar on a terminal, else a line every 30 seconds; of how many is
    not always known.

    Yields the function to call with the number done and a short text.
    """
    if _silent():
        yield lambda done, text: None
    elif _stderr.is_terminal:
        yield from _bar(title, total, start)
    else:
        yield _lines(title, total, start)


def _bar(title: str, total: int | None, start: int) -> Iterator[Callable[[int, str], None]]:
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
            redirect_stdout=False,  # results stay results
            refresh_per_second=4,
        )
        _bars.start()
    bars = _bars
    task = bars.add_task(visible(title), total=total, completed=start, text="")
    try:
        yield lambda done, text: bars.update(task, completed=done, text=visible(text))
    finally:
        bars.remove_task(task)
        if outermost:
            bars.stop()
            _bars = None


def _lines(title: str, total: int | None, start: int) -> Callable[[int, str], None]:
    began = time.monotonic()

    def show(done: int, text: str) -> None:
        global _last_line
        now = time.monotonic()
        if now - _last_line < PLAIN_SECONDS:
            return
        _last_line = now
        rate = (done - start) / max(now - began, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate > 0 and total else ""
        say(f"{title}: {done}{f'/{total}' if total else ''}{left}{', ' + text if text else ''}")

    return show
