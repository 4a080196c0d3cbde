"""The logs of training."""

from pathlib import Path

import pytest
from handmade import begun, make_run

from cgankd import report, runs
from cgankd.report import logs
from cgankd.runs import Artefact


def test_a_torn_last_line_of_a_log_is_left_out(tmp_path: Path):
    panels = logs.losses(report.read(make_run(tmp_path)))
    assert panels == {"gan": {"discriminator": [(1, 2.5), (2, 1.5)]}}


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe not UTF-8",
        b"[" * 100_000,
        b'{"step": NaN, "generator": 1.0}',
        b'{"step": "3", "generator": 1.0}',
        b'{"step": -3, "generator": 1.0}',
        b'{"step": 3.5, "generator": 1.0}',
        b'{"generator": 1.0}',
        b'{"step": 3, "generator": null}',
        b'{"step": 3, "generator": "low"}',
        b'{"step": 3, "generator": Infinity}',
        b'{"step": 3, "generator": 1' + b"0" * 5000 + b"}",
        b'{"step": 3}',
        b'[3, {"generator": 1.0}]',
        b"",
    ],
    ids=lambda line: line[:24],
)
def test_a_line_that_holds_no_step_with_its_losses_is_left_out(tmp_path: Path, line: bytes):
    run = begun(tmp_path)
    good = [b'{"step": 1, "generator": 2.5}', b'{"step": 4, "generator": 1}']
    log = run.gan.parent / "metrics.jsonl"
    runs.write_bytes(log, b"\n".join([good[0], line, good[1]]))
    panels = logs.losses(report.read(tmp_path))
    assert panels == {"gan": {"generator": [(1, 2.5), (4, 1)]}}
    assert logs.last_step(log) == 4


def test_a_log_that_is_no_file_is_left_out(tmp_path: Path):
    run = begun(tmp_path)
    (run.gan.parent / "metrics.jsonl").mkdir(parents=True)
    assert logs.losses(report.read(tmp_path)) == {}


def test_of_a_gan_that_goes_on_the_newest_sheets_are_shown_and_of_a_finished_one_the_last(
    tmp_path: Path,
):
    run = begun(tmp_path)
    for name in ("step-00000900", "step-00001000", "step-00000100", "step-00000200", "step-x", "y"):
        runs.write_bytes(run.gan.parent / "samples" / f"{name}.png", b"")
    assert list(logs.sample_sheets(report.read(tmp_path))) == [200, 900, 1000]
    Artefact(run.gan, "train-gan", {}).finish(made_on={})
    assert list(logs.sample_sheets(report.read(tmp_path))) == [1000]
