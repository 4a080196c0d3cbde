"""What is read of a run folder."""

from pathlib import Path

import pytest
from handmade import NOKD, distilled, finish, make_run, members

from cgankd import preset, report, runs
from cgankd.errors import DATA, UserError
from cgankd.runs import Artefact, RunFolder


def test_no_results_name_the_command_that_makes_them(tmp_path: Path):
    run = RunFolder(tmp_path)
    runs.write_bytes(run.preset, preset.dump(preset.load("digits")).encode())
    distilled(run, "nokd.1234abcd", members("nokd", NOKD))  # set aside
    Artefact(run.distill("blkd"), "distill", {}).begin()  # not finished
    with pytest.raises(UserError, match="no finished students") as caught:
        report.build([tmp_path], tmp_path / "index.html")
    assert caught.value.code == DATA
    assert caught.value.hint == "run `cgankd distill` first"


def test_a_record_without_results_is_refused_by_name(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    finish(run.distill("blkd"), "distill", members=[{"row": "blkd"}])
    with pytest.raises(UserError, match=r"distill/blkd\.json"):
        report.read(tmp_path)
