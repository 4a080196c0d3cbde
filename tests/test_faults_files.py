"""Whatever a run folder holds is used only as it was written: no flip, cut or changed digit of any
file is used in silence.
"""

import re
import shutil
from pathlib import Path

import faults_toy as toy
import pytest

from cgankd import fakes, job, pipeline, runs
from cgankd.deploy import loading
from cgankd.errors import DATA, UserError

RECORDS = {
    "gan/gan.json": "train-gan",
    "teacher/*/teacher.json": "train-teacher",
    "dre/dre.json": "fit-dre",
    "generate/pool.json": "generate",
    "rho/rho.json": "select-rho",
    "students/*/student.json": "distill",
    "distill/*.json": "distill",
}
FILES = [
    "gan/generator.safetensors",
    "gan/generator.json",
    "gan/condition.json",
    "dre/features.safetensors",
    "dre/features.json",
    "dre/ratio.safetensors",
    "teacher/*/network.safetensors",
    "teacher/*/network.json",
    "students/*/network.safetensors",
    "students/*/network.json",
    "generate/pool-00000.h5",
]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def digit(path: Path) -> None:
    """Another last digit of the last number, which is as well formed as it was."""
    text = path.read_bytes()
    *_, number = re.finditer(rb"[0-9]", text)
    other = b"%d" % ((int(number[0]) + 1) % 10)
    path.write_bytes(text[: number.start()] + other + text[number.end() :])


DAMAGES = [flip, cut, empty, gone, digit]


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("pattern", RECORDS)
def test_a_record_that_is_not_as_it_was_written_is_never_read_as_finished(run, pattern, damage):
    record, command = first(run, pattern), RECORDS[pattern]
    assert runs.finished(record, command)["finished"]
    damage(record)
    with pytest.raises(UserError) as caught:
        runs.finished(record, command)
    assert caught.value.code == DATA
    assert str(record) in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("pattern", FILES)
def test_a_file_that_is_not_as_it_was_recorded_is_never_used(run, pattern, damage):
    path = first(run, pattern)
    (record,) = (one for one in path.parent.glob("*.json") if "finished" in one.read_text())
    command = runs.read_json(record)["command"]
    runs.verify_files(record, command)
    damage(path)
    with pytest.raises(UserError, match=re.escape(path.name)) as caught:
        runs.verify_files(record, command)
    assert f"`cgankd {command} --rebuild`" in caught.value.hint
    readers = {"students": loading.load, "teacher": loading.load, "generate": fakes.Pool}
    if reader := readers.get(path.relative_to(run).parts[0]):
        with pytest.raises(UserError):
            reader(record)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, cut, empty, digit])
def test_damaged_facts_of_the_data_are_named_and_found_anew_where_they_are_removed(run, damage):
    known = runs.read_json(run / "data.json")
    damage(run / "data.json")
    with pytest.raises(UserError, match=r"data\.json") as caught:
        pipeline.build_chain(job.make_job(run, device="cpu"))
    assert caught.value.code == DATA
    assert "move it away" in caught.value.hint
    (run / "data.json").unlink()
    pipeline.build_chain(job.make_job(run, device="cpu"))
    assert runs.read_json(run / "data.json") == known


@pytest.mark.slow
@pytest.mark.parametrize("text", [b"", b"\xff", b"[data", b"data = 1", b"[" * 5000])
def test_an_unreadable_preset_of_the_folder_gets_one_clear_message(run, text):
    (run / "preset.toml").write_bytes(text)
    with pytest.raises(UserError, match="preset"):
        job.make_job(run)


def test_json_that_says_anything_else_than_was_written_is_refused(tmp_path):
    path = tmp_path / "x.json"
    value = {"a": [1, 2.5, None, {"b": "c"}], "nan": float("inf")}
    runs.write_json(path, value)
    assert runs.read_json(path) == value
    written = path.read_text()
    path.write_text(written.replace("\n", "\n  "))  # the same, indented
    assert runs.read_json(path) == value
    for old, new in [("2.5", "2.50001"), ('"c"', '"d"'), ("null", "0"), ('"a"', '"A"')]:
        path.write_text(written.replace(old, new))
        with pytest.raises(UserError, match="changed since it was written"):
            runs.read_json(path)
    path.write_text('{"finished": true}')
    with pytest.raises(UserError, match="another version"):
        runs.read_json(path)


@pytest.mark.slow
def test_a_fact_that_is_missing_or_of_another_type_is_named(run):
    record = run / "rho" / "rho.json"
    for found in ({}, {"best_rho": "much"}, {"best_rho": True}):
        said = {**runs.read_json(record), "best_rho": None, **found}
        runs.write_json(record, said)
        with pytest.raises(UserError, match=r"rho\.json: has no usable best_rho"):
            runs.fact(record, "select-rho", "best_rho", (int, float))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, digit])
@pytest.mark.parametrize("pattern", ["rho/rho.json", "teacher/*/teacher.json", "distill/*.json"])
def test_the_command_names_a_damaged_record_and_builds_it_anew_when_told_to(run, pattern, damage):
    folder, whole = run.absolute().parent, toy.contents(run)
    record = first(run, pattern)
    command = runs.read_json(record)["command"]
    damage(record)
    ended = toy.call(*toy.on(command), folder=folder)
    assert (ended.code, ended.out) == (65, "")
    assert str(record) in ended.err
    assert f"`cgankd {command} --rebuild`" in ended.err
    ended = toy.call(*toy.on(command, "--rebuild"), folder=folder)
    assert ended.code == 0, ended.err
    assert toy.contents(run) == whole


@pytest.mark.slow
def test_the_weights_of_a_finished_student_are_verified_before_they_are_scored(run):
    folder, whole = run.absolute().parent, toy.contents(run)
    student = first(run, "students/*nokd-seed0*/network.safetensors")
    flip(student)
    (run / "distill" / "nokd.json").unlink()  # its scores are to be taken again
    ended = toy.call(*toy.on("distill"), folder=folder)
    assert ended.code == 65
    assert "has other content than recorded" in ended.err
    ended = toy.call(*toy.on("distill", "--rebuild"), folder=folder)
    assert ended.code == 0, ended.err
    assert "damaged; moved to" in ended.err
    shutil.rmtree(next(run.glob("students/*.*")))
    assert toy.contents(run) == whole


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("pattern", [*RECORDS, *FILES])
def test_a_whole_run_over_any_damage_says_so_or_makes_the_same_bits(run, pattern, damage):
    folder, whole = run.absolute().parent, toy.contents(run)
    path = first(run, pattern)
    damage(path)
    ended = toy.call(*toy.on("run", "-s", "distill.seeds=[0, 1]"), folder=folder)
    assert ended.code in (0, 65), ended.err
    assert "Traceback" not in ended.err
    if ended.code == 65:
        assert path.name in ended.err
    else:
        made = toy.contents(run)
        before = {name: data for name, data in whole.items() if not name.endswith("kd.json")}
        same = {name for name, data in before.items() if made.get(name) == data}
        assert before.keys() - same <= {str(path.relative_to(run)), "nokd+fake.json"}
