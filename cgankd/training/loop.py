"""The training loop: every network of the system is trained by `fit`.

All state is weights, optimisers, averages and the step: every random draw is seeded from (seed,
name, step, rank), so that training stopped anywhere continues with the same bits.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cgankd import console, signals
from cgankd.data import images
from cgankd.errors import DIVERGED, STOPPED, UserError, storage_errors
from cgankd.preset import Training
from cgankd.randomness import seed_everything
from cgankd.training import checkpoint
from cgankd.training.session import Session
from cgankd.training.updates import State, Supervised

CHECKPOINT_SECONDS = float(os.environ.get("CGANKD_CHECKPOINT_SECONDS", "60"))
LOG_POINTS = 200  # rows of metrics.jsonl


class Update(Protocol):
    """One change of weights from one batch."""

    def __call__(self, batch: Any, step: int) -> dict[str, Tensor]: ...
    def state(self) -> State: ...
    def load(self, state: State) -> None: ...
    def align(self) -> None: ...


def fit(
    update: Update,
    batches: Callable[[int], Any],
    *,
    steps: int,
    session: Session,
    watch: Callable[[int], None] | None = None,
) -> None:
    """Trains for `steps` steps, continuing from the newest checkpoint of the session.

    `watch` is called ten times in a run by the first process; it may not change what is trained,
    but a UserError of it stops all processes. A signal saves and raises UserError(STOPPED); a loss
    that is not finite raises UserError(DIVERGED).
    """
    machine, name = session.machine, session.name
    start = _continue(update, steps, session)
    finite = _Finite(session)
    saved, every = time.monotonic(), max(1, steps // LOG_POINTS)
    with (
        signals.deferred(),
        console.progress(name, steps, start) as show,
        _log(session, start) as log,
    ):
        for step in range(start, steps):
            # A step's draws follow from its number alone, so no generator's state is ever saved.
            seed_everything(session.seed, name, step, machine.rank)
            losses = update(batches(step), step)
            finite.watch(losses, step)
            done = step + 1
            if done % every == 0 or done == steps:
                finite.check()
                values = {key: value.item() for key, value in losses.items()}
                log({"step": done, **values})
                show(done, " ".join(f"{key} {value:.3g}" for key, value in values.items()))
            look = watch and machine.is_main and done % max(1, steps // 10) == 0
            fault = _fault(finite, watch, done) if watch and look else None
            due = time.monotonic() - saved > CHECKPOINT_SECONDS
            # Processes only stop or save together, whoever of them has heard of a reason.
            stop, save, code = machine.agree(
                signals.stop_requested(), due, fault.code if fault else 0
            )
            if code:
                why = f"{name} stopped at step {done}: the first process says why"
                raise fault or UserError(why, code)
            if stop or (save and done < steps):
                finite.check()
                _save(update, done, session)
                saved = time.monotonic()
            if stop:
                where = f"{name} stopped at step {done} of {steps}"
                raise UserError(where, STOPPED, "the same command continues")
    update.align()


def fit_objective(
    objective: nn.Module,
    batches: Callable[[int], Any],
    training: Training,
    session: Session,
) -> None:
    """`fit` of an objective to batches of images, augmented as the settings say."""
    augmentation = images.Augmentation(training.augment, training.crop_padding)
    augmented = images.Augmented(objective, augmentation)
    update = Supervised(session.machine, augmented, training)
    fit(update, batches, steps=training.steps, session=session)


def _continue(update: Update, steps: int, session: Session) -> int:
    """Puts the newest checkpoint into `update`; the number of steps it has taken."""
    machine = session.machine
    start, state = checkpoint.newest(_checkpoints(session), session.digest, machine.facts)
    if state:
        update.load(state)
        console.say(f"{session.name}: continuing at step {start} of {steps}")
    return start


def _save(update: Update, done: int, session: Session) -> None:
    """Checkpoints an update; all processes go on with the buffers that are saved."""
    machine = session.machine
    update.align()
    machine.once(
        lambda: checkpoint.write(
            _checkpoints(session), done, update.state(), session.digest, machine.facts
        )
    )


def _checkpoints(session: Session) -> Path:
    return session.folder / "checkpoints"


def _fault(finite: "_Finite", watch: Callable[[int], None], step: int) -> UserError | None:
    """What `watch` has against going on, kept until all processes hear of it."""
    try:
        finite.check()
        watch(step)
    except UserError as error:
        return error
    return None


class _Finite:
    """Notices the first loss that is not finite without waiting for the device at every step."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.first = torch.full((), -1, device=session.machine.device)

    def watch(self, losses: dict[str, Tensor], step: int) -> None:
        bad = ~torch.stack([value.detach().float() for value in losses.values()]).sum().isfinite()
        self.first = torch.where(bad & (self.first < 0), step, self.first)

    def check(self) -> None:
        step = int(self.first.item())
        if step >= 0:
            kept = _checkpoints(self.session).glob("step-*")
            good = max((path.name for path in kept), default="none")
            raise UserError(
                f"{self.session.name}: the loss is not finite at step {step + 1} "
                f"(last good checkpoint: {good})",
                DIVERGED,
                "lower the learning rate",
            )


@contextmanager
def _log(session: Session, start: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """Appends rows to metrics.jsonl, having dropped those past the step that training continues
    from.
    """
    if not session.machine.is_main:
        yield lambda row: None
        return
    folder = session.folder
    path = folder / "metrics.jsonl"
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        kept = [
            line
            for line in (path.read_text().splitlines() if path.exists() else [])
            if _step_of(line) <= start
        ]
        path.write_text("".join(f"{line}\n" for line in kept))
        file = path.open("ab", buffering=0)

    def log(row: dict[str, float]) -> None:
        try:
            file.write((json.dumps(row) + "\n").encode())
        except OSError as error:  # a lost line of a log is no reason to lose the run
            console.warn(f"{path}: {error.strerror}")

    with file:
        yield log


def logged(folder: Path, name: str, after: int) -> list[float]:
    """The values of the loss `name` in metrics.jsonl, of steps past `after`."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)[name] for line in lines if after < _step_of(line) < float("inf")]


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
