"""Steps that are recorded and replayed: which are, what they read, and that a GPU trains to the
same bits with and without.
"""

import copy
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cgankd import preset
from cgankd.data.batches import Batches, Images, ProcessSlice
from cgankd.data.gan_batches import DiscriminatorBatch, GanBatch
from cgankd.errors import UserError
from cgankd.methods import Teacher, make_method
from cgankd.models import architectures, make_network
from cgankd.preset import Training
from cgankd.randomness import seed_everything
from cgankd.stages.train_gan import make_batches, make_update
from cgankd.task import make_task
from cgankd.training import recorded as recording
from cgankd.training.loop import Finite, take_step
from cgankd.training.machine import Machine
from cgankd.training.recorded import WARM, Recorded, mapped, recorded, tensors
from cgankd.training.session import Session
from cgankd.training.updates import Supervised

CLASSES = {"kind": "class", "classes": ["a", "b", "c"]}
CONSTANTS = {"mean": [0.5] * 3, "std": [0.5] * 3}


class Noting:
    """An update that notes what it is given, and whether a GPU would be recording."""

    def __init__(self, kinds):
        self.kinds, self.seen, self.begun, self.recording = kinds, [], [], False

    def begin(self, step):
        self.begun.append(step)

    def kind(self, step):
        return self.kinds[step]

    def __call__(self, batch, step):
        self.seen.append((step, self.recording, batch))
        return {"loss": torch.tensor(float(step))}


@pytest.fixture
def made_up(monkeypatch):
    """CUDA graphs in name only; the batches that were replayed, as the graph reads them."""
    noted = SimpleNamespace(update=None, replayed=0, fault=None)

    class Graph:
        def replay(self):
            noted.replayed += 1

    @contextmanager
    def graph(made, pool, stream):
        noted.update.recording = True
        yield
        noted.update.recording = False
        if noted.fault:
            raise noted.fault

    stream = SimpleNamespace(wait_stream=lambda other: None)
    stand_ins = {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda one: nullcontext(),
        "graph_pool_handle": lambda: None,
        "CUDAGraph": Graph,
        "graph": graph,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(recording.torch.cuda, name, stand_in)
    return noted


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((2,), float(step)), torch.tensor([step])


def test_a_step_of_each_kind_is_taken_then_recorded_then_replayed(made_up):
    kinds = ["a"] * 6 + ["b"] * 5 + ["a", None, "b", None]
    update = made_up.update = Noting(kinds)
    replaying = Recorded(update)
    for step in range(len(kinds)):
        replaying.begin(step)
        losses = replaying(batch(step), step)
        assert set(losses) == {"loss"}
    taken = [(step, during) for step, during, _ in update.seen]
    eager = [0, 1, 2, 6, 7, 8, 12, 14]
    assert WARM == 3
    assert taken == sorted([(step, False) for step in eager] + [(3, True), (9, True)])
    assert made_up.replayed == len(kinds) - len(eager)
    assert update.begun == list(range(len(kinds)))


def test_a_replay_reads_the_batch_of_its_own_step(made_up):
    update = made_up.update = Noting(["a"] * 9)
    replaying = Recorded(update)
    given = [batch(step) for step in range(9)]
    for step, one in enumerate(given):
        replaying(one, step)
        if step >= WARM:
            read = update.seen[-1][2]  # the tensors that the recorded step reads
            assert torch.equal(read[0], one[0])
            assert torch.equal(read[1], one[1])
    assert torch.equal(given[WARM][0], torch.full((2,), float(WARM)))  # and no batch of others


def test_a_step_that_cannot_be_recorded_is_named_with_a_way_on(made_up):
    made_up.update = Noting(["a"] * 9)
    made_up.fault = RuntimeError("operation not permitted when stream is capturing")
    replaying = Recorded(made_up.update)
    for step in range(WARM):
        replaying(batch(step), step)
    with pytest.raises(UserError, match="step 4 cannot be recorded as a CUDA graph") as caught:
        replaying(batch(WARM), WARM)
    assert "--eager" in caught.value.hint
    made_up.fault = torch.OutOfMemoryError("CUDA out of memory")  # has another way on
    with pytest.raises(torch.OutOfMemoryError):
        replaying(batch(WARM), WARM)


def test_the_tensors_of_a_batch_of_batches_are_found_and_changed():
    names = ["images", "labels", "fake_labels", "judged_labels", "weights", "fake_weights"]
    part = DiscriminatorBatch(**{name: torch.tensor([n]) for n, name in enumerate(names)})
    whole = GanBatch([part, part], torch.tensor([6]))
    assert torch.cat(tensors(whole)).tolist() == [*range(6), *range(6), 6]
    changed = mapped(whole, lambda tensor: -tensor)
    assert torch.cat(tensors(changed)).tolist() == [-value for value in [*range(6), *range(6), 6]]
    assert isinstance(changed.discriminator_batches[0], DiscriminatorBatch)


def test_only_one_process_on_a_gpu_records(machine):
    update = object()
    assert recorded(update, machine) is update
    other = machine.alone()
    other.device = torch.device("cuda")
    assert other.records
    other.num_processes = 2
    assert not other.records
    other.num_processes, other.eager = 1, True
    assert not other.records


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("nokd", [], "step"),
        ("blkd", [], "step"),
        ("sskd", [], "step"),
        ("blkd", ["distill.mixup=0.2"], None),  # one share for a batch, drawn by the host
        ("blkd+uda", [], None),  # images grouped by what the host has drawn for them
    ],
)
def test_a_method_that_draws_on_the_host_has_no_kind(machine, name, changes, kind):
    update = student(name, machine, changes)
    assert {update.kind(step) for step in range(3)} == {kind}


def test_the_kinds_of_a_gans_steps_are_what_differs_in_them(machine):
    update, _ = gan(machine, "digits-angle", ["gan.ema_start=5"])
    every = update.auxiliary_every
    assert every > 1
    for step in range(12):
        assert update.kind(step) == ((step + 1) % every == 0, step >= 5)


def student(name, machine, changes=()):
    task, settings = make_task(CLASSES), preset.load("cifar10-c10k", list(changes)).distill

    def network():
        sizes = architectures.cnn("resnet8_x0_25", 16, task.outputs, CONSTANTS)
        return machine.place(make_network(sizes))

    before = network()
    projection = make_network({"name": "projection", "size": before.trunk.num_features})
    teacher = None if name == "nokd" else Teacher(before, machine.place(projection))
    training = Training(steps=20, batch=8, learning_rate=0.1)
    return Supervised(machine, make_method(name, task, network(), teacher, settings), training)


def images(machine, label) -> Images:
    task, draws = make_task(label), torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8, generator=draws)
    return Images(pixels, (torch.arange(64) % 3).to(task.dtype)).to(machine.device)


def gan(machine, name, changes):
    from cgankd.sources import known_label
    from cgankd.training.conditions import reader

    made = preset.load(name, ["gan.width=2", "gan.batch=8", *changes])
    label = CLASSES if name == "digits" else known_label(made.data)
    task, embedding = make_task(label), made.gan.embedding
    real = images(machine, label)
    real = real if name == "digits" else Images(real.pixels, real.labels / 3)
    condition = machine.place(make_network(architectures.condition(embedding, task.num_classes)))
    read = None
    if made.gan.auxiliary:
        sizes = architectures.embedding(embedding, 16, CONSTANTS)
        read = reader(machine.place(make_network(sizes)), embedding, machine)
    architecture = architectures.generator(made, task.num_classes)
    update = make_update(made, task, architecture, condition, machine, 0.1, read)
    return update, make_batches(made.gan, task, real, 0, machine)


def supervised(name):
    def make(machine):
        batches = Batches(images(machine, CLASSES), 8, seed=0, stream="s", process=ProcessSlice())
        return student(name, machine), batches

    return make


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    "make",
    [
        supervised("nokd"),
        supervised("blkd"),
        supervised("sskd"),
        lambda machine: gan(machine, "digits", ["gan.ema_start=6"]),
        lambda machine: gan(machine, "digits-angle", ["gan.ema_start=6"]),
    ],
)
def test_a_gpu_trains_to_the_same_bits_with_and_without(tmp_path, make):
    try:
        replaying = Machine("cuda", deterministic=True)
        eager = copy.copy(replaying)
        eager.eager = True
        one, other = (trained(make, machine, tmp_path) for machine in (eager, replaying))
    finally:
        torch.use_deterministic_algorithms(False)
    assert list(one) == list(other)
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def trained(make, machine, folder) -> dict[str, torch.Tensor]:
    """The state after 14 steps from the same first weights."""
    seed_everything(7, "weights")
    update, batches = make(machine)
    assert isinstance(update, Supervised) or isinstance(update.generator, nn.Module)
    update = recorded(update, machine)
    session = Session(folder, "x", 0, "", machine)
    finite = Finite(session)
    for step in range(14):
        take_step(update, batches, step, session, finite)
    finite.check()
    return update.state()
