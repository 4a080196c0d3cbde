"""From a path to a trained network: a run folder, the folder of a student or a teacher, a file."""

from pathlib import Path

import torch

from cgankd import report, runs
from cgankd.deploy.formats import READERS
from cgankd.deploy.model import Facts, Parts
from cgankd.deploy.trained import Trained
from cgankd.errors import DATA, UserError
from cgankd.models.saved import load_network
from cgankd.runs import RunFolder

RECORDS = {"student.json": "distill", "teacher.json": "train-teacher"}  # with what makes them
NAMES = "name a run folder, that of a student or a teacher in it, or an exported "


def load(path: str | Path, device: str | torch.device = "cpu") -> Trained:
    """The trained network of a path, its content verified: of a run folder the best student, by its
    validation score; of the folder of a student or a teacher, or a file in it, that one; or what
    `cgankd export` has written.
    """
    place = Path(path)
    if place.is_file() and place.name not in (*RECORDS, "network.safetensors", "network.json"):
        return _load_file(place, torch.device(device))
    folder = place if place.is_dir() else place.parent
    records = [name for name in RECORDS if (folder / name).is_file()]
    if not records and place.is_dir() and RunFolder(place).stands:
        folder, records = best_student(place), ["student.json"]
    if not records:
        if place.is_file() and place.suffix in READERS:
            return _load_file(place, torch.device(device))
        raise UserError(
            f"{path}: no trained network" if place.exists() else f"{path} not found",
            DATA,
            NAMES + ", ".join(READERS),
        )
    return _load_folder(folder / records[0], RECORDS[records[0]], torch.device(device))


def best_student(root: Path) -> Path:
    """The folder of the student of a run to be shipped."""
    best = report.best_student(report.read(root))
    if best is None:
        raise UserError(f"{root}: no students have been scored", DATA, "run `cgankd distill` first")
    return RunFolder(root).student(best.student).parent


def _load_folder(record: Path, command: str, device: torch.device) -> Trained:
    facts = runs.verify_files(record, command)
    if missing := {"label", "size"} - facts.keys():
        raise UserError(
            f"{record}: does not say the {' and '.join(sorted(missing))} of its network",
            DATA,
            f"it is of an older version: run `cgankd {command} --rebuild`",
        )
    known = Facts(
        facts["label"],
        int(facts["size"]),
        runs.read_json(record.parent / "network.json"),
        _span_of(RunFolder(record.absolute().parent.parent.parent)),
        {"record": record.name, "digest": facts["digest"], "content": facts["content"]},
    )
    return Trained(Parts(record, known, load_network(record.parent, "network", device)))


def _span_of(run: RunFolder) -> tuple[float, float] | None:
    """What is black and white in images of more than 8 bits, as the run has read its own."""
    span = runs.read_json(run.data).get("span") if run.data.is_file() else None
    return (float(span[0]), float(span[1])) if span else None


def _load_file(path: Path, device: torch.device) -> Trained:
    if path.suffix not in READERS:
        raise UserError(f"{path}: no trained network", DATA, NAMES + ", ".join(READERS))
    return Trained(READERS[path.suffix](path, path.read_bytes(), device))
