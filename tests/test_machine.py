"""Where a run computes: devices, processes, and what results depend on."""

import pytest
import torch

from cgankd.data.batches import ProcessSlice
from cgankd.errors import UserError
from cgankd.training.machine import Machine


def test_an_absent_device_is_named():
    if torch.cuda.is_available():
        pytest.skip("has CUDA")
    with pytest.raises(UserError, match="--device cuda: no CUDA device") as caught:
        Machine("cuda")
    assert caught.value.code == 69


def test_facts_are_what_results_depend_on(machine):
    assert machine.facts == {
        "device": "cpu",
        "precision": "fp32",
        "compiled": False,
        "processes": 1,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    assert machine.process == ProcessSlice(0, 1)
    assert machine.agree(False, True) == [False, True]


@pytest.fixture
def second(machine, monkeypatch):
    """The second of three processes, which wait for each other in name only."""
    other = machine.alone()
    other.rank, other.num_processes = 1, 3
    waited = []
    monkeypatch.setattr(other, "barrier", lambda: waited.append(True), raising=False)
    return other, waited


def test_a_process_takes_every_so_manieth_row_from_its_rank(machine, second):
    other, _ = second
    rows = torch.arange(7)
    assert other.process == ProcessSlice(1, 3)
    assert other.process.of(rows).tolist() == [1, 4]
    assert machine.process.of(rows).tolist() == rows.tolist()


def test_the_first_process_does_the_work_of_all_and_the_others_wait_for_it(machine, second):
    other, waited = second
    done = []
    machine.once(lambda: done.append("first"))
    other.once(lambda: done.append("second"))
    assert (done, waited) == (["first"], [True])


def test_the_first_process_answers_for_all(machine, second, monkeypatch):
    other, _ = second
    assert (machine.decide(lambda: True), machine.decide(lambda: False)) == (True, False)
    asked = []
    monkeypatch.setattr(other, "agree", lambda *flags: asked.append(flags) or [1])
    assert other.decide(lambda: pytest.fail("only the first process looks"))
    assert asked == [(0,)]


def test_a_machine_alone_is_the_same_but_for_its_processes(machine, second):
    other, _ = second
    alone = other.alone()
    assert (alone.is_main, other.is_main) == (True, False)
    assert alone.facts == machine.facts
    assert other.facts == {**machine.facts, "processes": 3}, "the other is left as it was"
