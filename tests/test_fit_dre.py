"""fit-dre: whether what was fitted is a density ratio."""

import math
from dataclasses import replace

import pytest
import torch
import toy
from torch import tensor

from cgankd import console, pipeline, runs
from cgankd.data.batches import Images, outputs_of
from cgankd.errors import UserError
from cgankd.fakes import verdict
from cgankd.fakes.ratio import auc
from cgankd.models.saved import load_network
from cgankd.stages import fit_dre
from cgankd.stages.students import StudentInputs
from cgankd.training.machine import Machine


@pytest.mark.parametrize(
    "ratios",
    [
        torch.ones(100),
        torch.linspace(0.1, 2, 100),
        torch.cat([torch.zeros(90), tensor([10.0] * 10)]),
    ],
)
def test_ratios_with_a_mean_about_one_and_spread_weights_pass(ratios):
    fit_dre.check(ratios, 0.1)


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        (torch.zeros(100), "mean 0 .* share of 0.0%"),
        (torch.full((100,), 0.05), "mean 0.05"),
        (torch.full((100,), 20.0), "mean 20"),
        (torch.eye(100)[0] * 100, "mean 1 .* share of 1.0%"),
        (torch.full((100,), math.nan), "mean nan"),
    ],
)
def test_what_is_no_density_ratio_is_refused_and_lambda_named(ratios, words):
    with pytest.raises(UserError, match=words) as caught:
        fit_dre.check(ratios, 0.001)
    assert caught.value.code == 70
    assert "dre.penalty (lambda) = 0.001" in str(caught.value)
    assert "raise dre.penalty" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["digits"], indirect=True)
def test_a_ratio_that_has_learned_nothing_is_warned_of_and_its_auc_is_that_of_unseen_images(
    copied, monkeypatch
):
    job = toy.job(*copied)
    said: list[str] = []
    judged: list[torch.Tensor] = []

    def measured(real, fake):
        judged.extend([real, fake])
        return auc(real, fake)

    monkeypatch.setattr(console, "warn", said.append)
    monkeypatch.setattr(fit_dre, "auc", measured)
    pipeline.build_stage("fit-dre", replace(job, rebuild=True))
    record = runs.read_json(job.run.dre)
    real, fake = judged
    assert record["auc"] == auc(real, fake)
    assert (len(real), len(fake)) == (200, 2000)
    ratio, features = (
        load_network(job.run.dre.parent, name, torch.device("cpu"))
        for name in ("ratio", "features")
    )
    unseen = StudentInputs(job, Machine("cpu")).splits["validation"]
    with torch.no_grad():
        known = outputs_of(features, Images(unseen.pixels, unseen.labels))
        expected = ratio(known, unseen.labels)
    assert torch.allclose(real.sort().values, expected.sort().values, atol=1e-5)
    why = verdict.idle(record["auc"], record["effective_share"])
    assert why, "twenty steps"
    assert [why in text and "subsampling is idle" in text for text in said] == [True]
