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
from typing import Any

import torch
from torch import Tensor, nn

from cgankd import console, runs, signals
from cgankd.data import images
from cgankd.errors import DIVERGED, STOPPED, Followed, UserError, storage_errors
from cgankd.preset import Training
from cgankd.randomness import seed_everything
from cgankd.training import checkpoint
from cgankd.training.recorded import recorded
from cgankd.training.session import Session
from cgankd.training.updates import Supervised, Update

CHECKPOINT_SECONDS = float(os.environ.get("CGANKD_CHECKPOINT_SECONDS", "60"))
LOG_POINTS = 200  # rows of metrics.jsonl


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
    update = recorded(update, machine)
    start = _continue(update, steps, session)
    finite = Finite(session)
    saved, every = time.monotonic(), max(1, steps // LOG_POINTS)
    with (
        signals.deferred(),
        console.progress(name, steps, start) as show,
        _log(session, start) as log,
    ):
        for step in range(start, steps):
            losses = take_step(update, batches, step, session, finite)
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
                raise fault or Followed(why, code)
            if stop or (save and done < steps):
                finite.check()
                _save(update, done, session)
                saved = time.monotonic()
            if stop:
                where = f"{name} stopped at step {done} of {steps}"
                raise UserError(where, STOPPED, "the same command continues")
    update.align()


def take_step(
    update: Update, batches: Callable[[int], Any], step: int, session: Session, finite: "Finite"
) -> dict[str, Tensor]:
    """One step of the loop; the losses, on the device."""
    # A step's draws follow from its number alone, so no generator's state is ever saved.
    seed_everything(session.seed, session.name, step, session.machine.rank)
    update.begin(step)
    losses = update(batches(step), step)
    finite.watch(losses, step)
    return losses


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


def _fault(finite: "Finite", watch: Callable[[int], None], step: int) -> UserError | None:
    """What `watch` has against going on, kept until all processes hear of it."""
    try:
        finite.check()
        watch(step)
    except UserError as error:
        return error
    return None


class Finite:
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
            kept = checkpoint.steps(_checkpoints(self.session))
            good = kept[0].name if kept else "none"
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
    path = session.folder / "metrics.jsonl"
    # Written anew, so that a link in its place is replaced and what it leads to is left alone.
    kept = [] if path.is_symlink() else [json.dumps(row) for row in rows(path, upto=start)]
    runs.write_bytes(path, "".join(f"{line}\n" for line in kept).encode())
    with storage_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)

    def log(row: dict[str, float]) -> None:
        try:
            file.write((json.dumps(row) + "\n").encode())
        except OSError as error:  # a lost line of a log is no reason to lose the run
            console.warn(f"{path}: {error.strerror}")
        session.machine.tracker.losses(session.folder, row)

    with os.fdopen(handle, "ab", buffering=0) as file:
        yield log


def logged(folder: Path, name: str, after: int) -> list[float]:
    """The values of the loss `name` in metrics.jsonl, of steps past `after`."""
    found = rows(folder / "metrics.jsonl")
    return [row[name] for row in found if row["step"] > after and name in row]


def rows(path: Path, upto: int | None = None) -> list[dict[str, float]]:
    """The rows of a metrics.jsonl, of no step past `upto`; torn or damaged lines are left out."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        found = [row for line in file if (row := _row(line))]
    return [row for row in found if upto is None or row["step"] <= upto]


def _row(line: bytes) -> dict[str, float] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int or row["step"] < 1:
        return None
    return row if all(_is_number(value) for value in row.values()) else None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # NaN is not
