"""Checkpoints: whole or absent, checked before they are trusted, never lost to a failed write."""

import errno
import hashlib
import json
import os
import pickle
import shutil

import pytest
import torch

from cgankd import runs
from cgankd.errors import UserError
from cgankd.training import checkpoint

FACTS = {"device": "cpu", "threads": 1}


def state(step: int) -> dict[str, torch.Tensor]:
    weights = torch.arange(6.0).view(2, 3) + step
    return {
        "objective.weight": weights,
        "view": weights.t(),
        "optimizer.0.step": torch.tensor(step),
        "empty": torch.empty(0),
    }


def write(folder, *steps: int, digest: str = "digest") -> None:
    for step in steps:
        checkpoint.write(folder, step, state(step), digest, FACTS)


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def is_at(folder, step: int) -> None:
    found, tensors = checkpoint.newest(folder, "digest", FACTS)
    assert found == step
    expected = state(step) if step else {}
    assert set(tensors) == set(expected)
    assert all(
        torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype
        for name, value in expected.items()
    )


def test_the_newest_checkpoint_comes_back_as_it_was_and_the_two_newest_are_kept(tmp_path):
    is_at(tmp_path / "absent", 0)
    for step in (5, 10, 100):
        write(tmp_path, step)
        is_at(tmp_path, step)
    assert names(tmp_path) == {"step-00000010", "step-00000100"}


def test_the_newest_is_that_of_the_largest_step_whatever_the_clock_says(tmp_path):
    write(tmp_path, 10, 20)
    os.utime(tmp_path / "step-00000020", (0, 0))
    is_at(tmp_path, 20)


def cut_off(folder) -> None:
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def flip_a_bit(folder) -> None:
    path = folder / "state.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 16
    path.write_bytes(data)


def cut_off_manifest(folder) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:20])


DAMAGES = {
    "truncated": cut_off,
    "bit flipped": flip_a_bit,
    "without manifest": lambda folder: (folder / "manifest.json").unlink(),
    "without state": lambda folder: (folder / "state.safetensors").unlink(),
    "torn manifest": cut_off_manifest,
    "manifest of a list": lambda folder: (folder / "manifest.json").write_text("[]"),
    "empty": lambda folder: [path.unlink() for path in list(folder.iterdir())],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_older_one_used(tmp_path, capsys, damage):
    write(tmp_path, 10, 20)
    damage(tmp_path / "step-00000020")
    is_at(tmp_path, 10)
    warning = capsys.readouterr().err
    assert "warning: checkpoint step-00000020 is damaged and skipped" in warning
    write(tmp_path, 20)  # training goes on from 10 and comes here again
    is_at(tmp_path, 20)


def test_where_all_are_damaged_training_starts_anew(tmp_path):
    write(tmp_path, 10, 20)
    for folder in tmp_path.iterdir():
        flip_a_bit(folder)
    is_at(tmp_path, 0)


def test_a_pickle_in_the_place_of_tensors_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "payload ran"),)

    write(tmp_path, 10, 20)
    data = pickle.dumps(Payload())
    (tmp_path / "step-00000020" / "state.safetensors").write_bytes(data)
    manifest = tmp_path / "step-00000020" / "manifest.json"
    runs.write_json(
        manifest, {**runs.read_json(manifest), "sha256": hashlib.sha256(data).hexdigest()}
    )
    is_at(tmp_path, 10)
    assert not (tmp_path / "payload ran").exists()


def test_the_checkpoint_of_other_settings_is_refused(tmp_path):
    write(tmp_path, 10)
    with pytest.raises(UserError, match="step-00000010 was made by other settings") as caught:
        checkpoint.newest(tmp_path, "other", FACTS)
    assert caught.value.code == 65
    assert f"move {tmp_path} away" in caught.value.hint


def test_going_on_elsewhere_is_said_to_be_inexact(tmp_path, capsys):
    write(tmp_path, 10)
    checkpoint.newest(tmp_path, "digest", FACTS)
    assert capsys.readouterr().err == ""
    step, _ = checkpoint.newest(tmp_path, "digest", {"device": "cuda", "threads": 1})
    assert step == 10
    warning = capsys.readouterr().err
    assert "not bit-identically: device cpu -> cuda" in warning
    assert "threads" not in warning


CALLS = [
    ("rename", 1),
    *((call, nth) for call in ("create", "replace") for nth in (1, 2)),
    *(("fsync", nth) for nth in range(1, 6)),
]


@pytest.mark.parametrize(("call", "nth"), CALLS)
def test_a_failed_write_leaves_the_older_checkpoint_and_no_trace(tmp_path, monkeypatch, call, nth):
    write(tmp_path, 10)
    name = "open" if call == "create" else call
    real, calls = getattr(os, name), []

    def fail(*arguments, **options):
        if call != "create" or arguments[1] & os.O_CREAT:
            calls.append(arguments)
            if len(calls) >= nth:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(UserError, match="no space left") as caught:
        write(tmp_path, 20)
    monkeypatch.undo()
    assert caught.value.code == 74
    renamed = (call, nth) == (
        "fsync",
        5,
    )  # the checkpoint stands, only its name may not be durable yet
    assert names(tmp_path) == ({"step-00000010", "step-00000020"} if renamed else {"step-00000010"})
    is_at(tmp_path, 20 if renamed else 10)
    write(tmp_path, 20)
    is_at(tmp_path, 20)


def test_what_an_interrupted_writer_left_is_swept(tmp_path):
    write(tmp_path, 10)
    shutil.copytree(tmp_path / "step-00000010", tmp_path / ".tmp-torn")
    is_at(tmp_path, 10)
    assert names(tmp_path) == {"step-00000010"}


def test_only_checkpoints_are_counted_as_such(tmp_path):
    write(tmp_path, 10)
    for name in ("step-", "step-x", "step-00000099.old", "other"):
        (tmp_path / name).mkdir()
    is_at(tmp_path, 10)


def test_removing_drops_the_folder_and_may_be_repeated(tmp_path):
    write(tmp_path / "checkpoints", 10)
    write(tmp_path / "features-training" / "checkpoints", 10)
    checkpoint.remove(tmp_path)
    checkpoint.remove(tmp_path)
    assert not list(tmp_path.rglob("*checkpoints*"))


@pytest.mark.parametrize("change", [{"step": 30}, {"step": None}], ids=["another", "none"])
def test_a_manifest_whose_step_is_not_that_of_its_folder_is_damaged(tmp_path, change):
    write(tmp_path, 10, 20)
    manifest = tmp_path / "step-00000020" / "manifest.json"
    values = {**json.loads(manifest.read_text()), **change}
    manifest.write_text(
        json.dumps({key: value for key, value in values.items() if value is not None})
    )
    is_at(tmp_path, 10)
