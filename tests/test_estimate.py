"""What a run will cost: counted by hand, and as the networks that are really trained."""

import pytest
import torch
from torch import nn

from cgankd import console, pipeline, plan, preset, sources
from cgankd.job import Job, Overrides
from cgankd.plan import estimate
from cgankd.plan.estimate import Cost
from cgankd.runs import RunFolder


def job(folder, *changes: str, name: str = "digits", **overrides) -> Job:
    """A job for which nothing is made yet."""
    settings = preset.load(name, list(changes))
    return Job(settings, RunFolder(folder / "none"), overrides=Overrides(**overrides))


def costs(job: Job) -> list[Cost]:
    label = sources.known_label(job.preset.data)
    assert label, "known without reading any data"
    return estimate.costs(job, label)


def test_what_a_step_keeps_is_each_tensor_once_and_no_weight():
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Linear(10, 20, bias=False), nn.ReLU(), nn.Linear(20, 5, bias=False)
        )
        images = torch.zeros(8, 10)
    kept, operations = estimate._forward(network, images)
    assert kept == 4 * 8 * (10 + 20), "the input, and what ReLU gives, which is used twice"
    assert operations == 8 * (10 * 20 + 20 * 5)


def test_a_convolution_takes_a_multiply_add_for_each_weight_and_place():
    with torch.device("meta"):
        network = nn.Conv2d(3, 4, 3, padding=1)
        images = torch.zeros(2, 3, 8, 8)
    assert estimate._forward(network, images)[1] == 2 * 8 * 8 * 4 * 3 * 9


def test_networks_are_small_where_the_largest_is():
    """Then one thread trains them, whatever the machine has."""
    small = {name: preset.load(name) for name in ("digits", "digits-angle", "cifar10-c10k")}
    labels = {name: sources.known_label(one.data) for name, one in small.items()}
    assert estimate.is_small(small["digits"], labels["digits"])
    assert estimate.is_small(small["digits-angle"], labels["digits-angle"])
    assert not estimate.is_small(small["cifar10-c10k"], labels["cifar10-c10k"])
    wide = preset.load("digits", ["teacher.networks=['resnet50', 'resnet8']"])
    assert not estimate.is_small(wide, labels["digits"]), "whichever network it is"


def test_networks_steps_and_students_are_those_of_the_preset(tmp_path):
    changes = [
        "rho.grid=[0.7, 1.0]",
        "distill.seeds=[0, 1, 2, 3]",
        "distill.methods=['nokd', 'takd+fake']",
    ]
    found = {(cost.stage, cost.name): cost for cost in costs(job(tmp_path, *changes))}
    teacher = found["train-teacher", "resnet8"]
    assert (teacher.parameters, teacher.steps, teacher.num) == (78042, 1500, 1)
    assert teacher.disk == 4 * 78042
    assert teacher.memory > 3 * 4 * 78042
    generator, discriminator = found["train-gan", "generator"], found["train-gan", "discriminator"]
    assert (generator.steps, discriminator.steps) == (1800, 3600)
    students = {key: cost.num for key, cost in found.items() if key[0] in ("select-rho", "distill")}
    assert students == {
        ("select-rho", "resnet8_x0_25 nokd"): 5,
        ("select-rho", "resnet8_x0_25 nokd+fake"): 10,
        ("distill", "resnet8_x0_5 blkd+fake"): 4,
        ("distill", "resnet8_x0_25 nokd"): 4,
        ("distill", "resnet8_x0_25 takd+fake"): 4,
    }


def test_a_budget_of_epochs_counts_the_fakes(tmp_path):
    changes = [
        "distill.budget=epochs",
        "distill.epochs=3",
        "distill.batch=32",
        "distill.rho=0.5",
        "distill.methods=['nokd', 'fake']",
    ]
    asked = job(tmp_path, *changes)
    found = {cost.name: cost.steps for cost in costs(asked) if cost.stage == "distill"}
    assert found["resnet8_x0_25 nokd"] == 3 * 4  # 100 images in batches of 32
    assert found["resnet8_x0_25 nokd+fake"] == 3 * 50  # and 1,500 fakes


@pytest.mark.slow
def test_methods_with_more_views_keep_more(tmp_path):
    found = {
        cost.name: cost.memory
        for method in ("blkd", "blkd+uda", "sskd")
        for cost in costs(job(tmp_path, "distill.sskd.head.steps=1", methods=(method,)))
        if cost.stage == "distill"
    }
    one, two, four = (found[f"resnet8_x0_25 {method}"] for method in ("blkd", "blkd+uda", "sskd"))
    assert 1.8 * one < two < 2 * one
    assert 3.5 * one < four < 4 * one


@pytest.mark.slow
def test_costs_wait_for_data_that_cannot_be_read(tmp_path, monkeypatch):
    changes = [
        "data.source=utkface",
        "data.num_train=auto",
        "data.num_validation=auto",
        f"data.path={tmp_path / 'x'}",
        "distill.budget=epochs",
        "distill.epochs=2",
    ]
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    assert pipeline.costs(job(tmp_path, *changes, name="digits-angle")) == []
    assert said == [f"costs: not known (utkface: {tmp_path / 'x'} not found)"]


def test_a_continuous_label_has_its_own_networks(tmp_path):
    asked = job(tmp_path, "distill.head=8", name="digits-angle")
    found = {cost.name: cost for cost in costs(asked)}
    assert found["resnet8_x0_25 nokd"].parameters == 5061 - 17 + (17 + 9) * 8 + 2 * 16 + 9
    assert found["resnet8"].parameters == 77_457, "the teacher has no such head"
    assert found["decoder"].disk == 0 < found["decoder"].parameters, (
        "it trains the features, and is not kept"
    )
    assert (found["types"].parameters, found["types"].stage) == (78042, "evaluate"), (
        "a resnet8 for ten types"
    )


def test_the_pool_is_images_and_a_few_numbers_each():
    settings = preset.load("digits")
    size = estimate.pool_bytes(settings, sources.known_label(settings.data))
    assert size == 10 * 300 * (3 * 16 * 16 + 40 + 40)


KNOWN = [
    name for name in preset.names() if preset.load(name).data.numbers
]  # utkface: once its data are there


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name.startswith("digits") else pytest.mark.slow)
        for name in KNOWN
    ],
)
def test_the_cost_of_every_preset_is_known_before_it_runs(tmp_path, name):
    asked = job(tmp_path, name=name)
    found = costs(asked)
    stages = {stage.name for stage in plan.chain_of(asked.preset)}
    assert {cost.stage for cost in found} == stages - {"generate"}, "generate trains nothing"
    assert all(cost.parameters > 0 and cost.memory > 0 for cost in found)
