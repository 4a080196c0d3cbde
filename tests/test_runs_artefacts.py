"""Artefacts: their records, states and digests, and how they make room."""

import hashlib

import pytest

from cgankd import runs
from cgankd.errors import UserError
from cgankd.runs import Artefact

MADE_ON = {"device": "cpu"}


def artefact(root, inputs=None, **options) -> Artefact:
    return Artefact(
        root / "gan" / "gan.json",
        "train-gan",
        inputs or {"gan": {"steps": 5, "width": 4}},
        **options,
    )


def finish(made: Artefact, text: str = "weights", **facts) -> None:
    made.begin()
    (made.folder / "part.bin").write_text(text)
    made.finish([made.folder / "part.bin"], made_on=MADE_ON, **facts)


def test_an_artefact_is_missing_then_begun_then_done_and_other_for_other_inputs(tmp_path):
    made = artefact(tmp_path)
    assert made.state() == "missing"
    made.begin()
    assert made.state() == "begun"
    finish(made)
    assert made.state() == "done"
    assert artefact(tmp_path, {"gan": {"steps": 6, "width": 4}}).state() == "other"


def test_beginning_again_keeps_what_was_begun_and_sweeps(tmp_path):
    made = artefact(tmp_path)
    made.begin()
    before = made.record.stat().st_mtime_ns
    (made.folder / ".tmp-x").write_text("torn")
    (made.folder / "checkpoints").mkdir()
    made.begin()
    assert made.record.stat().st_mtime_ns == before
    assert {path.name for path in made.folder.iterdir()} == {"gan.json", "checkpoints"}


def test_the_digest_of_the_content_covers_files_and_facts_and_not_the_machine(tmp_path):
    def content(name: str, text: str = "weights", **options) -> str:
        made = artefact(tmp_path / name)
        made.begin()
        (made.folder / "part.bin").write_text(text)
        made.finish([made.folder / "part.bin"], **{"made_on": MADE_ON, "score": 1.5, **options})
        return runs.content_of(made.record, "train-gan")

    same = content("a")
    assert content("b", made_on={"device": "cuda", "threads": 9}) == same
    assert content("c", text="Weights") != same
    assert content("d", score=1.25) != same


def test_a_record_says_how_the_artefact_was_made(tmp_path):
    made = artefact(tmp_path)
    finish(made, score=2.0)
    record = runs.finished(made.record, "train-gan")
    assert record["inputs"] == made.inputs
    assert record["digest"] == made.digest
    assert record["score"] == 2.0
    assert record["files"] == {"part.bin": hashlib.sha256(b"weights").hexdigest()}
    assert record["made_on"]["device"] == "cpu"
    assert {"python", "torch", "numpy", "time"} <= set(record["made_on"])


def test_a_missing_or_unfinished_artefact_names_the_command_that_makes_it(tmp_path):
    made = artefact(tmp_path)
    with pytest.raises(UserError, match="not found") as caught:
        runs.finished(made.record, "train-gan")
    assert "cgankd train-gan" in caught.value.hint
    assert caught.value.code == 65
    made.begin()
    with pytest.raises(UserError, match="not finished") as caught:
        runs.content_of(made.record, "train-gan")
    assert "cgankd train-gan" in caught.value.hint


def test_files_that_changed_or_went_are_noticed(tmp_path):
    made = artefact(tmp_path)
    finish(made)
    assert runs.verify_files(made.record, "train-gan")["finished"]
    (made.folder / "part.bin").write_text("Weights")
    with pytest.raises(UserError, match=r"part\.bin has other content") as caught:
        runs.verify_files(made.record, "train-gan")
    assert "--rebuild" in caught.value.hint
    (made.folder / "part.bin").unlink()
    with pytest.raises(UserError, match=r"part\.bin is missing"):
        runs.verify_files(made.record, "train-gan")


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname"])
def test_a_record_cannot_name_files_outside_its_folder(tmp_path, name):
    (tmp_path / "outside").write_text("x")
    made = artefact(tmp_path)
    finish(made)
    runs.write_json(made.record, {**runs.read_json(made.record), "files": {name: "0" * 64}})
    with pytest.raises(UserError, match="outside its folder"):
        runs.verify_files(made.record, "train-gan")


def test_setting_aside_keeps_every_old_artefact_under_its_digest(tmp_path):
    made = artefact(tmp_path)
    for text in ("one", "two", "three"):
        finish(made, text)
        made.set_aside()
    names = {path.name: (path / "part.bin").read_text() for path in tmp_path.iterdir()}
    old = f"gan.{made.digest[:8]}"
    assert names == {old: "one", f"{old}-2": "two", f"{old}-3": "three"}


def test_a_record_that_shares_its_folder_is_set_aside_alone(tmp_path):
    made = artefact(tmp_path, owns_folder=False)
    finish(made)
    assert made.set_aside().name == f"gan.{made.digest[:8]}.json"
    assert (tmp_path / "gan" / "part.bin").exists()
    assert made.state() == "missing"


def test_the_difference_names_the_keys_with_both_values(tmp_path):
    finish(artefact(tmp_path))
    assert artefact(tmp_path, {"gan": {"steps": 6, "width": 4}, "new": 1}).difference() == (
        "gan.steps: 5 -> 6; new: - -> 1"
    )
    many = artefact(tmp_path, {f"key{index}": index for index in range(6)}).difference()
    assert many.count("->") == 4
    assert many.endswith("and 4 more")
