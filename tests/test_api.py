"""Runs from Python: the checks, the lock and the results of the command line."""

import shutil
import subprocess
import sys

import pytest

import cgankd
from cgankd import runs
from cgankd.runs import RunFolder


def test_importing_costs_nothing_heavy():
    heavy = "{'torch', 'numpy', 'pydantic', 'typer', 'rich'}"
    program = f"import sys, cgankd; print(*({heavy} & set(sys.modules)), cgankd.__version__)"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert child.stdout.decode().split() == [cgankd.__version__]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Rum'"):
        cgankd.Rum  # noqa: B018


def test_a_run_checks_its_preset_and_its_folder(tmp_path):
    with pytest.raises(cgankd.UserError, match=r"unknown key gan\.stpes; did you mean steps"):
        cgankd.Run(tmp_path / "run", changes=["gan.stpes=3"])
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(cgankd.UserError, match="holds other files") as caught:
        cgankd.Run(tmp_path)
    assert caught.value.code == 73
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_another_holds_is_refused(tmp_path):
    run = cgankd.Run(tmp_path / "run")
    with runs.locked(run.folder), pytest.raises(cgankd.UserError, match="is in use") as caught:
        run.build("train-gan")
    assert caught.value.code == 73


def test_an_input_that_is_missing_is_told_before_a_folder_is_made(tmp_path):
    run = cgankd.Run(tmp_path / "run")
    with pytest.raises(cgankd.UserError, match="not found") as caught:
        run.build("fit-dre")
    assert "cgankd train-gan" in caught.value.hint
    assert not run.folder.exists()


@pytest.mark.slow
def test_a_finished_run_is_continued_by_its_folder_alone(chain, tmp_path):
    kind, root = chain
    folder = shutil.copytree(root, tmp_path / "run")
    run = cgankd.Run(folder, device="cpu")
    assert run.preset.name == kind
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    records = run.build("distill")
    assert records == [RunFolder(folder).distill(method) for method in ("nokd", "nokd+fake")]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    (record,) = run.build("distill", method="blkd", rho=0.5)
    assert runs.finished(record, "distill")["members"][0]["row"] == "blkd"
    rows = [row["method"] for row in run.results()["methods"]]
    assert rows == ["nokd", "nokd+fake", "blkd"]
