"""What a network costs: its operations by hand, and medians of what was timed."""

import time

import pytest
import torch
from deployed import network

from cgankd.deploy import bench, onnx_file
from cgankd.errors import UserError


def test_multiply_adds_are_those_of_convolutions_and_products_by_hand():
    """Of resnet8 an eighth as wide, with channels 2, 4, 8 on sides 8, 4, 2, for three classes."""
    stem = 3 * 2 * 9 * 64
    first = 2 * (2 * 2 * 9 * 64)
    second = (2 * 4 * 9 + 4 * 4 * 9 + 2 * 4) * 16
    third = (4 * 8 * 9 + 8 * 8 * 9 + 4 * 8) * 4
    assert bench.multiply_adds(network()) == stem + first + second + third + 8 * 3


def test_the_time_of_a_call_is_the_median_of_those_after_the_first(monkeypatch):
    seconds = iter([5.0] * bench.WARM + [0.1] * 12 + [0.3] * 8)
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(bench, "SECONDS", 1e9)

    def compute(pixels: torch.Tensor) -> torch.Tensor:
        now[0] += next(seconds)
        return pixels

    assert bench.milliseconds(compute, torch.zeros(1)) == pytest.approx(100)


def test_a_slow_network_is_not_called_for_ever(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def compute(pixels: torch.Tensor) -> torch.Tensor:
        now[0] += 3.0
        calls.append(1)
        return pixels

    assert bench.milliseconds(compute, torch.zeros(1)) == pytest.approx(3000)
    assert len(calls) == bench.WARM + 1


def test_without_the_extra_torch_alone_is_measured(monkeypatch):
    def absent(name: str) -> None:
        raise UserError("no onnx", 69)

    monkeypatch.setattr(onnx_file, "library", absent)
    found = bench.bench(network(), 2)
    assert [row["runtime"] for row in found["runtimes"]] == ["torch"]
    assert found["parameters"] == sum(one.numel() for one in network().network.parameters())
    assert found["runtimes"][0]["bytes"] > 4 * found["parameters"]


@pytest.mark.slow
def test_torch_onnxruntime_and_8_bits_are_measured_side_by_side(chain, invoke):
    _, root = chain
    code, out, err = invoke("bench", root, "--batch", 3)
    assert code == 0, err
    assert [line.split("\t")[0] for line in out.splitlines()] == ["torch", "onnx", "onnx int8"]
    assert all(float(line.split("\t")[1]) > 0 for line in out.splitlines())
    assert "multiply-adds" in err
