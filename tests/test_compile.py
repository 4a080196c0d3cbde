"""Steps of all but the GAN through torch.compile: the same training, in fewer calls. That it
continues to the same bits is a case of test_loop.
"""

import pytest
import tiny
import torch

from cgankd.data.images import Augmentation
from cgankd.errors import UserError
from cgankd.training.loop import Finite, take_step
from cgankd.training.machine import Machine
from cgankd.training.session import Session


def trained(machine, folder):
    """The losses of four steps, and the state after them."""
    update, batches = tiny.supervised(machine, Augmentation(["crop"])), tiny.batches()
    session = Session(folder, "student", 0, "digest", machine)
    finite = Finite(session)
    losses = [take_step(update, batches, step, session, finite) for step in range(4)]
    return losses, update.state()


@pytest.mark.slow
def test_compiled_steps_are_the_same_training_with_the_same_draws(tmp_path):
    plain, state = trained(Machine("cpu"), tmp_path)
    losses, compiled = trained(Machine("cpu", compile=True), tmp_path)
    assert list(compiled) == list(state)
    # The network drops half of its features, and each image is cut out of itself at random.
    for one, other in zip(plain, losses, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    for name, tensor in state.items():
        torch.testing.assert_close(tensor, compiled[name], rtol=1e-2, atol=1e-3)


def test_without_a_compiler_the_call_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="no C\\+\\+ compiler, no-such-compiler"):
        Machine("cpu", compile=True)
    Machine("cpu")
