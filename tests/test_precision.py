"""Which arithmetic a network is trained in, where the call leaves it open."""

import pytest
import torch

from cgankd import precision
from cgankd.training.machine import Machine


@pytest.fixture
def bf16_cpu(monkeypatch):
    monkeypatch.setattr(precision, "instructions", lambda: ("avx512_bf16",))


def test_on_a_cpu_bf16_is_for_the_families_that_it_was_faster_for(bf16_cpu):
    names = ["resnet20", "vgg11", "densenet121", "biggan"]
    assert [precision.choose("auto", "cpu", name) for name in names] == ["bf16"] * 4
    names = ["shufflenetv2", "efficientnet-b0", "sngan", ""]
    assert [precision.choose("auto", "cpu", name) for name in names] == ["fp32"] * 4
    assert precision.choose("auto", "cpu", "resnet8_x0_25") == "fp32", "too narrow to gain"


def test_without_its_instructions_bf16_is_for_who_asks(monkeypatch):
    monkeypatch.setattr(precision, "instructions", tuple)
    assert precision.choose("auto", "cpu", "vgg11") == "fp32"
    assert precision.choose("bf16", "cpu", "vgg11") == "bf16"
    assert precision.choose("auto", "cuda", "vgg11") == "fp32", "not measured"


def test_what_is_asked_for_holds_for_every_network(bf16_cpu):
    assert precision.choose("fp32", "cpu", "vgg11") == "fp32"
    assert precision.choose("bf16", "cpu", "shufflenetv2") == "bf16"


def test_a_machine_trains_in_the_precision_of_the_network_and_says_so(bf16_cpu):
    machine = Machine("cpu")
    wide = machine.training("resnet20")
    assert (machine.facts["precision"], wide.facts["precision"]) == ("fp32", "bf16")
    assert machine.training("shufflenetv2").facts["precision"] == "fp32"
    layer, x = torch.nn.Linear(4, 4), torch.rand(2, 4)
    with wide.autocast():
        assert layer(x).dtype == torch.bfloat16
    with machine.autocast():
        assert layer(x).dtype == torch.float32
