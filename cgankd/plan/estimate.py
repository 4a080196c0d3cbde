"""What a run will cost, before anything is trained: the size, steps, memory and disk space of every
network.

Networks are made on torch's meta device, where tensors have shapes and no values. Memory is that of
one process that trains: weights, gradients, optimiser, and what a step keeps for its gradients;
sizes are in bytes.
"""

import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from cgankd import sources
from cgankd.errors import UserError
from cgankd.job import Job
from cgankd.models import GANS, architectures, make_network
from cgankd.models.architectures import Architecture
from cgankd.models.autoencoder import SparseDecoder
from cgankd.models.operations import Operations
from cgankd.models.saved import num_parameters
from cgankd.plan.evaluation import evaluated_specs
from cgankd.plan.selections import without_search
from cgankd.plan.specs import StudentSpec, search_rows, wanted
from cgankd.plan.stages import chain_of
from cgankd.plan.students import steps_of
from cgankd.preset import METHODS, Preset, Training
from cgankd.task import Task, make_task

FLOAT = 4
# Multiply-adds of a forward, some 80 ms of a step on one core: below, two threads wait for each
# other longer than they save, and on a machine that does other things far longer.
SMALL = 10**9
TYPES = 10  # nobody knows how many before the data have been read; a matter of the last layer
HEADER = [
    "stage",
    "network",
    "number",
    "parameters",
    "steps",
    "batch",
    "memory (MB)",
    "disk (MB)",
]
CONSTANTS = {"mean": [0.5] * 3, "std": [0.5] * 3}


@dataclass(frozen=True)
class Cost:
    """`num` networks of one kind, each trained for `steps` steps of `batch` images."""

    stage: str
    name: str
    num: int
    parameters: int
    steps: int
    batch: int
    memory: int
    disk: int
    operations: int  # multiply-adds of the forward of one step


def is_small(preset: Preset, label: dict[str, Any]) -> bool:
    """Whether the networks of every stage before the students' are so small that a second thread
    only costs.
    """
    return all(row.operations <= SMALL for row in _networks(preset, make_task(label)))


def costs(job: Job, label: dict[str, Any]) -> list[Cost]:
    """Every network that the stages of a job train, in their order; embeddings of labels are left
    out as small.
    """
    preset, task = job.preset, make_task(label)
    chain = {stage.name for stage in chain_of(preset)}
    return [row for row in _networks(preset, task) + _students(job, task) if row.stage in chain]


def _networks(preset: Preset, task: Task) -> list[Cost]:
    """Those of all stages but the students'."""
    side = preset.data.size
    rows = [*_gan(preset, task)] if preset.gan_if_any else []
    for name in preset.teacher.networks:
        teacher = architectures.teacher(name, preset.teacher, side, task.outputs, CONSTANTS)
        rows.append(_supervised("train-teacher", name, teacher, preset.teacher, side))
    rows += _density_ratio(preset, task) if preset.dre_if_any else []
    if types := preset.evaluate.types:
        classifier = architectures.cnn(types.network, side, TYPES, CONSTANTS)
        rows.append(_supervised("evaluate", "types", classifier, types, side))
    return rows


def pool_bytes(preset: Preset, label: dict[str, Any]) -> int:
    """Disk space of the fake pool, when every proposal is accepted; rejected first proposals come
    on top.
    """
    task = make_task(label)
    row = 3 * preset.data.size**2 + FLOAT * task.outputs + 40
    return _pool_size(preset, task) * row


def _pool_size(preset: Preset, task: Task) -> int:
    """How many fakes the pool is to hold."""
    return (preset.generate.num_labels or task.num_classes) * preset.generate.per_label


def _gan(preset: Preset, task: Task) -> list[Cost]:
    gan, side, classes = preset.gan, preset.data.size, task.num_classes
    with torch.device("meta"):
        generator = make_network(architectures.generator(preset, classes))
        make_discriminator = GANS[gan.network][1]
        discriminator = make_discriminator(**architectures.discriminator(preset, classes))
        z = torch.zeros(gan.batch, gan.latent)
        both = torch.zeros(2 * gan.batch, 3, side, side)  # real and fake images in one batch
    wide = gan.embedding.size if gan.embedding else 0
    # Beside the weights: gradients, Adam's two, and of the generator its average.
    parts = (
        ("generator", generator, z, 5, 1),
        ("discriminator", discriminator, both, 4, gan.discriminator_steps),
    )
    rows = []
    for name, network, first, copies, per_step in parts:
        size = num_parameters(network)
        kept, operations = _forward(network, first, _condition(len(first), wide))
        memory, steps = copies * FLOAT * size + kept, gan.steps * per_step
        disk = FLOAT * size
        rows.append(Cost("train-gan", name, 1, size, steps, gan.batch, memory, disk, operations))
    return rows


def _density_ratio(preset: Preset, task: Task) -> list[Cost]:
    features, side = preset.dre.features, preset.data.size
    extractor = architectures.features(preset, task.outputs, CONSTANTS)
    rows = [_supervised("fit-dre", "features", extractor, features, side)]
    rows += [] if features.network else [_decoder(preset)]
    return [*rows, _ratio(preset, task)]


def _condition(num: int, wide: int) -> Tensor:
    """What stands for labels: numbers of classes, or embeddings."""
    if wide:
        return torch.zeros(num, wide, device="meta")
    return torch.zeros(num, dtype=torch.int64, device="meta")


def _supervised(
    stage: str,
    name: str,
    architecture: Architecture,
    training: Training,
    side: int,
    *,
    views: int = 1,
    steps: int | None = None,
) -> Cost:
    size, forward = _of_images(json.dumps(architecture), views * training.batch, side)
    return _cost(stage, name, size, training, steps or training.steps, forward)


@cache
def _of_images(architecture: str, num: int, side: int) -> tuple[int, tuple[int, int]]:
    """Parameters of a network, and what its forward of `num` images keeps and takes."""
    with torch.device("meta"):
        network = make_network(json.loads(architecture))
        images = torch.zeros(num, 3, side, side)
    return num_parameters(network), _forward(network, images)


def _ratio(preset: Preset, task: Task) -> Cost:
    architecture, dre = architectures.ratio(preset, task.num_classes), preset.dre
    with torch.device("meta"):
        network = make_network(architecture)
        features = torch.zeros(dre.batch, architecture["features"])
    forward = _forward(network, features, _condition(dre.batch, architecture["embedding"]))
    return _cost("fit-dre", "ratio", num_parameters(network), dre, dre.steps, forward)


def _decoder(preset: Preset) -> Cost:
    settings = preset.dre.features
    with torch.device("meta"):
        network = SparseDecoder(side=preset.data.size, width=settings.width, size=settings.size)
        features = torch.zeros(settings.batch, settings.size)
    size, forward = num_parameters(network), _forward(network, features)
    cost = _cost("fit-dre", "decoder", size, settings, settings.steps, forward)
    return replace(cost, disk=0)  # not kept


def _cost(
    stage: str, name: str, size: int, training: Training, steps: int, forward: tuple[int, int]
) -> Cost:
    kept, operations = forward
    copies = 3 if training.optimizer == "sgd" else 4  # weights, gradients, momentum or Adam's two
    memory, disk = copies * FLOAT * size + kept, FLOAT * size
    return Cost(stage, name, 1, size, steps, training.batch, memory, disk, operations)


def _students(job: Job, task: Task) -> list[Cost]:
    """Students alike but for their seeds are one row."""
    if not _is_known(job):
        job = without_search(job)
    rows = []
    asked = {
        "evaluate": evaluated_specs(job.preset),
        "select-rho": _searched(job),
        "distill": wanted(job),
    }
    for stage, specs in asked.items():
        before = [spec.spec_before for spec in specs if spec.spec_before]
        every = [spec for spec in dict.fromkeys([*before, *specs]) if not spec.is_head]
        num = Counter(_student(stage, replace(spec, seed=0), job, task) for spec in every)
        rows += [replace(cost, num=count) for cost, count in num.items()]
    return rows


def _searched(job: Job) -> list[StudentSpec]:
    return [spec for row in search_rows(job.preset).values() for spec in row]


def _student(stage: str, spec: StudentSpec, job: Job, task: Task) -> Cost:
    preset, distill = job.preset, job.preset.distill
    fakes = 0
    if spec.selection:
        pool = _pool_size(preset, task)
        fakes = min(spec.selection.num or pool, round(pool * spec.selection.rho))
    real = num_real(spec, job) if distill.epochs else 0  # else they do not matter
    suffix = "+fake" * bool(spec.selection) + " alone" * spec.alone
    epochs = None if spec.alone or spec.steps else distill.epochs
    return _supervised(
        stage,
        f"{spec.network} {spec.method}{suffix}",
        architectures.cnn(spec.network, preset.data.size, task.outputs, CONSTANTS, distill.head),
        distill,
        preset.data.size,
        views=METHODS[spec.method].views,
        steps=spec.steps or steps_of(distill, epochs, real + fakes),
    )


def num_real(spec: StudentSpec, job: Job) -> int:
    """How many real images a student learns from; the data are read where the preset alone does not
    tell.
    """
    data, numbers = job.preset.data, job.preset.data.numbers
    if not numbers or data.min_per_label:
        known = sources.record(data, job.preset.seed, job.run)
        return int(known["held_out"] if spec.held_out else known["rows"]["train"]["num"])
    trains_on_all = data.protocol == "paper" and not spec.held_out
    return numbers[0] + (numbers[1] if trains_on_all else 0)


def _is_known(job: Job) -> bool:
    """Whether rho and the share of fakes are those that the students will be trained with."""
    try:
        wanted(job)
    except UserError:
        return False
    return True


def _forward(network: nn.Module, *inputs: Tensor) -> tuple[int, int]:
    """Bytes of the tensors that a step keeps for its gradients, beside the weights, and its
    multiply-adds.
    """
    weights = {_storage(parameter) for parameter in network.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor
        return tensor

    counter = Operations()
    with counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network.train()(*inputs)
    return sum(_bytes(kept[storage]) for storage in kept.keys() - weights), counter.num


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def line(cost: Cost) -> list[str]:
    """A row of a table for people, under HEADER."""
    return [
        cost.stage,
        cost.name,
        str(cost.num),
        f"{cost.parameters:,}",
        f"{cost.steps:,}",
        str(cost.batch),
        megabytes(cost.memory),
        megabytes(cost.num * cost.disk),
    ]


def megabytes(size: int) -> str:
    return f"{ceil(size / 1e6):,}"
