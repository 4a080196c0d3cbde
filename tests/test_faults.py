"""Killed, stopped, cut off and broken: what was finished stays, and the same command gives the same
bits.
"""

import json
import pickle
import random
import shutil
import time
from pathlib import Path

import h5py
import pytest
import toy

from cgankd import fakes, plan, runs
from cgankd.job import Job
from cgankd.plan import STAGES, StudentTable
from cgankd.runs import Artefact

pytestmark = pytest.mark.slow
KILLED = ("train-gan", "train-teacher", "fit-dre", "generate", "distill")
only_digits = pytest.mark.parametrize("chain", ["digits"], indirect=True)


def with_inputs(stage: str, chain: tuple[str, Path], root: Path, *changes: str) -> Job:
    """A job in a new folder that has all that the stage reads, all the way up, and nothing else."""
    kind, whole = chain
    for folder in upstream(stage, toy.job(kind, whole)):
        shutil.copytree(folder, root / folder.relative_to(whole))
    root.mkdir(exist_ok=True)
    shutil.copy(whole / "data.json", root)
    return toy.job(kind, root, *changes)


def upstream(stage: str, job: Job) -> set[Path]:
    """The folders of all that a stage reads, and of what these were made from."""
    folders: set[Path] = set()
    for command, planned in STAGES[stage].reads(job):
        folders |= {planned().folder, *upstream(command, job)}
    return folders


def artefacts_of(stage: str, job: Job) -> list[Artefact]:
    """All that a stage makes, with the students of its tables."""
    made = list(toy.planned(stage, job))
    tables = [table for table in made if isinstance(table, StudentTable)]
    students = [student for table in tables for student in table.students]
    return made + [student.artefact for batch in plan.to_train(students) for student in batch]


def contents(stage: str, job: Job) -> dict[str, str]:
    """The digest of every file that a stage has made, verified, and of the facts in its records."""
    found = {}
    for artefact in artefacts_of(stage, job):
        record = runs.verify_files(artefact.record, artefact.command)
        folder = artefact.folder.relative_to(job.run.root)
        found |= {f"{folder}/{name}": digest for name, digest in record["files"].items()}
        found[f"{folder}/{artefact.record.name}"] = record["content"]
    return found


def assert_same(stage: str, job: Job, chain: tuple[str, Path]) -> None:
    """A stage has made what it made in the undisturbed chain, and left nothing half-written."""
    assert contents(stage, job) == contents(stage, toy.job(*chain))
    assert not list(job.run.root.rglob(".tmp-*"))


def kill_until_done(stage: str, job: Job, kills: int, **circumstances: object) -> None:
    """Kills the stage at `kills` random moments, each time starting the same command again, then
    lets it end.
    """
    rng = random.Random(f"{stage} {job.preset.name}")
    landed, longest = 0, 1.0
    for _ in range(10 * kills):
        process = toy.start(stage, job, **circumstances)
        time.sleep(rng.uniform(0.05, longest))
        process.kill()
        process.join()
        if toy.ended_by_kill(process):
            landed += 1
        else:  # it was done before the kill came: begin anew, and kill earlier
            assert process.exitcode == 0
            for artefact in artefacts_of(stage, job):
                shutil.rmtree(artefact.folder, ignore_errors=True)
            longest *= 0.6
        if landed >= kills:
            break
    assert landed >= kills
    assert toy.build(stage, job, **circumstances) == 0


@pytest.mark.parametrize("stage", KILLED)
def test_a_stage_killed_five_times_ends_with_the_bits_of_an_unbroken_one(chain, stage, tmp_path):
    job = with_inputs(stage, chain, tmp_path / "run")
    kill_until_done(stage, job, kills=5)
    assert_same(stage, job, chain)


@only_digits
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
    whole, broken = (
        with_inputs("distill", chain, tmp_path / name).asking(methods=(method,))
        for name in ("whole", "broken")
    )
    assert toy.build("distill", whole) == 0
    for moment in moments:
        process = toy.start("distill", broken)
        while not list(broken.run.root.glob(f"students/{moment}/checkpoints/step-*")):
            assert process.is_alive(), f"{moment} was not seen"
            time.sleep(0.002)
        process.kill()
        process.join()
        assert toy.ended_by_kill(process)
    assert toy.build("distill", broken) == 0
    made = contents("distill", broken)
    assert made == contents("distill", whole)
    trained = [name for name in made if name.endswith("network.safetensors")]
    assert len(trained) == {"sskd+fake": 1 + 2, "takd+fake": 2 + 2}[method]
    assert len(runs.read_json(broken.run.distill(method))["members"]) == 2


@only_digits
def test_the_comparison_notices_when_steps_are_not_seeded(chain, tmp_path):
    job = with_inputs("train-gan", chain, tmp_path / "run")
    kill_until_done("train-gan", job, kills=1, unseeded=True)
    ours, theirs = contents("train-gan", job), contents("train-gan", toy.job(*chain))
    assert ours.keys() == theirs.keys()
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different == {"gan/generator.safetensors", "gan/gan.json"}


# Stopped, out of space, diverged


@pytest.mark.parametrize(
    ("stage", "sabotage"),
    [("train-gan", toy.signal_in_the_sixth_step), ("generate", toy.signal_in_the_third_block)],
)
def test_a_signal_in_the_midst_of_work_saves_and_continues_to_the_same_bits(
    chain, tmp_path, stage, sabotage
):
    job = with_inputs(stage, chain, tmp_path / "run")
    assert toy.build(stage, job, sabotage=sabotage) == 75
    assert "the same command continues" in toy.error(job)
    assert toy.states(stage, job) == ["begun"]
    kept = [path.name for path in job.run.root.glob("gan/checkpoints/*")]
    assert kept == (["step-00000006"] if stage == "train-gan" else [])
    assert toy.build(stage, job) == 0
    assert_same(stage, job, chain)


@pytest.mark.parametrize("stage", ["train-gan", "generate"])
def test_a_full_disk_ends_with_74_and_loses_nothing(chain, tmp_path, stage):
    job = with_inputs(stage, chain, tmp_path / "run")
    assert toy.build(stage, job, seconds=0.0, sabotage=toy.small_disk) == 74
    assert "no space left" in toy.error(job)
    assert not list(job.run.root.rglob(".tmp-*"))
    assert toy.build(stage, job) == 0
    assert_same(stage, job, chain)


def test_a_loss_that_is_not_finite_stops_and_is_not_saved(tmp_path):
    job = toy.job("digits", tmp_path / "run")
    assert toy.build("train-gan", job, seconds=0.0, sabotage=toy.poisoned_loss) == 70
    assert "not finite at step 6" in toy.error(job)
    assert "step-00000005" in toy.error(job)
    kept = sorted(path.name for path in job.run.root.glob("gan/checkpoints/*"))
    assert kept == ["step-00000004", "step-00000005"]


@only_digits
def test_memory_does_not_grow_with_the_number_of_fakes(chain, tmp_path):
    peaks = []
    for per_label in (1200, 6000):
        changes = [f"generate.per_label={per_label}", "generate.block=256"]
        job = with_inputs("generate", chain, tmp_path / str(per_label), *changes)
        report = tmp_path / f"{per_label}.json"
        assert toy.build("generate", job, report=report) == 0
        peaks.append(json.loads(report.read_text())["peak"])
    assert peaks[1] - peaks[0] < 30 << 10, "KiB; the 48,000 further images are 36 MiB"


# Damaged and hostile files


@only_digits
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(chain, tmp_path, damage):
    job = with_inputs("train-gan", chain, tmp_path / "run")
    checkpoints = job.run.gan.parent / "checkpoints"
    process = toy.start("train-gan", job)
    while len(list(checkpoints.glob("step-*"))) < 2:
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    file = max(checkpoints.glob("step-*")) / "state.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    {
        "cut": lambda: file.write_bytes(data[: len(data) // 2]),
        "flip": lambda: file.write_bytes(data),
        "empty": lambda: file.write_bytes(b""),
        "gone": file.unlink,
    }[damage]()
    assert toy.build("train-gan", job) == 0
    assert_same("train-gan", job, chain)


def test_a_pickle_in_the_place_of_weights_does_not_run(chain, tmp_path):
    class Payload:
        def __reduce__(self):
            return Path.touch, (tmp_path / "payload ran",)

    job = with_inputs("generate", chain, tmp_path / "run")
    record, weights = job.run.gan, job.run.gan.parent / "generator.safetensors"
    weights.write_bytes(pickle.dumps(Payload()))
    assert toy.build("generate", job) == 65
    assert "other content than recorded" in toy.error(job)
    facts = runs.read_json(record)  # an attacker who also mends the record
    facts["files"][weights.name] = runs.file_digest(weights)
    runs.write_json(record, facts)
    assert toy.build("generate", job) == 65
    assert "not the weights of" in toy.error(job)
    assert not (tmp_path / "payload ran").exists()


def test_a_pool_with_a_link_to_another_file_is_refused(chain, tmp_path):
    job = with_inputs("distill", chain, tmp_path / "run")
    shard = job.run.pool.parent / "pool-00000.h5"
    rows = fakes.read_shard(shard, tuple(fakes.COLUMNS))
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["images"] = rows.pop("images")
    with h5py.File(shard, "w") as file:
        for name, column in rows.items():
            file[name] = column.astype("i1") if name == "accepted" else column
        file["images"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "images")
    facts = runs.read_json(job.run.pool)
    facts["files"][shard.name] = runs.file_digest(shard)
    runs.write_json(job.run.pool, facts)
    assert toy.build("distill", job) == 65
    assert "link to another place" in toy.error(job)
