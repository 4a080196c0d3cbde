"""Steps of students and teachers through torch.compile: the same training, in fewer calls."""

import pytest
import tiny
import torch

from cgankd.data.images import Augmentation
from cgankd.errors import UserError
from cgankd.training.loop import take_step
from cgankd.training.machine import Machine
from cgankd.training.session import Session


def trained(machine, first: int, last: int, state=None):
    """The losses of the steps from `first` to `last`, and the state after them."""
    update, batches = tiny.supervised(machine, Augmentation(["crop"])), tiny.batches()
    if state:
        update.load(state)
    session = Session(None, "student", 0, "digest", machine)
    losses = [take_step(update, batches, step, session, Unwatched()) for step in range(first, last)]
    return losses, {name: tensor.clone() for name, tensor in update.state().items()}


class Unwatched:
    def watch(self, losses, step):
        pass


@pytest.mark.slow
def test_compiled_steps_are_the_same_training_with_the_same_draws():
    plain, state = trained(Machine("cpu"), 0, 4)
    losses, compiled = trained(Machine("cpu", compile=True), 0, 4)
    assert list(compiled) == list(state)
    # The network drops half of its features, and each image is cut out of itself at random.
    for one, other in zip(plain, losses, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    for name, tensor in state.items():
        torch.testing.assert_close(tensor, compiled[name], rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_a_compiled_training_continues_as_if_it_had_not_stopped():
    machine = Machine("cpu", compile=True)
    _, whole = trained(machine, 0, 4)
    _, half = trained(machine, 0, 2)
    _, continued = trained(machine, 2, 4, half)
    assert all(torch.equal(whole[name], continued[name]) for name in whole)


def test_without_a_compiler_the_call_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="no C\\+\\+ compiler, no-such-compiler"):
        Machine("cpu", compile=True)
    Machine("cpu")
