"""What a network costs: its operations by hand, and medians of what was timed."""

import time

import pytest
import torch
from deployed import network

from cgankd import report
from cgankd.deploy import bench, latency, onnx_file
from cgankd.deploy.model import Compute
from cgankd.errors import UserError


def test_multiply_adds_are_those_of_convolutions_and_products_by_hand():
    """Of resnet8 an eighth as wide, with channels 2, 4, 8 on sides 8, 4, 2, for three classes."""
    stem = 3 * 2 * 9 * 64
    first = 2 * (2 * 2 * 9 * 64)
    second = (2 * 4 * 9 + 4 * 4 * 9 + 2 * 4) * 16
    third = (4 * 8 * 9 + 8 * 8 * 9 + 4 * 8) * 4
    assert latency.multiply_adds(network()) == stem + first + second + third + 8 * 3


def test_networks_are_timed_in_turns_for_one_image_and_for_a_batch(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def compute(name: str, seconds: float) -> Compute:
        def work(pixels: torch.Tensor) -> torch.Tensor:
            now[0] += seconds * len(pixels)
            calls.append(name)
            return pixels

        return work

    computes = {"slow": compute("slow", 0.2), "fast": compute("fast", 0.1)}
    found = latency.milliseconds(computes, torch.zeros(4, 1), seconds=0)
    assert found["slow"] == pytest.approx((200, 800))
    assert found["fast"] == pytest.approx((100, 400))
    assert calls == ["slow", "fast"] * (len(calls) // 2)


def test_without_the_extra_torch_alone_is_measured(monkeypatch):
    def absent(name: str) -> None:
        raise UserError("no onnx", 69)

    monkeypatch.setattr(onnx_file, "library", absent)
    found = bench.bench(network(), 2)
    assert [row["runtime"] for row in found["runtimes"]] == ["torch"]
    assert found["parameters"] == sum(one.numel() for one in network().network.parameters())
    assert found["runtimes"][0]["bytes"] > 4 * found["parameters"]


@pytest.mark.slow
def test_torch_onnxruntime_and_8_bits_are_measured_side_by_side(copied, invoke):
    _, root = copied
    code, out, err = invoke("bench", root, "--batch", 3)
    assert code == 0, err
    assert [line.split("\t")[0] for line in out.splitlines()] == ["torch", "onnx", "onnx int8"]
    assert all(float(line.split("\t")[1]) > 0 for line in out.splitlines())
    assert "multiply-adds" in err
    records = report.read(root)
    rows = {(row.network, row.parameters): row for row in records.latency.networks}
    assert rows.keys() == report.kinds(records).keys()
    assert {kind[0] for kind in rows} == {"resnet8_x0_25", "resnet8_x0_0625"}
    assert all(row.batch > row.one > 0 < row.multiply_adds for row in rows.values())
    assert records.latency.made_on["threads"] == torch.get_num_threads()
