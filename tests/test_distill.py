"""distill: what is said of fakes that are not used, or not to be used."""

from pathlib import Path

import pytest
from planning import job

from cgankd import console, plan, runs
from cgankd.stages import distill
from cgankd.training.machine import Machine


@pytest.mark.parametrize(
    ("changes", "overrides", "words"),
    [
        (["distill.rho=none"], {}, "train without fakes"),
        (["distill.rho=0.5", "distill.nfake=[0]"], {}, "train without fakes"),
        (["distill.rho=selected"], {}, "not recommended"),
        (["distill.rho=0.5"], {}, None),
        (["distill.rho=selected"], {"fakes": "theirs.h5"}, None),
    ],
)
def test_what_is_said_of_fakes_that_are_not_used_or_not_to_be_used(
    finished_run, tmp_path, monkeypatch, changes, overrides, words
):
    monkeypatch.chdir(tmp_path)
    Path("theirs.h5").write_bytes(b"fakes")
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    runs.write_json(finished_run.search, {"finished": True, "best_rho": 0.5, "rho": None})
    for method in ("nokd+fake", "nokd"):  # those without fakes are not spoken of
        asked = job(finished_run, *changes, **overrides, methods=(method,))
        for table in plan.distilled(asked):
            table.finish(made_on={})  # so that nothing is trained
        distill.run(asked, Machine("cpu"))
    assert [words in text for text in said] == [True] * (words is not None)
