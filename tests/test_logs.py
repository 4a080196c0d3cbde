"""The logs of training."""

from pathlib import Path

from handmade import make_run

from cgankd import report
from cgankd.report import logs


def test_a_torn_last_line_of_a_log_is_left_out(tmp_path: Path):
    panels = logs.losses(report.read(make_run(tmp_path)))
    assert panels == {"gan": {"discriminator": [(1, 2.5), (2, 1.5)]}}
