"""The summary of a run: what report.json holds."""

from pathlib import Path

from handmade import BLKD, FAKE, NOKD, distilled, make_run, members, summary_of

from cgankd.runs import RunFolder


def test_errors_by_the_number_of_fakes_are_a_curve_where_there_are_several_numbers(tmp_path: Path):
    run = RunFolder(make_run(tmp_path))
    rows = [
        row
        for num, scores in ((0, NOKD), (2, FAKE), (4, BLKD))
        for row in members(f"nokd+fake ({num})", scores, rho=0.5, nfake=num, fakes=num)
    ]
    assert summary_of(tmp_path)["curves"] == []
    distilled(run, "nokd+fake", rows)
    (curve,) = summary_of(tmp_path)["curves"]
    assert [(point["fakes"], point["mean"]) for point in curve["points"]] == [
        (0, 12.0),
        (2, 10.0),
        (4, 12.0),
    ]
    assert curve["published"] == []
