"""Signals: at once where nothing is at stake, at the next step edge in training."""

import signal
import subprocess
import sys

import pytest

from cgankd import signals

CHILD = """
import os, signal, sys
from cgankd import signals
signals.install()
def send(number):
    os.kill(os.getpid(), number)
if sys.argv[2] == "outside":
    send(int(sys.argv[1]))
with signals.deferred():
    assert not signals.stop_requested()
    send(int(sys.argv[1]))
    assert signals.stop_requested()
    if sys.argv[2] == "twice":
        send(int(sys.argv[1]))
    with signals.deferred():
        assert signals.stop_requested()
sys.exit(7)
"""


@pytest.mark.parametrize(
    ("number", "how", "code"),
    [
        (signal.SIGTERM, "outside", 75),
        (signal.SIGINT, "outside", 75),
        (signal.SIGUSR1, "once", 7),
        (signal.SIGINT, "once", 7),
        (signal.SIGTERM, "twice", 128 + 15),
    ],
)
def test_a_signal_ends_at_once_waits_or_ends_the_second_time(number, how, code):
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(int(number)), how], capture_output=True, text=True
    )
    assert child.returncode == code, child.stderr
    assert ("the same command continues" in child.stderr) == (how == "outside")


def stop_for(*numbers: int) -> None:
    """Work that stops, for a signal that has come or comes now."""
    with signals.deferred():
        for number in numbers:
            signal.raise_signal(number)
        assert signals.stop_requested()
        raise InterruptedError


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_work_that_has_stopped_for_a_signal_can_be_started_again(heard_signals, number):
    with pytest.raises(InterruptedError):
        stop_for(number)
    assert not signals.stop_requested()
    with pytest.raises(InterruptedError):
        stop_for(number)


def test_work_around_it_is_still_to_stop(heard_signals):
    with signals.deferred():
        with pytest.raises(InterruptedError):
            stop_for(signal.SIGTERM)
        assert signals.stop_requested()


def test_a_signal_that_work_did_not_stop_for_is_left_to_the_next(heard_signals):
    with signals.deferred():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(InterruptedError):
        stop_for()
    assert not signals.stop_requested()
