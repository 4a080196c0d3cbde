"""One process, or several: in-process elastic launch, so that exit codes survive.

Under torchrun, accelerate launch or srun (LOCAL_RANK set) this process already is one of several.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from cgankd import console, signals
from cgankd.errors import STOPPED, USAGE, UserError

GRACE = 30  # seconds that processes have to save after a signal


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
    elif num_processes == 1:
        perform(*work)
    else:
        _spawn(perform, num_processes, work)


def is_first() -> bool:
    """Whether this process decides for all that were started with it."""
    return os.environ.get("RANK", "0") == "0"


def _spawn(perform: Callable[..., None], num_processes: int, work: tuple[Any, ...]) -> None:
    import logging
    import signal

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
    handlers = {number: signal.getsignal(number) for number in signals.SIGNALS}
    try:
        codes = elastic_launch(config, _entry)(perform, *work)
        code = max(codes.values())
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        if code not in range(2, 128):
            console.error(f"process {rank} failed: {failure.message}")
    except SignalException as error:
        code = STOPPED if error.sigval in signals.SIGNALS else 128 + int(error.sigval)
    finally:
        for number, handler in handlers.items():  # the launcher replaced them
            signal.signal(number, handler)
    if code:
        raise UserError(f"ended with exit code {code} in {num_processes} processes", code)


def _entry(perform: Callable[..., None], *work: Any) -> int:
    """One of the processes; leaves when its launcher is gone, so that it cannot write beside the
    next one.
    """
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    signals.install()
    try:
        perform(*work)
        code = 0
    except UserError as error:
        if os.environ.get("RANK", "0") == "0":
            console.error(str(error), error.hint)
        code = error.code
    if code:
        raise SystemExit(code)
    return code


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(STOPPED)
