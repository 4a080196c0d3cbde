"""What a run will cost, before anything is trained: the size, steps, memory and disk space of every
network.

Networks are made on torch's meta device, where tensors have shapes and no values. Memory is that of
one process that trains: weights, gradients, optimiser, and what a step keeps for its gradients;
sizes are in bytes.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from cgankd.errors import UserError
from cgankd.models import GANS, architectures, make_network
from cgankd.models.autoencoder import SparseDecoder
from cgankd.models.saved import num_parameters
from cgankd.plan import students as plan
from cgankd.plan.students import Overrides, Student
from cgankd.preset import Preset, Training
from cgankd.runs import Run

FLOAT = 4
VIEWS = {"sskd": 4, "blkd+uda": 2}  # of each image, kept for the gradients
TYPES = (
    10  # nobody knows how many there are before the data have been read: a matter of the last layer
)
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


def costs(preset: Preset, run: Run, call: Overrides, outputs: int) -> list[Cost]:
    """Every network that the stages of a preset train, in their order; embeddings of labels are
    left out as small.
    """
    found = [*_gan(preset, outputs)]
    for name in preset.teacher.networks:
        architecture = architectures.cnn(
            name, preset.data.size, outputs, CONSTANTS, preset.teacher.head
        )
        found.append(
            _supervised(
                "train-teacher", name, architecture, preset.teacher, preset.teacher.steps, preset
            )
        )
    extractor = architectures.features(preset, outputs, CONSTANTS)
    found.append(
        _supervised(
            "fit-dre", "features", extractor, preset.dre.features, preset.dre.features.steps, preset
        )
    )
    if not preset.dre.features.network:
        found.append(_decoder(preset))
    found.append(_ratio(preset, outputs))
    if preset.evaluate and preset.evaluate.types:
        types = preset.evaluate.types
        architecture = architectures.cnn(types.network, preset.data.size, TYPES, CONSTANTS)
        found.append(_supervised("evaluate", "types", architecture, types, types.steps, preset))
    return found + _students(preset, run, call, outputs)


def pool_bytes(preset: Preset, outputs: int) -> int:
    """Disk space of the fake pool, when every proposal is accepted; rejected first proposals come
    on top.
    """
    labels = preset.generate.num_labels or outputs
    return labels * preset.generate.per_label * (3 * preset.data.size**2 + FLOAT * outputs + 40)


def _gan(preset: Preset, outputs: int) -> list[Cost]:
    with torch.device("meta"):
        generator = make_network(architectures.generator(preset, outputs))
        discriminator = GANS[preset.gan.network][1](**architectures.discriminator(preset, outputs))
    gan, side = preset.gan, preset.data.size
    wide = gan.embedding.size if gan.embedding else 0
    rows = []
    for name, network, batch, copies in (
        ("generator", generator, gan.batch, 5),
        ("discriminator", discriminator, 2 * gan.batch, 4),
    ):
        condition = torch.zeros(
            (batch, wide) if wide else (batch,), dtype=None if wide else torch.int64, device="meta"
        )
        first = torch.zeros(
            (batch, gan.latent) if name == "generator" else (batch, 3, side, side), device="meta"
        )
        size = num_parameters(network)
        steps = gan.steps * (1 if name == "generator" else gan.discriminator_steps)
        rows.append(
            Cost(
                "train-gan",
                name,
                1,
                size,
                steps,
                gan.batch,
                copies * FLOAT * size + _kept(network, first, condition),
                FLOAT * size,
            )
        )
    return rows


def _supervised(
    stage: str,
    name: str,
    architecture: dict[str, Any],
    training: Training,
    steps: int,
    preset: Preset,
    views: int = 1,
) -> Cost:
    size, kept = _of_images(json.dumps(architecture), views * training.batch, preset.data.size)
    return _cost(stage, name, size, training, steps, kept)


@cache
def _of_images(architecture: str, num: int, side: int) -> tuple[int, int]:
    """Parameters of a network, and the bytes that a step on `num` images keeps."""
    with torch.device("meta"):
        network = make_network(json.loads(architecture))
        images = torch.zeros(num, 3, side, side)
    return num_parameters(network), _kept(network, images)


def _ratio(preset: Preset, outputs: int) -> Cost:
    architecture = architectures.ratio(preset, outputs)
    with torch.device("meta"):
        network = make_network(architecture)
    batch, wide = preset.dre.batch, architecture["embedding"]
    features = torch.zeros(batch, architecture["features"], device="meta")
    condition = torch.zeros(
        (batch, wide) if wide else (batch,), dtype=None if wide else torch.int64, device="meta"
    )
    kept = _kept(network, features, condition)
    return _cost("fit-dre", "ratio", num_parameters(network), preset.dre, preset.dre.steps, kept)


def _decoder(preset: Preset) -> Cost:
    settings = preset.dre.features
    with torch.device("meta"):
        network = SparseDecoder(side=preset.data.size, width=settings.width, size=settings.size)
        features = torch.zeros(settings.batch, settings.size)
    cost = _cost(
        "fit-dre",
        "decoder",
        num_parameters(network),
        settings,
        settings.steps,
        _kept(network, features),
    )
    return replace(cost, disk=0)  # not kept


def _cost(stage: str, name: str, size: int, training: Training, steps: int, kept: int) -> Cost:
    copies = 3 if training.optimizer == "sgd" else 4  # weights, gradients, momentum or Adam's two
    return Cost(
        stage, name, 1, size, steps, training.batch, copies * FLOAT * size + kept, FLOAT * size
    )


def _students(preset: Preset, run: Run, call: Overrides, outputs: int) -> list[Cost]:
    known = (
        call if _rho_is_known(preset, run, call) else replace(call, rho=str(max(preset.rho.grid)))
    )
    students = {"select-rho": plan.rho_students(preset), "distill": plan.wanted(preset, run, known)}
    rows = []
    for stage, members in students.items():
        everyone = [
            student
            for student in [*plan.previous(members), *dict.fromkeys(members)]
            if student.method != plan.HEAD
        ]
        each = {
            student: _student(stage, student, preset, run, outputs)
            for student in {replace(s, seed=0) for s in everyone}
        }
        num = Counter(each[replace(student, seed=0)] for student in everyone)
        rows += [replace(cost, num=count) for cost, count in num.items()]
    return rows


def _student(stage: str, student: Student, preset: Preset, run: Run, outputs: int) -> Cost:
    fakes = 0
    if student.view:
        pool = (preset.generate.num_labels or outputs) * preset.generate.per_label
        fakes = min(student.view.num or pool, round(pool * student.view.rho))
    real = (
        plan.num_real(student, preset, run) if preset.distill.epochs else 0
    )  # else they do not matter
    steps = plan.num_steps(student, preset, real + fakes)
    name = " ".join([student.network, student.method + ("+fake" if student.view else "")])
    architecture = architectures.cnn(
        student.network, preset.data.size, outputs, CONSTANTS, preset.distill.head
    )
    return _supervised(
        stage, name, architecture, preset.distill, steps, preset, VIEWS.get(student.method, 1)
    )


def _rho_is_known(preset: Preset, run: Run, call: Overrides) -> bool:
    try:
        plan.distill_views(preset, run, call)
    except UserError:
        return False
    return True


def _kept(network: nn.Module, *inputs: Tensor) -> int:
    """Bytes of the tensors that a step keeps for its gradients, beside the weights."""
    weights = {_storage(parameter) for parameter in network.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network.train()(*inputs)
    return sum(_bytes(kept[storage]) for storage in kept.keys() - weights)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def lines(found: Iterable[Cost]) -> list[list[str]]:
    """The rows of a table for people."""
    return [
        [
            cost.stage,
            cost.name,
            str(cost.num),
            f"{cost.parameters:,}",
            f"{cost.steps:,}",
            str(cost.batch),
            megabytes(cost.memory),
            megabytes(cost.num * cost.disk),
        ]
        for cost in found
    ]


def megabytes(size: int) -> str:
    return f"{ceil(size / 1e6):,}"
