"""Run folders made by hand: what a finished run leaves, without its networks."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from cgankd import fakes, preset, report, runs
from cgankd.report.summary import summarise
from cgankd.runs import Artefact, RunFolder

HOSTILE = "<script>alert(1)</script>"
SETTINGS = [
    'teacher.networks=["resnet8_x2"]',
    'generate.teacher="resnet8_x2"',
    'distill.pairs=[["resnet8_x2", "resnet8_x0_5", "resnet8_x0_25"]]',
    'paper={note = "Single runs.", ablation = {student = "resnet8_x0_25", errors = {"+ filter" = '
    "6.94}}, results = ["
    '{teacher = "resnet8_x2", teacher_error = 4.9, student = "resnet8_x0_25", errors = {nokd = '
    "8.42, fake = 6.8}}]}",
]
NOKD = {0: 10.0, 1: 12.0, 2: 14.0}  # mean 12, deviation 2
FAKE = {0: 9.0, 1: 10.0, 2: 11.0}  # mean 10, deviation 1; differences -1, -2, -3
WORSE = {0: 11.0, 1: 13.0, 2: 15.0}  # mean 13; differences 1
BLKD = {0: 11.0, 1: 10.0, 2: 15.0}  # differences 1, -2, 1


ERRORS = np.array([0.1, 9, 0.2, 5, 0.3, 6, 7], np.float32)


def finish(record: Path, command: str, payload=(), inputs=None, **facts) -> None:
    made_on = {"device": "cpu", "processes": 1}
    Artefact(record, command, inputs or {}).finish(payload, made_on=made_on, **facts)


def members(
    row: str, scores: dict[int, float], *, teacher: str = "", rho: float | None = None, **facts
) -> list[dict]:
    return [
        {
            "row": row,
            "seed": seed,
            "teacher": teacher,
            "assistant": "",
            "rho": rho,
            "network": "resnet8_x0_25",
            "parameters": 5214,
            "steps": 60,
            "fakes": 4 if rho else 0,
            "validation": score,
            "test": score,
            "student": f"{row}-seed{seed}",
            **facts,
        }
        for seed, score in scores.items()
    ]


def distilled(run: RunFolder, method: str, rows: list[dict]) -> None:
    finish(
        run.distill(method),
        "distill",
        members=rows,
        metric="error",
        unit="%",
        rows=1397,
        budget="steps",
    )


def write_pool(run: RunFolder) -> None:
    """Six fakes of two classes, three per label; the fourth of class 0 replaces a proposal that was
    not accepted.
    """
    labels = np.array([0, 0, 0, 1, 1, 1, 0])
    shard = run.pool.parent / "pool-00000.h5"
    rows = {
        "images": np.arange(7 * 3 * 64, dtype=np.uint8).reshape(7, 3, 8, 8),
        "labels": labels,
        "proposals": np.array([0, 1, 2, 0, 1, 2, 3]),
        "accepted": np.array([1, 0, 1, 1, 1, 1, 1], bool),
        "ratios": np.ones(7, np.float32),
        "outputs": np.zeros((7, 2), np.float32),
        "errors": ERRORS,
        "clipped_errors": ERRORS,
        "relabels": 1 - labels,
    }
    fakes.write_shard(shard, rows)
    health = {"acceptance": 0.75, "clipped": 0.125, "effective": 0.5, "bound": 1.5}
    names = [{"label": 0, "name": HOSTILE, **health}, {"label": 1, "name": "$b_", **health}]
    label = {"kind": "class", "classes": [HOSTILE, "$b_"]}
    finish(
        run.pool,
        "generate",
        [shard],
        per_label=3,
        num_accepted=6,
        label=label,
        labels=names,
        error_unit="nats",
    )


def make_run(
    root: Path, *, rho: float | None = 0.5, teacher: float = 5.0, name: str = "digits"
) -> Path:
    """A finished run folder without networks."""
    run = RunFolder(root)
    settings = preset.load("digits", [f"name={name}", *SETTINGS])
    runs.write_bytes(run.preset, f"# {HOSTILE}\n{preset.dump(settings)}".encode())
    write_data(run)
    distilled(run, "nokd", members("nokd", NOKD))
    distilled(run, "nokd+fake", members("nokd+fake", FAKE, rho=0.5))
    distilled(run, "blkd", members("blkd", BLKD, teacher="resnet8_x2"))
    finish(
        run.teacher("resnet8_x2"),
        "train-teacher",
        network="resnet8_x2",
        parameters=308650,
        validation=teacher,
    )
    table = [
        {"rho": None, "share": None, "mean": 43.5, "deviation": 2.12, "num": 3},
        {
            **{"rho": 0.5, "share": 0.25, "mean": 41.25, "deviation": 1, "num": 3},
            **{"difference": -2.25, "standard_error": 0.577},
        },
    ]
    share = None if rho is None else 0.25
    finish(
        run.search,
        "select-rho",
        rho=rho,
        share=share,
        best_rho=0.5,
        best_share=0.25,
        table=table,
        rows=200,
    )
    write_pool(run)
    finish(run.gan, "train-gan", steps=2)
    runs.write_bytes(
        run.gan.parent / "metrics.jsonl",
        b'{"step": 1, "discriminator": 2.5}\n{"step": 2, "discriminator": 1.5}\n{"st',
    )
    return root


def evaluated(**changes: Any) -> dict[str, Any]:
    """What evaluate records."""
    sliding = {
        "windows": 8,
        "left_out": 1,
        "real": {"min": 20, "median": 33.5},
        "fake": {"min": 4, "median": 7},
        "fid": {"mean": 1.2345, "deviation": 0.5},
        "matched": None,
        "variance": {"mean": 0.26, "deviation": 0.125},
        "density": None,
        "coverage": {"mean": 0.5, "deviation": None},
        "label_score": None,
        "diversity": {"mean": 2.0, "deviation": 0.25},
        "parts": [
            {"center": 0.25, "num": 7, "fid": 1.5, "variance": 0.3, "density": None}
            | {"coverage": 0.5},
            {"center": 0.75, "num": 4, "fid": 1.0, "variance": None, "density": None}
            | {"coverage": None},
        ],
    }
    overall = {"fid": 3.0, "matched": 4.5, "density": 0.75, "coverage": 0.625}
    raw = {
        "alone": 24.5,
        "overall": {**overall, "nearest": 31.25, "copies": 0.125},
        "row": "raw fakes",
        "num": 2700,
        "label_score": {"mean": 12.346, "deviation": 9.0},
        "sliding": sliding,
        "intra": None,
    }
    far = {
        **sliding,
        "fid": {"mean": 1234.4, "deviation": None},
        "matched": {"mean": 99.96, "deviation": 100.4},
    }
    filtered = {**raw, "row": "+ subsampling", "label_score": None, "sliding": far, "alone": None}
    types = {"network": "resnet20", "num": 10, "maximum": math.log(10), "validation": 12.5}
    return {
        "rows": [raw, filtered],
        "verdict": [{"about": "variance", "is_fault": True, "text": "The GAN has lost diversity."}],
        "alone": {
            **{"network": "resnet8_x0_25", "steps": 800, "seed": 0, "metric": "MAE"},
            **{"unit": "degrees", "real": 3.25, "constant": 23.0},
        },
        "protocol": {"seed": 0, "neighbours": 5, "most": 2000},
        "features": {"network": "sparse-autoencoder", "size": 256},
        "judge": "resnet8",
        "unit": "degrees",
        "radius": 5.0,
        "centers": 9,
        "leaky": False,
        "types": types,
        "missing": {"intra": "labels are not repeated"},
        **changes,
    }


def begun(root: Path) -> RunFolder:
    """A run folder that holds a preset and the record of its data alone."""
    run = RunFolder(root)
    settings = preset.load("digits", SETTINGS)
    runs.write_bytes(run.preset, preset.dump(settings).encode())
    write_data(run)
    return run


def write_data(run: RunFolder) -> None:
    label = {"kind": "class", "classes": [HOSTILE, "$b_"]}
    rows = {split: {"num": num} for split, num in (("train", 200), ("test", 1397))}
    runs.write_json(run.data, {"content": "0" * 64, "label": label, "rows": rows})


def summary_of(root: Path, name: str = "digits") -> dict[str, Any]:
    """What report.json holds of a run."""
    return summarise(report.read(root), name)


def text_of(page: Path) -> str:
    """The words of a page, tags removed."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.read_text()))
