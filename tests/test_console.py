"""What people are told, whatever the words hold."""

import io
import sys

import pytest

from cgankd import console


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb\u2028", "a\\u202eb\\u2028"),
        ("half \ud83d", "half \N{REPLACEMENT CHARACTER}"),
        ("\u732b \u0642\u0637 \U0001f986 \u200d", "\u732b \u0642\u0637 \U0001f986 \u200d"),
    ],
)
def test_what_would_control_the_terminal_is_seen(text: str, shown: str):
    assert console.visible(text) == shown


def test_a_table_shows_brackets_and_codes_as_they_are(capsys):
    console.table("[title]", ["[mm]", "\x1b[1m"], [["[bold]x[/bold]", ":cat:"], ["[/]", "\\["]])
    said = capsys.readouterr().err
    for words in ("[title]", "[mm]", "\\x1b[1m", "[bold]x[/bold]", ":cat:", "[/]", "\\["):
        assert words in said, words
    assert "\x1b" not in said


def test_notes_and_errors_show_codes_as_they_are(capsys):
    for speak in (console.say, console.warn, console.error):
        speak("\x1b]0;title\x07 [bold]")
    said = capsys.readouterr().err
    assert said.count("\\x1b]0;title\\x07 [bold]") == 3
    assert "\x1b" not in said


def test_a_bar_and_what_is_written_beside_it_both_reach_the_terminal(monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(console, "_stderr", console._make(width=100))
    with console.progress("teacher", total=5):
        print("a library's warning", file=sys.stderr)
        print("a result")
        console.say("a note")
    shown = terminal.getvalue()
    assert "━" in shown
    assert shown.count("a library's warning") == shown.count("a note") == 1
    assert capsys.readouterr().out == "a result\n"
