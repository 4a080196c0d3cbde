"""Runs that differ in one key: which it is, and the error against it."""

from pathlib import Path

import pytest
from handmade import NOKD, distilled, make_run, members, text_of

from cgankd import preset, report, runs
from cgankd.report.across import across, varied
from cgankd.runs import RunFolder


def run_of(root: Path, steps: int, offset: float, seed: int = 0) -> Path:
    """A run whose GAN has so many steps, and whose NOKD errs by so much more."""
    run = RunFolder(make_run(root))
    settings = preset.load(run.preset, [f"gan.steps={steps}", f"seed={seed}"])
    runs.write_bytes(run.preset, preset.dump(settings).encode())
    scores = {seed: score + offset for seed, score in NOKD.items()}
    run.distill("nokd").unlink()
    distilled(run, "nokd", members("nokd", scores, test=99.0))
    return root


def test_the_key_is_the_only_one_that_differs_seeds_aside():
    steps = [preset.load("digits", [f"gan.steps={num}", f"seed={num}"]) for num in (600, 1200)]
    assert varied(steps) == "gan.steps"
    assert varied([steps[0], preset.load("digits", ["gan.steps=600"])]) is None
    assert varied([steps[0], preset.load("digits", ["gan.width=4"])]) is None


def test_points_are_validation_errors_by_value_and_chains_are_averaged(tmp_path):
    roots = [run_of(tmp_path / "a", 1200, 0), run_of(tmp_path / "b", 600, 4)]
    roots.append(run_of(tmp_path / "c", 600, 2, seed=1))
    found = across([report.read(root) for root in roots])
    mean = sum(NOKD.values()) / len(NOKD)
    assert (found.key, found.values, found.split) == ("gan.steps", [600, 1200], "validation")
    first, second = found.lines["nokd · resnet8_x0_25"]
    assert (first.mean, first.standard_error, first.chains) == pytest.approx((mean + 3, 1, 2))
    assert (second.mean, second.chains) == pytest.approx((mean, 1))
    text = text_of(report.build(roots, tmp_path / "index.html"))
    assert "These runs differ in gan.steps alone, seeds aside." in text
    assert runs.read_json(tmp_path / "report.json")["across"]["values"] == [600, 1200]
