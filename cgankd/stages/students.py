"""One student: data, method, chain of teachers, seed -> a trained network and its validation score.

select-rho and distill share it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgankd import console, sources
from cgankd.data.batches import Batches, Images, Mixed, ProcessSlice, images_of, outputs_of
from cgankd.data.images import Augmentation
from cgankd.fakes import FakeFile, Fakes, FakeSelection, Pool
from cgankd.job import Job
from cgankd.methods import SskdHead, Teacher, make_method
from cgankd.models import architectures, make_network
from cgankd.models.architectures import Architecture
from cgankd.models.saved import load_network, num_parameters, save_network
from cgankd.plan import Student
from cgankd.randomness import seed_everything
from cgankd.runs import verify_files
from cgankd.task import make_task
from cgankd.training import checkpoint
from cgankd.training.loop import fit
from cgankd.training.machine import Machine
from cgankd.training.session import Session
from cgankd.training.updates import Supervised

Labelled = tuple[Tensor, Tensor]  # images (N, 3, S, S) in [-1, 1] with labels (N,)


class StudentInputs:
    """What the students of a job share: the splits, the teachers, the fakes selected."""

    def __init__(self, job: Job, machine: Machine) -> None:
        self.job, self.machine = job, machine.alone()
        self.source = source = sources.load(job.preset.data, job.preset.seed)
        self.task = make_task(source.label)
        self.splits = {
            split: images_of(source, split, self.task).to(machine.device)
            for split in sources.SPLITS
        }
        self.normalisation = self.splits["train"].normalisation()
        self._networks: dict[Path, nn.Module] = {}
        self._holders: dict[str, Fakes] = {}
        self._fakes: dict[tuple[str, FakeSelection], Images] = {}

    @property
    def side(self) -> int:
        """Of the images, in pixels."""
        return self.splits["train"].side

    @cached_property
    def held_out(self) -> Images:
        """The training images without those of the validation rows."""
        rows = sources.held_out(self.source, self.job.preset.data, self.job.preset.seed)
        alone = replace(self.source, rows={"train": rows})
        return images_of(alone, "train", self.task).to(self.machine.device)

    def real(self, student: Student) -> Images:
        """The real images that a student learns from."""
        return self.held_out if student.held_out else self.splits["train"]

    def network(self, record: Path, command: str) -> nn.Module:
        """A trained network of the run, its files verified."""
        if record not in self._networks:
            verify_files(record, command)
            self._networks[record] = load_network(record.parent, "network", self.machine.device)
        return self._networks[record]

    def teacher(self, student: Student) -> Teacher | None:
        """Who teaches a student; what has to be trained for that is trained first."""
        if not student.teacher:
            return None
        if student.previous:
            before = self.network(train_student(student.previous, self), "distill")
            if not student.previous.is_head:  # an assistant, which its teacher has taught
                return Teacher(before)
        network = self.network(self.job.run.teacher(student.teacher), "train-teacher")
        return Teacher(network, before if student.previous else None)

    def fakes(self, student: Student) -> Images | None:
        """The fakes that a student learns from; the last ones are kept, since seeds share them."""
        selection, seed = student.selection, self.job.preset.seed
        if selection is None:
            return None
        key = (student.fakes_file, selection)
        if key not in self._fakes:
            holder = self._holder(student.fakes_file)
            rows = holder.rows(selection, seed)
            labels = torch.from_numpy(holder.labels(selection, rows)).to(self.task.dtype)
            images = Images(torch.from_numpy(holder.images(rows)), labels)
            self._fakes = {key: images.to(self.machine.device)}
        return self._fakes[key]

    def _holder(self, file: str) -> Fakes:
        """The pool of the run, or a file in its place."""
        if file not in self._holders:
            self._holders[file] = (
                FakeFile(Path(file), self.task.label, self.side)
                if file
                else Pool(self.job.run.pool)
            )
        return self._holders[file]

    def score(self, network: nn.Module, split: str) -> float:
        """The score of a network on one split."""
        images = self.splits[split]
        return self.task.score(outputs_of(network, images), images.labels)

    def load(self, student: Student) -> nn.Module:
        """A student that is already trained, its files verified."""
        verify_files(student.artefact.record, "distill")
        return load_network(student.artefact.folder, "network", self.machine.device)


def train_all(title: str, students: list[Student], inputs: StudentInputs, machine: Machine) -> None:
    """Whole students to each process, so that results do not depend on their number."""
    with console.progress(title, len(students)) as show:
        for index, student in enumerate(students):
            if index % machine.num_processes == machine.rank:
                train_student(student, inputs)
            show(index + 1, student.method)
    machine.barrier()


def train_student(student: Student, inputs: StudentInputs) -> Path:
    """Trains one student, and its assistant first, unless it already stands; returns its record."""
    artefact, seed = student.artefact, inputs.job.preset.seed
    machine = inputs.machine.training(student.network)
    if artefact.state() == "done":
        return artefact.record
    teacher = inputs.teacher(student)
    artefact.begin()
    real, fakes = inputs.real(student), inputs.fakes(student)
    num_fakes = len(fakes) if fakes else 0
    steps = student.num_steps(len(real), num_fakes)
    seed_everything(seed, "student", student.seed, "weights")
    network, architecture, objective = _learner(student, teacher, inputs)
    training = student.training.model_copy(update={"steps": steps})
    name = "projection head" if student.is_head else f"student {student.seed}"
    fit(
        Supervised(machine, objective, training),
        _batches(student, real, fakes, inputs),
        steps=steps,
        session=Session(artefact.folder, name, seed, artefact.digest, machine),
    )
    scores: dict[str, Any] = (
        {} if student.is_head else {"validation": inputs.score(network, "validation")}
    )
    artefact.finish(
        save_network(artefact.folder, "network", network, architecture),
        made_on=machine.facts,
        network=student.network,
        parameters=num_parameters(network),
        steps=steps,
        fakes=num_fakes,
        label=inputs.source.label,
        size=inputs.side,
        **scores,
    )
    checkpoint.remove(artefact.folder)
    return artefact.record


def _learner(
    student: Student, teacher: Teacher | None, inputs: StudentInputs
) -> tuple[nn.Module, Architecture, nn.Module]:
    """What is trained, its description, and the objective that trains it."""
    settings, task = inputs.job.preset.distill, inputs.task
    if student.is_head:
        assert teacher, "a projection head has a teacher"
        size = teacher.network.trunk.num_features
        architecture: dict[str, Any] = {"name": "projection", "size": size}
        head = make_network(architecture)
        augmentation = Augmentation(settings.augment, settings.crop_padding)
        return head, architecture, SskdHead(teacher, head, augmentation)
    architecture = architectures.cnn(
        student.network, inputs.side, task.outputs, inputs.normalisation, settings.head
    )
    network = make_network(architecture)
    return network, architecture, make_method(student.method, task, network, teacher, settings)


def _batches(
    student: Student, real: Images, fakes: Images | None, inputs: StudentInputs
) -> Callable[[int], Labelled]:
    """Batches of real, or of real and fake images: mixed, or so many of each."""
    preset, size, stream = inputs.job.preset, student.training.batch, f"student {student.seed}"

    def batches(images: Images, size: int, stream: str) -> Batches:
        return Batches(images, size, seed=preset.seed, stream=stream, process=ProcessSlice())

    if not fakes or student.alone:
        return batches(fakes or real, size, stream)
    if not isinstance(student.share, float):  # as many of each as there are
        return batches(real + fakes, size, stream)
    num_fakes = min(size - 1, max(1, round(size * student.share)))
    return Mixed(
        batches(real, size - num_fakes, stream), batches(fakes, num_fakes, f"{stream} fakes")
    )
