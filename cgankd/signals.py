"""Signals that ask a run to stop: at once where nothing is at stake, else at the next step edge."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from cgankd.errors import STOPPED

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

_deferred = 0
_received = 0
_patient = False


def install(patient: bool = False) -> None:
    """Makes the signals leave with exit code 75; also where a shell started us with SIGINT
    ignored. Who is `patient` has a launcher, which passes on signals that came to the whole group,
    and ends those that do not end: the second is then no more than the first.
    """
    global _patient
    _patient = patient
    for number in SIGNALS:
        signal.signal(number, _handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def stop_requested() -> bool:
    """Whether a signal has come that nothing has stopped for yet."""
    return bool(_received)


@contextmanager
def deferred() -> Iterator[None]:
    """Inside, a first signal only makes `stop_requested()` true; a second one leaves at once.

    Work that ends with an error has stopped, so whoever catches that can start anew; work that was
    done before it looked leaves the signal to what comes next.
    """
    global _deferred, _received
    _deferred += 1
    try:
        yield
    except BaseException:
        _received = _received if _deferred > 1 else 0
        raise
    finally:
        _deferred -= 1


def _handle(number: int, frame: FrameType | None) -> None:
    global _received
    if _deferred and (_patient or not _received):
        _received = number
        return
    if sys.stderr and sys.stderr.isatty():
        os.write(2, b"\x1b[?25h")  # a progress bar may have hidden the cursor
    if _received:
        os._exit(128 + number)
    # Outside a training loop every file is either whole or absent, so nothing needs saving.
    if not _patient:
        with suppress(OSError):
            os.write(2, b"\nstopped by a signal; the same command continues\n")
    os._exit(STOPPED)
