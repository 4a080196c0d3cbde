"""Killed, stopped, cut off and broken: what was finished stays, and the same command gives the same bits."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import toy
from safetensors.numpy import load_file

from cgankd import fakes, runs

pytestmark = pytest.mark.slow
INPUTS = {
    "train-gan": [],
    "train-teacher": [],
    "fit-dre": ["gan"],
    "generate": ["gan", "teacher", "dre"],
    "distill": ["gan", "teacher", "dre", "generate", "rho"],
}


def copy_inputs(source: Path, target: Path, stage: str) -> Path:
    target.mkdir()
    for name in INPUTS[stage]:
        shutil.copytree(source / name, target / name)
    shutil.copy(source / "data.json", target)
    return target


def contents(root: Path) -> dict[str, object]:
    """Every output tensor and every row of the pool, as bytes; no unfinished work among them."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*.safetensors")):
        if "checkpoints" not in path.parts:
            found |= {f"{path.relative_to(root)}:{name}": value.tobytes() for name, value in load_file(path).items()}
    for path in sorted(root.rglob("pool-*.h5")):
        rows = fakes.read_shard(path, tuple(fakes.COLUMNS))
        found |= {f"{path.relative_to(root)}:{name}": value.tobytes() for name, value in rows.items()}
    for path in sorted(root.rglob("distill/*.json")):
        found[str(path.relative_to(root))] = runs.read_json(path)["members"]
    return found


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.rglob(".tmp-*")]


def kill_until_done(stage: str, root: Path, kind: str, kills: int, **options: object) -> None:
    """Kills the stage at `kills` random moments, each time starting the same command again, then lets it end."""
    rng = random.Random(f"{stage} {kind}")
    landed, longest = 0, 1.0
    for _ in range(10 * kills):
        process = toy.start(stage, root, kind, **options)
        time.sleep(rng.uniform(0.05, longest))
        process.kill()
        process.join()
        if toy.ended_by_kill(process):
            landed += 1
        else:  # it was done before the kill came: begin anew, and kill earlier
            assert process.exitcode == 0
            shutil.rmtree(root / {"train-gan": "gan", "train-teacher": "teacher", "fit-dre": "dre"}.get(stage, stage))
            shutil.rmtree(root / "students", ignore_errors=True)
            longest *= 0.6
        if landed >= kills:
            break
    assert landed >= kills
    assert toy.build(stage, root, kind, **options) == 0


@pytest.mark.parametrize("stage", list(INPUTS))
def test_a_stage_killed_five_times_ends_with_the_bits_of_an_unbroken_one(chain, stage, tmp_path):
    kind, whole = chain
    broken = copy_inputs(whole, tmp_path / "run", stage)
    kill_until_done(stage, broken, kind, kills=5)
    made = contents(broken)
    expected = {name: value for name, value in contents(whole).items() if name in made}
    assert made == expected
    assert len(made) > 0
    assert not leftovers(broken)


def test_the_comparison_notices_when_steps_are_not_seeded(chain, tmp_path):
    kind, whole = chain
    broken = copy_inputs(whole, tmp_path / "run", "train-gan")
    kill_until_done("train-gan", broken, kind, kills=1, unseeded=True)
    generator = {name: value for name, value in contents(broken).items() if "generator" in name}
    assert generator
    assert generator != {name: contents(whole)[name] for name in generator}
