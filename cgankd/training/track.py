"""What a run tells a tracker of experiments while it trains, through Accelerate's trackers.

A tracker is for people who watch: whatever goes wrong in one, the run goes on without it.
"""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from cgankd import console
from cgankd.preset import Preset

FOLDER = "track"  # of the run folder, for what trackers keep on disk
ONE_STEP = ("wandb", "trackio")  # have one step for all values of a run; it may not go back
IGNORED = {"inputs", "files", "made_on", "origin", "label", "labels", "seen", "format"}


class Untracked:
    """Nobody watches."""

    def losses(self, folder: Path, row: dict[str, float]) -> None:
        """A row of a metrics.jsonl: `step`, and the loss of each name."""

    def picture(self, name: str, step: int, path: Path, sheet: np.ndarray) -> None:
        """A sheet of samples uint8 (H, W, 3), which stands as `path` too."""

    def measures(self, stage: str, record: dict[str, Any]) -> None:
        """The numbers that a stage has recorded."""

    def close(self) -> None:
        """Nothing more comes."""


class Tracker(Untracked):
    """One of Accelerate's trackers by its name, for one stage of the run in `root`. What fails is
    warned of once, and nothing is tracked from then on.
    """

    def __init__(self, name: str, stage: str, root: Path, preset: Preset) -> None:
        self.name, self.root = name, root  # the name is empty once nothing is tracked
        self._tracker: Any = None
        self._attempt(lambda: self._start(stage, preset))

    def losses(self, folder: Path, row: dict[str, float]) -> None:
        place = folder.relative_to(self.root)
        values = {f"{place}/{key}": value for key, value in row.items() if key != "step"}
        self._log(str(place), int(row["step"]), values)

    def picture(self, name: str, step: int, path: Path, sheet: np.ndarray) -> None:
        self._attempt(lambda: self._show(name, step, path, sheet))

    def measures(self, stage: str, record: dict[str, Any]) -> None:
        values = {f"measures/{stage}/{key}": value for key, value in numbers(record).items()}
        self._log(f"measures/{stage}", 0, values)

    def close(self) -> None:
        self._attempt(lambda: self._tracker.finish())
        self.name = ""

    def _start(self, stage: str, preset: Preset) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        title = f"{self.root.resolve().name} {stage}"
        folder = self.root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        named: dict[str, dict[str, Any]] = {
            "tensorboard": {"run_name": stage, "logging_dir": folder},
            "trackio": {"run_name": preset.name, "name": title},
            "wandb": {"run_name": preset.name, "name": title, "dir": str(folder)},
            "mlflow": {"experiment_name": preset.name, "run_name": title},
        }
        tracker = LOGGER_TYPE_TO_CLASS[self.name](**named[self.name])
        tracker.start()
        if self.name != "tensorboard":  # where settings would be a run of their own
            tracker.store_init_configuration(preset.flat())
        self._tracker = tracker

    def _log(self, place: str, step: int, values: dict[str, float]) -> None:
        if not values:
            return
        if self.name in ONE_STEP:
            self._attempt(lambda: self._tracker.log({**values, f"{place}/step": step}))
        else:
            self._attempt(lambda: self._tracker.log(values, step=step))

    def _show(self, name: str, step: int, path: Path, sheet: np.ndarray) -> None:
        match self.name:
            case "tensorboard":
                self._tracker.log_images({name: sheet[None]}, step=step, dataformats="NHWC")
            case "wandb":
                self._tracker.log_images({name: [sheet]})
            case "trackio":
                import trackio

                self._tracker.log({name: trackio.Image(sheet), f"{name}/step": step})
            case _:
                self._tracker.log_artifact(str(path), name)

    def _attempt(self, tell: Callable[[], object]) -> None:
        if not self.name:
            return
        try:
            with redirect_stdout(sys.stderr):  # stdout is for results
                tell()
        except Exception as error:  # of a library that the run does not depend on
            console.warn(f"--track {self.name} failed, and nothing more is tracked: {error}")
            self.name = ""


def numbers(facts: Any, place: str = "") -> dict[str, float]:
    """The numbers of a record by their place in it; of the entries of a list that have one row or
    rho the mean.
    """
    if isinstance(facts, bool):
        return {}
    if isinstance(facts, int | float):
        return {place: float(facts)}
    if isinstance(facts, dict):
        parts = {key: value for key, value in facts.items() if key not in IGNORED}
        return {
            name: number
            for key, value in parts.items()
            for name, number in numbers(value, f"{place}/{key}" if place else key).items()
        }
    found: dict[str, list[float]] = {}
    for entry in facts if isinstance(facts, list) else ():
        if isinstance(entry, dict):
            row = entry.get("row", entry.get("rho", ""))
            for name, number in numbers(entry, f"{place}/{row}").items():
                found.setdefault(name, []).append(number)
    return {name: sum(values) / len(values) for name, values in found.items()}
