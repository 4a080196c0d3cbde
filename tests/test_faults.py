"""Killed, stopped, cut off and broken: what was finished stays, and the same command gives the same
bits.
"""

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
            found |= {
                f"{path.relative_to(root)}:{name}": value.tobytes()
                for name, value in load_file(path).items()
            }
    for path in sorted(root.rglob("pool-*.h5")):
        rows = fakes.read_shard(path, tuple(fakes.COLUMNS))
        found |= {
            f"{path.relative_to(root)}:{name}": value.tobytes() for name, value in rows.items()
        }
    for path in sorted(root.rglob("distill/*.json")):
        found[str(path.relative_to(root))] = runs.read_json(path)["members"]
    return found


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.rglob(".tmp-*")]


def kill_until_done(stage: str, root: Path, kind: str, kills: int, **options: object) -> None:
    """Kills the stage at `kills` random moments, each time starting the same command again, then
    lets it end.
    """
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
            shutil.rmtree(
                root
                / {"train-gan": "gan", "train-teacher": "teacher", "fit-dre": "dre"}.get(
                    stage, stage
                )
            )
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


@pytest.mark.parametrize("chain", ["digits"], indirect=True)
@pytest.mark.parametrize(
    ("method", "moments"),
    [
        ("sskd+fake", ["*-sskd-head+fake-seed0-*", "*-sskd+fake-seed0-*", "*-sskd+fake-seed1-*"]),
        ("takd+fake", ["*-blkd+fake-seed0-*", "*-takd+fake-seed0-*", "*-takd+fake-seed1-*"]),
    ],
)
def test_a_chain_of_training_killed_in_each_of_its_phases_ends_with_the_same_bits(
    chain, method, moments, tmp_path
):
    kind, source = chain
    whole, broken = (
        copy_inputs(source, tmp_path / name, "distill") for name in ("whole", "broken")
    )
    call = {"method": method}
    assert toy.build("distill", whole, kind, call=call) == 0
    for moment in moments:
        process = toy.start("distill", broken, kind, call=call)
        while not list(broken.glob(f"students/{moment}/checkpoints/step-*")):
            assert process.is_alive(), f"{moment} was not seen"
            time.sleep(0.002)
        process.kill()
        process.join()
    assert toy.build("distill", broken, kind, call=call) == 0
    assert contents(broken) == contents(whole)
    assert len(runs.read_json(broken / "distill" / f"{method}.json")["members"]) == 2


@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_the_comparison_notices_when_steps_are_not_seeded(chain, tmp_path):
    kind, whole = chain
    broken = copy_inputs(whole, tmp_path / "run", "train-gan")
    kill_until_done("train-gan", broken, kind, kills=1, unseeded=True)
    generator = {name: value for name, value in contents(broken).items() if "generator" in name}
    assert generator
    assert generator != {name: contents(whole)[name] for name in generator}


def test_a_signal_between_steps_saves_and_continues_to_the_same_bits(chain, tmp_path):
    kind, whole = chain
    for stage, name in (("train-gan", "gan"), ("generate", "generate")):
        cut = copy_inputs(whole, tmp_path / name, stage)
        process = toy.start(stage, cut, kind, seconds=60.0)
        while not list(
            cut.glob(f"{name}/**/metrics.jsonl" if name == "gan" else f"{name}/bounds.json")
        ):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGTERM)
        process.join(20)
        assert process.exitcode in (0, 75)
        assert toy.build(stage, cut, kind) == 0
        made = contents(cut)
        assert made == {key: value for key, value in contents(whole).items() if key in made}


def test_a_full_disk_ends_with_74_and_loses_nothing(chain, tmp_path):
    kind, whole = chain
    for stage in ("train-gan", "generate"):
        root = copy_inputs(whole, tmp_path / stage, stage)
        assert toy.build(stage, root, kind, seconds=0.0, **{"break": toy.small_disk}) == 74
        assert "no space left" in (root / "error.txt").read_text()
        assert not leftovers(root)
        assert toy.build(stage, root, kind) == 0
        made = contents(root)
        assert made == {key: value for key, value in contents(whole).items() if key in made}


def test_a_loss_that_is_not_finite_stops_and_is_not_saved(tmp_path):
    assert (
        toy.build(
            "train-gan", tmp_path / "run", "digits", seconds=0.0, **{"break": toy.poisoned_loss}
        )
        == 70
    )
    message = (tmp_path / "run" / "error.txt").read_text()
    assert "not finite at step 6" in message
    assert "step-00000005" in message
    kept = sorted(path.name for path in (tmp_path / "run" / "gan" / "checkpoints").iterdir())
    assert kept == ["step-00000004", "step-00000005"]


@pytest.mark.parametrize("chain", ["digits"], indirect=True)
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(chain, tmp_path, damage):
    kind, whole = chain
    root = copy_inputs(whole, tmp_path / "run", "train-gan")
    process = toy.start("train-gan", root, kind)
    while len(list((root / "gan" / "checkpoints").glob("step-*"))) < 2:
        time.sleep(0.005)
    process.kill()
    process.join()
    file = max((root / "gan" / "checkpoints").glob("step-*")) / "state.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    {
        "cut": lambda: file.write_bytes(data[: len(data) // 2]),
        "flip": lambda: file.write_bytes(data),
        "empty": lambda: file.write_bytes(b""),
        "gone": file.unlink,
    }[damage]()
    assert toy.build("train-gan", root, kind) == 0
    made = contents(root)
    assert made == {key: value for key, value in contents(whole).items() if key in made}


def test_a_pickle_in_the_place_of_weights_does_not_run(chain, tmp_path):
    import pickle

    class Payload:
        def __reduce__(self):
            return Path.touch, (tmp_path / "payload ran",)

    kind, whole = chain
    root = copy_inputs(whole, tmp_path / "run", "generate")
    hostile = pickle.dumps(Payload())
    record = runs.read_json(root / "gan" / "gan.json")
    (root / "gan" / "generator.safetensors").write_bytes(hostile)
    assert toy.build("generate", root, kind) == 65
    assert "other content than recorded" in (root / "error.txt").read_text()
    record["files"]["generator.safetensors"] = runs.file_digest(
        root / "gan" / "generator.safetensors"
    )
    runs.write_json(root / "gan" / "gan.json", record)  # an attacker who also mends the record
    assert toy.build("generate", root, kind) == 65
    assert "not the weights of" in (root / "error.txt").read_text()
    assert not (tmp_path / "payload ran").exists()


def test_a_pool_with_a_link_to_another_file_is_refused(chain, tmp_path):
    import h5py

    kind, whole = chain
    root = copy_inputs(whole, tmp_path / "run", "distill")
    shard = root / "generate" / "pool-00000.h5"
    rows = fakes.read_shard(shard, tuple(fakes.COLUMNS))
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["images"] = rows.pop("images")
    with h5py.File(shard, "w") as file:
        for name, column in rows.items():
            file[name] = column.astype("i1") if name == "accepted" else column
        file["images"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "images")
    record = runs.read_json(root / "generate" / "pool.json")
    record["files"][shard.name] = runs.file_digest(shard)
    runs.write_json(root / "generate" / "pool.json", record)
    assert toy.build("distill", root, kind) == 65
    assert "link to another place" in (root / "error.txt").read_text()


@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_memory_does_not_grow_with_the_number_of_fakes(chain, tmp_path):
    kind, whole = chain
    peaks = []
    for per_label in (1200, 6000):
        root = copy_inputs(whole, tmp_path / str(per_label), "generate")
        report = tmp_path / f"{per_label}.json"
        changes = [f"generate.per_label={per_label}", "generate.block=256"]
        assert toy.build("generate", root, kind, *changes, report=str(report)) == 0
        peaks.append(runs.read_json(report)["peak"])
    assert peaks[1] - peaks[0] < 30 << 10, "KiB; the 48,000 further images are 36 MiB"
