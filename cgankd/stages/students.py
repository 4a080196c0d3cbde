"""One student: data, method, chain of teachers, seed -> a trained network and its validation
score.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cgankd import console, plan, sources
from cgankd.data.batches import Batches, Images, Mixed, ProcessSlice, images_of, outputs_of
from cgankd.fakes import FakeFile, Fakes, FakeSelection, Pool
from cgankd.methods import SskdHead, Teacher, make_method
from cgankd.models import architectures, make_network
from cgankd.models.saved import load_network, num_parameters, save_network
from cgankd.preset import Preset, Training
from cgankd.randomness import seed_everything
from cgankd.runs import Run, verify_files
from cgankd.task import make_task
from cgankd.training import checkpoint
from cgankd.training.loop import fit
from cgankd.training.machine import Machine
from cgankd.training.updates import Supervised


class StudentInputs:
    """What the students of a run share: the splits, the teachers, the views of the pool."""

    def __init__(self, preset: Preset, run: Run, machine: Machine) -> None:
        self.preset, self.run, self.machine = preset, run, machine.alone()
        self.source = source = sources.load(preset.data, preset.seed)
        self.task = make_task(source.label)
        self.splits = {
            split: images_of(source, split, self.task).to(machine.device)
            for split in sources.SPLITS
        }
        self.normalisation = self.splits["train"].normalisation()
        self._networks: dict[Path, nn.Module] = {}
        self._holders: dict[str, Fakes] = {}
        self._fakes: dict[tuple[str, FakeSelection | None], Images] = {}

    @cached_property
    def held_out(self) -> Images:
        """The training images without those of the validation rows."""
        rows = sources.held_out(self.source, self.preset.data, self.preset.seed)
        alone = replace(self.source, rows={"train": rows})
        return images_of(alone, "train", self.task).to(self.machine.device)

    def real(self, student: plan.Student) -> Images:
        """The real images that a student learns from."""
        return self.held_out if student.held_out else self.splits["train"]

    def network(self, record: Path, command: str) -> nn.Module:
        """A trained network of the run, its files verified."""
        if record not in self._networks:
            verify_files(record, command)
            self._networks[record] = load_network(record.parent, "network", self.machine.device)
        return self._networks[record]

    def teacher(self, student: plan.Student) -> Teacher | None:
        """Who teaches a student; what has to be trained for that is trained first."""
        if not student.teacher:
            return None
        previous = student.previous and train_student(student.previous, self)
        if student.method == "takd":
            assert previous, "an assistant stands before its student"
            return Teacher(self.network(previous, "distill"))
        head = previous and self.network(previous, "distill")
        return Teacher(
            self.network(self.run.teacher(student.teacher), "train-teacher"), head or None
        )

    def fakes(self, student: plan.Student) -> Images | None:
        """The fakes that a student learns from."""
        key = (student.fakes, student.view)
        if student.view and key not in self._fakes:
            held = self._held(student.fakes)
            rows = held.rows(student.view, self.preset.seed)
            labels = torch.from_numpy(held.labels(student.view, rows)).to(self.task.dtype)
            self._fakes = {
                key: Images(torch.from_numpy(held.images(rows)), labels).to(self.machine.device)
            }
        return self._fakes[key] if student.view else None

    def _held(self, file: str) -> Fakes:
        """The pool of the run, or a file in its place."""
        if file not in self._holders:
            side = self.splits["train"].side
            self._holders[file] = (
                FakeFile(Path(file), self.source.label, side) if file else Pool(self.run.pool)
            )
        return self._holders[file]

    def score(self, network: nn.Module, split: str) -> float:
        """The score of a network on one split."""
        images = self.splits[split]
        return self.task.score(outputs_of(network, images), images.labels)

    def load(self, student: plan.Student) -> nn.Module:
        """A student that is already trained."""
        record = plan.student_artefact(student, self.preset, self.run).record
        return load_network(record.parent, "network", self.machine.device)


def train_all(
    title: str, students: list[plan.Student], school: StudentInputs, machine: Machine
) -> None:
    """Whole students to each process, so that results do not depend on their number."""
    with console.progress(title, len(students)) as show:
        for index, student in enumerate(students):
            if index % machine.num_processes == machine.rank:
                train_student(student, school)
            show(index + 1, student.method)
    machine.barrier()


def train_student(student: plan.Student, school: StudentInputs) -> Path:
    """Trains one student, and its assistant first, unless it already stands; returns its record."""
    artefact = plan.student_artefact(student, school.preset, school.run)
    if artefact.state() == "done":
        return artefact.record
    teacher = school.teacher(student)
    artefact.begin()
    training, seed, fakes = (
        plan.training(student, school.preset),
        school.preset.seed,
        school.fakes(student),
    )
    batches, steps = _batches(student, training, fakes, school)
    seed_everything(seed, "student", student.seed, "weights")
    network, architecture, objective = _learner(student, teacher, school)
    update = Supervised(school.machine, objective, training.model_copy(update={"steps": steps}))
    name = "projection head" if student.method == plan.HEAD else f"student {student.seed}"
    fit(
        update,
        batches,
        steps=steps,
        folder=artefact.folder,
        name=name,
        seed=seed,
        digest=artefact.digest,
        machine=school.machine,
    )

    files = save_network(artefact.folder, "network", network, architecture)
    facts: dict[str, Any] = {
        "network": student.network,
        "parameters": num_parameters(network),
        "steps": steps,
        "fakes": len(fakes) if fakes else 0,
    }
    if student.method != plan.HEAD:
        facts["validation"] = school.score(network, "validation")
    artefact.finish(files, made_on=school.machine.facts, **facts)
    checkpoint.remove(artefact.folder / "checkpoints")
    return artefact.record


def _learner(
    student: plan.Student, teacher: Teacher | None, school: StudentInputs
) -> tuple[nn.Module, dict[str, Any], nn.Module]:
    """What is trained, its description, and the objective that trains it."""
    settings, task = school.preset.distill, school.task
    if student.method == plan.HEAD:
        assert teacher, "a projection head has a teacher"
        architecture: dict[str, Any] = {
            "name": "projection",
            "size": teacher.network.trunk.num_features,
        }
        head = make_network(architecture)
        return head, architecture, SskdHead(teacher, head, settings.augment)
    side = school.splits["train"].side
    architecture = architectures.cnn(
        student.network, side, task.outputs, school.normalisation, settings.head
    )
    network = make_network(architecture)
    return network, architecture, make_method(student.method, task, network, teacher, settings)


def _batches(
    student: plan.Student, training: Training, fakes: Images | None, school: StudentInputs
) -> tuple[Batches | Mixed, int]:
    """Batches of real or of real and fake images, and how many of them: the budget's steps or
    epochs.
    """
    real = school.real(student)
    share, size, stream = (
        school.preset.distill.fake_share,
        training.batch,
        f"student {student.seed}",
    )

    def batches(images: Images, size: int, stream: str) -> Batches:
        return Batches(images, size, seed=school.preset.seed, stream=stream, share=ProcessSlice())

    steps = plan.num_steps(student, school.preset, len(real) + (len(fakes) if fakes else 0))
    if not fakes:
        return batches(real, size, stream), steps
    if share == "proportional":
        return batches(real + fakes, size, stream), steps
    num_fakes = min(size - 1, max(1, round(size * share)))
    parts = batches(real, size - num_fakes, stream), batches(fakes, num_fakes, f"{stream} fakes")
    return Mixed(*parts), steps
