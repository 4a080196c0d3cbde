"""One process, or several: in-process elastic launch, so that exit codes survive.

Under torchrun, accelerate launch or srun (LOCAL_RANK set) this process already is one of several.
"""

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cgankd import console, signals
from cgankd.errors import STOPPED, UNAVAILABLE, USAGE, Followed, UserError, explained

GRACE = 30  # seconds that processes have to save after a signal
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL")


def launch(perform: Callable[..., None], num_processes: int, *work: Any) -> None:
    """Calls `perform(*work)` here, or in `num_processes` processes on this machine; what they are
    given is pickled.
    """
    if "LOCAL_RANK" in os.environ:
        if num_processes not in (0, 1, int(os.environ["WORLD_SIZE"])):
            raise UserError(
                f"--num-processes {num_processes}, but started as {os.environ['WORLD_SIZE']}", USAGE
            )
        perform(*work)
    elif "MASTER_ADDR" in os.environ and "ACCELERATE_MIXED_PRECISION" in os.environ:
        # On a CPU `accelerate launch --num_processes N` sets an address and starts one process.
        raise UserError(
            "accelerate launch was asked for several processes, and got one",
            UNAVAILABLE,
            "start cgankd by itself with --num-processes, or with torchrun",
        )
    elif num_processes == 1:
        perform(*work)
    else:
        _spawn(perform, num_processes, work)


def _spawn(perform: Callable[..., None], num_processes: int, work: tuple[Any, ...]) -> None:
    import logging

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # We say ourselves what failed.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="spawn",
        monitor_interval=0.1,
        shutdown_timeout=GRACE,
    )
    try:
        with _deaf_children():
            elastic_launch(config, _entry)(console.is_quiet(), perform, *work)
    except ChildFailedError as error:
        raise _cause(error, num_processes) from None
    except SignalException as error:
        raise UserError(
            f"stopped in {num_processes} processes", STOPPED, "the same command continues"
        ) from error


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Inside, processes start with signals blocked, which they hear once they can answer
    (`signals.install`); a signal to the group would have them print where they were importing.

    This process still hears them: its other thread does not block them. Its handlers, which the
    launcher replaces, are put back.
    """
    from multiprocessing import resource_tracker

    # A resource tracker that started later would unblock what is blocked here.
    resource_tracker.ensure_running()
    handlers = {number: signal.getsignal(number) for number in signals.SIGNALS}
    ended = threading.Event()
    threading.Thread(target=ended.wait, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)
    try:
        yield
    finally:
        ended.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)


def _cause(error: Any, num_processes: int) -> UserError:
    """Of all that failed what made the others fail: what could be explained comes first, what was
    stopped for it last.
    """
    failures = []
    for rank, failure in error.failures.items():
        code = failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        try:
            message, hint = json.loads(str(failure.message))
            place = 2 if code == STOPPED else 0
        except ValueError:
            message, hint = f"process {rank} of {num_processes} ended with exit code {code}", ""
            place = 1
        failures.append((place, rank, message, code, hint))
    *_, message, code, hint = min(failures)
    return UserError(message, code, hint)


def _entry(quiet: bool, perform: Callable[..., None], *work: Any) -> None:
    """One of the processes, as quiet as its launcher; leaves when that is gone, so that it cannot
    write beside the next one.
    """
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    signals.install(patient=True)
    if quiet:
        console.be_quiet()
    try:
        perform(*work)
    except Exception as error:
        if isinstance(error, Followed) or _is_lost(error):
            time.sleep(GRACE)  # the launcher sees who went first, and ends this process
        failure = explained(error)
        if failure is None:
            raise
        if failure.code == STOPPED:
            console.say(str(failure))  # a launcher that has had the signal itself asks no process
        _report(failure)
        os._exit(failure.code)


def _is_lost(error: Exception) -> bool:
    """Whether a process fails because another one has gone."""
    return isinstance(error, RuntimeError) and any(word in str(error) for word in LOST)


def _report(failure: UserError) -> None:
    """Tells the launcher why, which says it once for all processes."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        message = json.dumps([str(failure), failure.hint])
        facts = json.dumps({"message": message, "timestamp": int(time.time())})
        with suppress(OSError):
            Path(file).write_text(facts)


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(STOPPED)
