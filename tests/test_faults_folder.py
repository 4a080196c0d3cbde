"""Whose a run folder is, what may be in it, and that nothing stale in it is taken."""

import os
import shutil
import signal

import faults_toy as toy
import pytest

from cgankd import job, pipeline, runs
from cgankd.errors import IN_USE, STORAGE, UserError
from cgankd.runs import RunFolder


def stop_at(number: int, signal_number: int = signal.SIGKILL) -> None:
    """From now on this process gets a signal in the place of its so manieth rename."""
    rename, left = os.replace, [number]

    def replace(source, target):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal_number)
        rename(source, target)

    os.replace = replace


# Whose the folder is


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_a_start_that_is_cut_off_at_any_of_its_files_is_continued_by_the_same_command(
    tmp_path, number, how
):
    toy.write_preset(tmp_path)
    command = toy.on("train-teacher", "-s", "teacher.steps=60")
    ended = toy.call(*command, folder=tmp_path, setup=lambda: stop_at(number, how))
    assert ended.code in (-how, 75)
    assert not (tmp_path / "run" / "teacher" / "resnet8_x0_25" / "network.json").exists()
    ended = toy.call(*command, folder=tmp_path)
    assert ended.code == 0, ended.err
    assert not list((tmp_path / "run").rglob(".tmp-*"))


def test_a_full_disk_at_the_start_leaves_a_folder_that_the_same_command_takes(tmp_path):
    import resource

    toy.write_preset(tmp_path)
    full = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))  # noqa: E731
    command = toy.on("train-teacher", "-s", "teacher.steps=60")
    ended = toy.call(*command, folder=tmp_path, setup=full)
    assert ended.code == 74
    assert "bytes needed, " in ended.err
    assert "bytes free" in ended.err
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".cgankd", ".lock"}
    assert toy.call(*command, folder=tmp_path).code == 0


@pytest.mark.parametrize("name", ["thesis.tex", "data.json", "preset.toml and more"])
def test_a_folder_of_something_else_is_never_taken_over(tmp_path, name):
    foreign = tmp_path / "run"
    foreign.mkdir()
    for one in name.split(" and "):
        (foreign / one).write_text('{"mine": 1}')
    toy.write_preset(tmp_path)
    before = {path.name: path.read_text() for path in foreign.iterdir()}
    ended = toy.call(*toy.on("train-teacher"), folder=tmp_path)
    assert ended.code == 73
    assert "holds other files" in ended.err
    assert {path.name: path.read_text() for path in foreign.iterdir()} == before


@pytest.mark.slow
def test_a_run_folder_is_known_without_its_mark_and_without_its_preset(run):
    (run / ".cgankd").unlink()
    (run / "preset.toml").unlink()
    RunFolder(run).check()
    (run / "data.json").unlink()
    RunFolder(run).check()


@pytest.mark.slow
def test_a_dry_run_writes_nothing_at_all(run):
    folder = run.absolute().parent
    (folder / "empty").mkdir()
    (run / "data.json").unlink()

    def state() -> dict[str, int]:
        every = [path for path in folder.rglob("*") if not path.name.startswith(".said")]
        return {str(path): path.stat().st_mtime_ns for path in every}

    before = state()
    for out in ("run", "empty", "new"):
        assert toy.call(*toy.on("run", "--dry-run", out=out), folder=folder).code == 0
    assert state() == before


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_folder_that_goes_under_a_run_is_not_made_anew_in_part(tmp_path, how):
    toy.write_preset(tmp_path)
    root = tmp_path / "run"
    command = toy.on("train-teacher", "-s", "teacher.steps=20000")
    process = toy.start(*command, folder=tmp_path, seconds=0.0)
    toy.wait_for(lambda: list(root.glob("teacher/*/checkpoints/step-*")))
    os.rename(root, tmp_path / "other")
    if how == "deleted":
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
    if how == "replaced":
        with runs.locked(root):
            pass
    ended = toy.end(process, tmp_path)
    assert ended.code == 74
    assert "Traceback" not in ended.err
    assert not [path for path in root.rglob("*") if path.name[0] != "."]
    ended = toy.call(*toy.on("train-teacher", "-s", "teacher.steps=60"), folder=tmp_path)
    assert ended.code == 0, ended.err


# Links


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metrics.jsonl", "samples", "checkpoints", "gan.json"])
def test_nothing_is_written_through_a_link_in_the_run_folder(tmp_path, name):
    toy.write_preset(tmp_path)
    outside, gan = tmp_path / "outside", tmp_path / "run" / "gan"
    command = toy.on("train-gan")
    process = toy.start(*command, folder=tmp_path, seconds=0.0)
    toy.wait_for(lambda: (gan / "samples").is_dir())
    toy.kill(process)
    toy.end(process, tmp_path)
    is_folder = (gan / name).is_dir()
    runs.remove(gan / name)
    if is_folder:
        outside.mkdir()
        (outside / "mine").write_text("mine")
    else:
        outside.write_text('{"step": 1}\n')
    before = outside.read_text() if outside.is_file() else "mine"
    (gan / name).symlink_to(outside)
    ended = toy.call(*command, folder=tmp_path, seconds=0.0)
    assert "Traceback" not in ended.err
    if is_folder:
        assert ended.code == 73
        assert "is a link" in ended.err
        assert [path.name for path in outside.iterdir()] == ["mine"]
    else:
        assert ended.code in (0, 65)
        assert outside.read_text() == before


def test_a_run_folder_that_is_a_link_itself_is_taken(tmp_path):
    toy.write_preset(tmp_path)
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    ended = toy.call(*toy.on("train-teacher"), folder=tmp_path)
    assert ended.code == 0, ended.err
    assert (tmp_path / "disk" / "teacher").is_dir()


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match="is a link") as caught, runs.locked(tmp_path / "run"):
        pass
    assert caught.value.code == IN_USE
    assert (tmp_path / "mine").read_text() == "mine"


# What is left over


@pytest.mark.slow
def test_what_interrupted_writers_left_is_swept_wherever_it_is(run):
    for place in ("", "distill", "report", "gan/samples", "students"):
        (run / place / ".tmp-file").write_text("half")
        (run / place / ".tmp-folder").mkdir()
    with runs.locked(run):
        assert not list(run.rglob(".tmp-*"))


@pytest.mark.slow
def test_a_finished_chain_holds_no_checkpoints_and_no_notes_of_parts(run):
    assert not list(run.rglob("checkpoints"))
    assert not list(run.rglob(".made-*"))


# Parts of unfinished artefacts


@pytest.mark.slow
@pytest.mark.parametrize("record", ["generate/pool.json", "dre/dre.json", "gan/gan.json"])
def test_parts_without_their_record_are_never_those_of_other_settings(run, record):
    """The pool was the worst: its old shards stayed beside a new GAN."""
    folder = run.absolute().parent
    (run / record).unlink()
    changes = ["-s", "gan.steps=12", "-s", "dre.features.steps=6"]
    ended = toy.call(*toy.on("run", *changes), folder=folder)
    assert ended.code == 0, ended.err
    assert "has no record; moved to" in ended.err
    shutil.copy(run / "data.json", folder)
    ended = toy.call(*toy.on("run", *changes, out="fresh"), folder=folder)
    assert ended.code == 0, ended.err
    assert toy.contents(run) == {**toy.contents(run), **toy.contents(folder / "fresh")}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["dre/features.safetensors", "dre/features.json"])
def test_a_part_is_loaded_only_as_it_was_made_and_for_the_digest_it_was_made_for(run, part):
    folder, whole = run.absolute().parent, toy.contents(run)
    shutil.rmtree(run / "dre")
    command = toy.on("fit-dre")
    process = toy.start(*command, folder=folder, seconds=0.0)
    toy.wait_for(lambda: (run / "dre" / "ratio-training" / "checkpoints").is_dir())
    toy.kill(process)
    toy.end(process, folder)
    made = (run / part).stat().st_mtime_ns
    assert toy.call(*command, folder=folder).code == 0
    assert (run / part).stat().st_mtime_ns == made  # it was whole, and is not made again
    assert toy.contents(run) == whole
    shutil.rmtree(run / "dre")
    process = toy.start(*command, folder=folder, seconds=0.0)
    toy.wait_for(lambda: (run / "dre" / "ratio-training" / "checkpoints").is_dir())
    toy.kill(process)
    toy.end(process, folder)
    data = bytearray((run / part).read_bytes())
    data[-3] ^= 1
    (run / part).write_bytes(data)
    ended = toy.call(*command, folder=folder)
    assert "it is made again" in ended.err
    assert toy.contents(run) == whole


@pytest.mark.slow
def test_a_damaged_shard_of_an_unfinished_pool_is_drawn_again(run):
    folder, whole = run.absolute().parent, toy.contents(run)
    artefact = pipeline.STAGES["generate"].plan(toy.job(folder, run))[0]
    shards = sorted((run / "generate").glob("*.h5"))
    shutil.rmtree(run / "gan" / "samples")
    # As an interrupted run leaves it: whole shards with their notes, and a record that has begun.
    for path in [*shards, run / "generate" / "bounds.json"]:
        runs.keep_part(path, artefact.digest)
    (run / "generate" / "pool.json").unlink()
    artefact._write(finished=False)
    data = bytearray(shards[0].read_bytes())
    data[len(data) // 2] ^= 1
    shards[0].write_bytes(data)
    other = shards[-1].stat().st_mtime_ns
    ended = toy.call(*toy.on("generate"), folder=folder)
    assert ended.code == 0, ended.err
    assert f"{shards[0].name}: not known to be whole" in ended.err
    assert toy.contents(run) == whole
    assert shards[-1].stat().st_mtime_ns == other or len(shards) == 1


# Nothing stale


@pytest.mark.slow
def test_a_stage_refuses_what_was_made_from_other_settings_however_far_up(run):
    folder = run.absolute().parent
    cases = {
        ("distill", "-s", "seed=1", "-s", "distill.methods=['blkd']"): ["seed: 0 -> 1", "teacher"],
        ("distill", "--rho", "0.5", "-s", "gan.steps=12"): ["gan.steps: 24 -> 12", "gan.json"],
        ("select-rho", "-s", "dre.steps=10"): ["dre.steps: 20 -> 10", "dre.json"],
        ("generate", "-s", "teacher.steps=10"): ["teacher.steps: 150 -> 10", "teacher.json"],
        ("distill", "-s", "rho.seeds=[1]"): ["rho.json", "select-rho --rebuild"],
    }
    for (command, *rest), words in cases.items():
        before = {path: path.stat().st_mtime_ns for path in run.glob("*/*")}
        ended = toy.call(*toy.on(command, *rest), folder=folder)
        assert ended.code == 65, (command, rest)
        for word in [*words, "cgankd"]:
            assert word in ended.err, (word, ended.err)
        assert {path: path.stat().st_mtime_ns for path in run.glob("*/*")} == before
    assert toy.call(*toy.on("distill", "-m", "blkd"), folder=folder).code == 0


@pytest.mark.slow
def test_a_stage_whose_inputs_it_does_not_read_may_be_stale_is_built(run):
    folder = run.absolute().parent
    ended = toy.call(*toy.on("distill", "-m", "blkd", "-s", "gan.steps=12"), folder=folder)
    assert ended.code == 0, ended.err


def test_a_missing_chain_is_named_whole_in_its_order_with_the_one_command_that_builds_it(tmp_path):
    toy.write_preset(tmp_path)
    ended = toy.call(*toy.on("distill"), folder=tmp_path)
    assert ended.code == 65
    commands = ("train-gan", "train-teacher", "fit-dre", "generate", "select-rho")
    places = [ended.err.index(f"`cgankd {command}`") for command in commands]
    assert places == sorted(places)
    assert "`cgankd run`" in ended.err
    assert not (tmp_path / "run").exists()
    ended = toy.call(*toy.on("distill", "-m", "blkd"), folder=tmp_path)
    assert "`cgankd train-teacher`" in ended.err
    assert "train-gan" not in ended.err


def test_a_dry_run_says_what_each_stage_waits_for_and_why_one_cannot_be_built(tmp_path):
    preset = toy.write_preset(tmp_path)
    ended = toy.call(*toy.on("run", "--dry-run"), folder=tmp_path)
    assert "generate: waits for train-gan, train-teacher, fit-dre" in ended.out
    preset.write_text(toy.PRESET.replace("[data]", "[data]\nsource = 'folder'\npath = 'none'"))
    ended = toy.call(*toy.on("run", "--dry-run"), folder=tmp_path)
    assert "train-gan: cannot be built: " in ended.out
    assert "none" in ended.err


def test_writing_where_the_folder_is_gone_is_an_error_of_storage(tmp_path):
    with runs.locked(tmp_path / "run"):
        os.rename(tmp_path / "run", tmp_path / "other")
        with pytest.raises(UserError, match="was moved") as caught:
            runs.write_json(tmp_path / "run" / "gan" / "x.json", {})
        assert caught.value.code == STORAGE
        assert not (tmp_path / "run").exists()
        os.rename(tmp_path / "other", tmp_path / "run")
    job.RunFolder(tmp_path / "run").check()
