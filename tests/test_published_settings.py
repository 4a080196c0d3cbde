"""The published settings: presets say what the papers say."""

import math

import pytest

from cgankd.plan.specs import ABLATION
from cgankd.preset import load

CIFAR = {"cifar10-c50k": 40000, "cifar10-c20k": 16000, "cifar10-c10k": 8000}


ROWS = {**CIFAR, "tiny-imagenet": 80000}


@pytest.mark.parametrize("name", ROWS)
def test_published_epochs_are_counted_in_steps_of_the_training_rows(name):
    settings, rows = load(name), ROWS[name]
    assert settings.data.num_train == rows == 4 * settings.data.num_validation
    epochs = 350 * math.ceil(rows / 128)
    for training in (settings.teacher, settings.dre.features, settings.distill):
        assert (training.steps, training.batch) == (epochs, 128)
        falls = [
            next(step for step in range(epochs) if step / epochs >= share)
            for share in training.milestones
        ]
        assert falls == [epochs // 350 * 150, epochs // 350 * 250]
    assert (settings.dre.steps, settings.dre.batch) == (350 * math.ceil(rows / 512), 512)
    head = settings.distill.sskd.head
    assert head.steps == 60 * rows / head.batch


@pytest.mark.parametrize("name", ROWS)
def test_published_weights_of_distillation_are_those_of_the_kl_per_image(name):
    settings = load(name).distill
    classes, weight = (200, 0.0625) if name == "tiny-imagenet" else (10, 1.25)
    assert (
        settings.match_weight * settings.temperature**2
        == pytest.approx(weight)
        == 0.5 * 25 / classes
    )
    assert settings.uda.match_weight * settings.temperature**2 == 12.5
    assert settings.label_weight == settings.uda.label_weight == 0.5


def test_each_published_size_has_its_own_gan_and_rho():
    found = {name: load(name) for name in ROWS}
    assert [one.gan.steps for one in found.values()] == [48000, 18000, 24000, 100000]
    assert [len(one.gan.diffaugment) for one in found.values()] == [0, 3, 3, 3]
    assert [one.distill.rho for one in found.values()] == [0.9, 0.6, 0.7, 0.5]
    assert [one.dre.features.size for one in found.values()] == [
        3 * one.data.size**2 for one in found.values()
    ]


@pytest.mark.parametrize("name", ROWS)
def test_the_pool_suffices_for_the_number_of_fakes_at_every_rho(name):
    settings, classes = load(name), 200 if name == "tiny-imagenet" else 10
    wanted = settings.distill.nfake / classes
    assert settings.generate.per_label * min(settings.search.grid) >= 1.5 * wanted


def test_published_errors_are_those_of_the_tables():
    results = {
        name: {
            (line.teacher, line.student, method): error
            for line in load(name).paper.results
            for method, error in line.errors.items()
            if method != "nokd"
        }
        for name in CIFAR
    }
    assert [len(found) for found in results.values()] == [9 * 5 + 2 * 2 + 9 * 2] * 3
    for name, teacher, student, method, error in [
        ("cifar10-c50k", "densenet121", "efficientnet-b0", "blkd+fake", 5.59),
        ("cifar10-c50k", "mobilenetv2", "shufflenetv2", "takd+fake", 5.88),
        ("cifar10-c50k", "resnet18", "vgg11", "sskd+fake", 5.63),
        ("cifar10-c50k", "densenet121", "shufflenetv2", "blkd+uda+fake", 4.94),
        ("cifar10-c20k", "mobilenetv2", "vgg11", "takd+fake", 9.39),
        ("cifar10-c20k", "densenet121", "efficientnet-b0", "blkd+uda", 11.56),
        ("cifar10-c20k", "resnet18", "shufflenetv2", "nokd+fake", 11.00),
        ("cifar10-c10k", "densenet121", "efficientnet-b0", "takd", 17.47),
        ("cifar10-c10k", "mobilenetv2", "vgg11", "takd+fake", 12.28),
        ("cifar10-c10k", "resnet18", "shufflenetv2", "sskd", 12.30),
    ]:
        assert results[name][teacher, student, method] == error


@pytest.mark.parametrize("name", CIFAR)
def test_every_published_number_is_one_that_the_preset_measures(name):
    settings = load(name)
    quoted = {method for line in settings.paper.results for method in line.errors}
    assert quoted == set(settings.distill.methods)
    chains = {
        (line.teacher, line.assistant, line.student)
        for line in settings.paper.results
        if line.assistant
    }
    assert chains == {tuple(pair) for pair in settings.distill.pairs}
    assert {line.teacher for line in settings.paper.results} == set(settings.teacher.networks)


def test_published_lines_of_a_student_agree_where_no_teacher_is_used():
    for name in CIFAR:
        lines = [line for line in load(name).paper.results if line.assistant]
        assert {
            (line.student, line.errors["nokd"], line.errors["nokd+fake"]) for line in lines
        } == {(line.student, line.errors["nokd"], line.errors["nokd+fake"]) for line in lines[:3]}
        assert len({(line.teacher, line.teacher_error) for line in lines}) == 3


def test_the_published_curve_and_ablation_end_where_the_table_says():
    paper = load("cifar10-c50k").paper
    table = {line.student: line.errors for line in paper.results[:3]}
    for student, errors in paper.nfake.errors.items():
        found = dict(zip(paper.nfake.counts, errors, strict=True))
        assert (found[0], found[100000]) == (table[student]["nokd"], table[student]["nokd+fake"])
    assert list(paper.ablation.errors) == list(ABLATION)
    assert paper.ablation.errors["nokd"] == table["vgg11"]["nokd"]
    assert paper.ablation.errors["+ relabel"] == table["vgg11"]["nokd+fake"]
