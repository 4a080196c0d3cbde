"""Steps as a GPU would take them, without one: tensors on a made-up CUDA device, where a mix of
devices and a host that waits for a value are errors.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensorDeviceMismatchError,
    FakeTensorMode,
    unset_fake_temporarily,
)

from cgankd import preset
from cgankd.data import autoaugment
from cgankd.data.batches import Batches, Images, Mixed, ProcessSlice
from cgankd.data.images import Augmentation
from cgankd.fakes.ratio import DensityRatioObjective
from cgankd.fakes.sampling import Sampler
from cgankd.methods import SskdHead, Teacher, make_method
from cgankd.models import architectures, make_network, spectral
from cgankd.preset import Training
from cgankd.sources import known_label
from cgankd.stages.train_gan import make_batches, make_update
from cgankd.task import make_task
from cgankd.training import updates
from cgankd.training.conditions import reader
from cgankd.training.loop import Finite
from cgankd.training.machine import Machine
from cgankd.training.updates import Supervised

CUDA = torch.device("cuda")
CLASSES = {"kind": "class", "classes": ["a", "b", "c"]}
NUMBER = known_label(preset.load("digits-angle").data)
CONSTANTS = {"mean": [0.5] * 3, "std": [0.5] * 3}
TRAINING = Training(steps=10, batch=8, learning_rate=0.1, augment=["crop", "flip"])


def on_gpu(module: nn.Module) -> nn.Module:
    """The module with its tensors on the made-up device, which Module.to cannot exchange."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None and value.device != CUDA:
                moved = value.detach().to(CUDA)
                part._parameters[name] = nn.Parameter(moved, value.requires_grad)
        for name, value in part._buffers.items():
            part._buffers[name] = value if value is None else value.to(CUDA)
    return module


@pytest.fixture
def gpu(monkeypatch, machine):
    """A machine on the made-up device; gradients are not computed there, but the rest is."""

    def backward(loss):
        for update in stepping:
            for name in ("objective", "generator", "discriminator"):
                for parameter in getattr(update, name, nn.Module()).parameters():
                    parameter.grad = torch.zeros_like(parameter)

    stepping: list = []
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: backward(loss))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(
        torch, "_fused_sgd_", lambda *tensors, **settings: None
    )  # has no made-up form
    monkeypatch.setattr(spectral, "FIRST", 1)  # power iterations take time
    made = machine.alone()
    made.device = CUDA
    made.place = on_gpu
    made.stepping = stepping
    with FakeTensorMode():
        yield made


def images(label) -> Images:
    task = make_task(label)
    labels = torch.zeros(40, dtype=task.dtype)
    return Images(torch.zeros(40, 3, 16, 16, dtype=torch.uint8), labels).to(CUDA)


def student(outputs: int):
    sizes = architectures.cnn("resnet8_x0_25", 16, outputs, CONSTANTS)
    return on_gpu(make_network(sizes))


def steps(update, batches, machine: Machine) -> None:
    """Two steps with what the loop notices of them."""
    machine.stepping.append(update)
    finite = Finite(SimpleNamespace(machine=machine))
    for step in range(2):
        update.begin(step)
        losses = update(batches(step), step)
        finite.watch(losses, step)
        assert {value.device.type for value in losses.values()} == {"cuda"}


@pytest.mark.parametrize("name", ["nokd", "blkd", "takd", "sskd", "blkd+uda"])
def test_no_method_mixes_devices_or_waits(gpu, monkeypatch, name):
    monkeypatch.setattr(autoaugment, "draws", on_host(autoaugment.draws))
    task = make_task(CLASSES)
    settings = preset.load("cifar10-c10k").distill
    teacher = None
    if name != "nokd":
        network = student(task.outputs)
        head = on_gpu(make_network({"name": "projection", "size": network.trunk.num_features}))
        teacher = Teacher(network, head)
    objective = make_method(name, task, student(task.outputs), teacher, settings)
    shared = {"seed": 0, "process": ProcessSlice()}
    real = Batches(images(CLASSES), 6, stream="real", **shared)
    fakes = Batches(images(CLASSES), 2, stream="fakes", **shared)
    steps(Supervised(gpu, objective, TRAINING), Mixed(real, fakes), gpu)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_learning_rate_of_a_step_is_on_the_device_where_a_replay_reads_it(gpu, optimizer):
    training = TRAINING.model_copy(update={"optimizer": optimizer})
    settings = preset.load("digits").distill
    objective = make_method("nokd", make_task(CLASSES), student(3), None, settings)
    update = Supervised(gpu, objective, training)
    (group,) = update.optimizer.param_groups
    rate = group["lr"]
    update.begin(5)
    assert group["lr"] is rate
    assert rate.device.type == "cuda"
    assert group.get("capturable", True)  # sgd always is


def test_the_head_of_sskd_and_a_number_of_degrees_neither(gpu):
    task = make_task(CLASSES)
    network = student(task.outputs)
    head = make_network({"name": "projection", "size": network.trunk.num_features})
    batches = Batches(images(CLASSES), 8, seed=0, stream="x", process=ProcessSlice())
    objective = SskdHead(Teacher(network), head, Augmentation(["crop"]))
    steps(Supervised(gpu, objective, TRAINING), batches, gpu)
    task = make_task(NUMBER)
    settings = preset.load("digits-angle").distill
    objective = make_method("blkd", task, student(1), Teacher(student(1)), settings)
    batches = Batches(images(NUMBER), 8, seed=0, stream="x", process=ProcessSlice())
    steps(Supervised(gpu, objective, TRAINING), batches, gpu)


@pytest.mark.parametrize("name", ["digits", "digits-angle", "utkface"])
def test_no_gan_mixes_devices_or_waits(gpu, monkeypatch, name):
    changes = ["gan.width=2", "gan.batch=8", "data.size=16"]
    made = preset.load(name, changes if name == "utkface" else changes[:2])
    label = CLASSES if name == "digits" else NUMBER
    task, settings = make_task(label), made.gan

    def generator():
        return on_gpu(make_network(architectures.generator(made, task.num_classes)))

    monkeypatch.setattr(updates.copy, "deepcopy", lambda network: generator())
    sizes = architectures.condition(settings.embedding, task.num_classes)
    condition = on_gpu(make_network(sizes))
    read = None
    if settings.auxiliary:
        constants = {"mean": [0.0] * 3, "std": [1.0] * 3}
        sizes = architectures.embedding(settings.embedding, 16, constants)
        read = reader(on_gpu(make_network(sizes)), settings.embedding, gpu)
    architecture = architectures.generator(made, task.num_classes)
    update = make_update(made, task, architecture, condition, gpu, 0.1, read)
    steps(update, gan_batches(settings, task, images(label), gpu), gpu)


def gan_batches(settings, task, real, machine):
    """Batches of real numbers: which labels are there decides what is drawn."""
    if settings.vicinity is None:
        return make_batches(settings, task, real, 0, machine)
    batches = vicinal(settings, task, machine)
    batches.images.images = real
    batches.drawn.device = CUDA
    return batches


def on_host(call):
    """The call with real tensors, as the host has them."""

    def called(*given):
        with unset_fake_temporarily():
            return call(*given)

    return called


def vicinal(settings, task, machine):
    """Those of a continuous label, whose labels are looked at where they are real."""
    with unset_fake_temporarily():
        labels = torch.arange(40) / 40
        real = Images(torch.zeros(40, 3, 16, 16, dtype=torch.uint8), labels)
        made = make_batches(settings, task, real, 0, machine)
        drawn = {step: made._draw(step) for step in range(made.drawn.STEPS)}
    made.drawn.draw = lambda step: [torch.empty(one.shape, dtype=one.dtype) for one in drawn[step]]
    return made


def test_the_density_ratio_mixes_no_devices_and_waits_for_nothing(gpu):
    made = preset.load("digits")
    task = make_task(CLASSES)
    ratio = make_network(architectures.ratio(made, task.num_classes))
    features = on_gpu(make_network(architectures.features(made, task.outputs, CONSTANTS)))
    objective = DensityRatioObjective(
        ratio,
        lambda labels: torch.zeros(len(labels), 3, 16, 16, device=CUDA),
        lambda labels: labels,
        lambda pixels: features(pixels),
        0.1,
    )
    batches = Batches(images(CLASSES), 8, seed=0, stream="x", process=ProcessSlice())
    steps(Supervised(gpu, objective, TRAINING), batches, gpu)


def test_sampling_mixes_no_devices_and_waits_for_nothing(gpu):
    import numpy as np

    made, task = preset.load("digits", ["gan.width=2"]), make_task(CLASSES)
    parts = {
        "generator": architectures.generator(made, task.num_classes),
        "condition": architectures.condition(None, task.num_classes),
        "features": architectures.features(made, task.outputs, CONSTANTS),
        "ratio": architectures.ratio(made, task.num_classes),
        "teacher": architectures.cnn("resnet8_x0_25", 16, task.outputs, CONSTANTS),
    }
    networks = {name: on_gpu(make_network(sizes)).eval() for name, sizes in parts.items()}
    sampler = Sampler(task=task, labels=task.grid(3), seed=0, device=CUDA, **networks)
    drawn = sampler.draw("fake", np.arange(5) % 3, np.arange(5), 8)
    assert {column.device.type for column in drawn.values()} == {"cuda"}
    assert drawn["pixels"].shape == (5, 3, 16, 16)


def test_the_made_up_device_notices_both_faults(gpu):
    there = torch.zeros(3, device=CUDA)
    with pytest.raises(FakeTensorDeviceMismatchError):
        there + torch.zeros(3)
    with pytest.raises(DataDependentOutputException):
        there.sum().item()
