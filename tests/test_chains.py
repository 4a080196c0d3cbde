"""Runs that differ in their seeds alone: means over whole chains."""

from pathlib import Path

import pytest
from handmade import FAKE, NOKD, distilled, make_run, members, text_of

from cgankd import preset, report, runs
from cgankd.report.chains import over_chains
from cgankd.report.summary import summarise
from cgankd.runs import RunFolder


def chain(root: Path, seed: int, worse: float, *changes: str, without: float = 0.0) -> Path:
    """A run of that seed whose students with fakes err by so much more than FAKE, and a method with
    a teacher that errs by one less than NOKD, and with fakes by `without` more than that.
    """
    run = RunFolder(make_run(root))
    settings = preset.load(run.preset, [f"seed={seed}", *changes])
    runs.write_bytes(run.preset, preset.dump(settings).encode())
    for path in run.root.glob("distill/*.json"):
        path.unlink()
    fewer = {seed: score - 1 for seed, score in NOKD.items()}
    for name, scores, facts in (
        ("nokd", NOKD, {}),
        ("nokd+fake", FAKE, {"rho": 0.7}),
        ("blkd", fewer, {"teacher": "resnet8_x2"}),
        ("blkd+fake", fewer, {"teacher": "resnet8_x2", "rho": 0.7}),
    ):
        more = {"nokd+fake": worse, "blkd+fake": without}.get(name, 0.0)
        moved = {seed: score + more for seed, score in scores.items()}
        distilled(run, name, members(name, moved, **facts))
    return root


def rows(roots: list[Path]) -> dict[str, dict]:
    read = [report.read(root) for root in roots]
    found = over_chains(read, [summarise(records, records.run.root.name) for records in read])
    return {row["method"]: row for row in found}


def test_means_are_over_chains_and_differences_are_paired_within_them(tmp_path, capsys):
    moved = {1: (0.0, -0.5), 2: (1.0, -1.5), 3: (2.0, -1.0)}  # FAKE is 2 below NOKD on the mean
    roots = [
        chain(tmp_path / str(seed), seed, worse, without=without)
        for seed, (worse, without) in moved.items()
    ]
    found = rows(roots)
    assert list(found) == ["nokd", "nokd+fake", "blkd", "blkd+fake"]
    assert (found["nokd"]["mean"], found["nokd"]["deviation"]) == (12, 0)
    assert found["nokd"]["difference"] is None
    fake = found["nokd+fake"]
    assert (fake["mean"], fake["deviation"], fake["chains"]) == pytest.approx((11, 1, 3))
    error = 1 / 3**0.5
    assert (fake["difference"], fake["standard_error"]) == pytest.approx((-1, error))
    assert fake["significant"] is False
    both = found["blkd+fake"]
    assert both["difference"] == pytest.approx(-2)
    assert both["fakes_part"]["difference"] == pytest.approx(-1)
    assert both["fakes_part"]["standard_error"] == pytest.approx(0.5 / 3**0.5)
    assert both["fakes_part"]["significant"] is True
    assert found["blkd"]["fakes_part"]["difference"] is None

    text = text_of(report.build(roots, tmp_path / "index.html"))
    assert "Over 3 chains" in text
    assert "11.00 ± 1.00" in text
    assert text.count("lower is better") == 1, "what holds of several runs is said once"
    said = capsys.readouterr().err
    assert "over 3 chains" in said
    assert "\N{MINUS SIGN}1.00 ± 0.29*" in said, "a star beyond two standard errors"
    assert runs.read_json(tmp_path / "report.json")["chains"][1]["method"] == "nokd+fake"


def test_what_is_no_other_chain_of_the_same_preset_has_no_mean(tmp_path):
    one, again = chain(tmp_path / "a", 1, 0.0), chain(tmp_path / "b", 1, 0.0)
    assert rows([one]) == rows([one, again]) == {}
    longer = chain(tmp_path / "c", 2, 0.0, "gan.steps=7")
    assert rows([one, longer]) == {}
    assert rows([one, chain(tmp_path / "d", 2, 0.0)])
