"""One student: data, method, chain of teachers, seed -> a trained network and its validation score."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cgankd import checkpoint, plan, sources
from cgankd.data import Batches, Images, Mixed, Share, images_of
from cgankd.engine import Machine, Supervised, fit
from cgankd.fakes import Pool, View
from cgankd.methods import Teacher, frozen, make_method
from cgankd.metrics import num_parameters, outputs_of
from cgankd.models import make_network
from cgankd.networks import load_network, save_network
from cgankd.preset import Preset
from cgankd.randomness import seed_everything
from cgankd.runs import Run, verify_files
from cgankd.task import make_task


class School:
    """What the students of a run share: the splits, the teachers, the views of the pool."""

    def __init__(self, preset: Preset, run: Run, machine: Machine) -> None:
        self.preset, self.run, self.machine = preset, run, machine.alone()
        self.source = source = sources.load(preset.data, preset.seed)
        self.task = make_task(source.label)
        self.splits = {split: images_of(source, split, self.task).to(machine.device) for split in sources.SPLITS}
        self.normalisation = self.splits["train"].normalisation()
        self._teachers: dict[Path, Teacher] = {}
        self._views: dict[View, Images] = {}

    @cached_property
    def pool(self) -> Pool:
        return Pool(self.run.pool)

    @cached_property
    def held_out(self) -> Images:
        """The training images without those of the validation rows."""
        rows = np.setdiff1d(self.source.rows["train"], self.source.rows["validation"])
        alone = replace(self.source, rows={"train": rows})
        return images_of(alone, "train", self.task).to(self.machine.device)

    def real(self, student: plan.Student) -> Images:
        """The real images that a student learns from."""
        return self.held_out if student.held_out else self.splits["train"]

    def teacher(self, record: Path, command: str) -> Teacher:
        """A trained network of the run as a teacher."""
        if record not in self._teachers:
            verify_files(record, command)
            self._teachers[record] = frozen(load_network(record.parent, "network", self.machine.device))
        return self._teachers[record]

    def fakes(self, view: View) -> Images:
        """The fakes of a view."""
        if view not in self._views:
            rows = self.pool.rows(view, self.preset.seed)
            labels = torch.from_numpy(self.pool.labels(view, rows)).to(self.task.dtype)
            self._views = {view: Images(torch.from_numpy(self.pool.images(rows)), labels).to(self.machine.device)}
        return self._views[view]

    def score(self, network: nn.Module, split: str) -> float:
        """The score of a network on one split."""
        images = self.splits[split]
        return self.task.score(outputs_of(network, images), images.labels)

    def load(self, student: plan.Student) -> nn.Module:
        """A student that is already trained."""
        record = plan.student_artefact(student, self.preset, self.run).record
        return load_network(record.parent, "network", self.machine.device)


def train_student(student: plan.Student, school: School) -> Path:
    """Trains one student, and its assistant first, unless it already stands; returns its record."""
    artefact = plan.student_artefact(student, school.preset, school.run)
    if artefact.state() == "done":
        return artefact.record
    teacher = _teacher_of(student, school)
    artefact.begin()
    settings, task = school.preset.distill, school.task

    seed = school.preset.seed
    seed_everything(seed, "student", student.seed, "weights")
    architecture = {"name": "cnn", "trunk": student.network, "outputs": task.outputs, **school.normalisation}
    network = make_network(architecture)
    batches, steps = _batches(student, school)
    recipe = settings.model_copy(update={"steps": steps})
    objective = make_method(student.method, task, network, teacher, settings)
    update = Supervised(school.machine, objective, recipe)
    fit(update, batches, steps=steps, folder=artefact.folder, name=f"student {student.seed}", seed=seed,
        recipe=artefact.digest, machine=school.machine)  # fmt: skip

    files = save_network(artefact.folder, "network", network, architecture)
    facts: dict[str, Any] = {"network": student.network, "parameters": num_parameters(network), "steps": steps,
                             "fakes": len(school.fakes(student.view)) if student.view else 0,
                             "validation": school.score(network, "validation")}  # fmt: skip
    artefact.finish(files, made_on=school.machine.facts, **facts)
    checkpoint.remove(artefact.folder / "checkpoints")
    return artefact.record


def _teacher_of(student: plan.Student, school: School) -> Teacher | None:
    if student.previous:
        return school.teacher(train_student(student.previous, school), "distill")
    return school.teacher(school.run.teacher(student.teacher), "train-teacher") if student.teacher else None


def _batches(student: plan.Student, school: School) -> tuple[Batches | Mixed, int]:
    """Batches of real or of real and fake images, and how many of them: the budget's steps or epochs."""
    settings, seed = school.preset.distill, school.preset.seed
    alone = Share()
    stream = f"student {student.seed}"
    images = school.real(student)
    if not student.view:
        real = Batches(images, settings.batch, seed=seed, stream=stream, share=alone)
        return real, _steps(len(images), school)
    fakes = school.fakes(student.view)
    steps = _steps(len(images) + len(fakes), school)
    if settings.fake_share == "proportional":
        return Batches(images + fakes, settings.batch, seed=seed, stream=stream, share=alone), steps
    num = min(settings.batch - 1, max(1, round(settings.batch * settings.fake_share)))
    real = Batches(images, settings.batch - num, seed=seed, stream=stream, share=alone)
    fake = Batches(fakes, num, seed=seed, stream=f"{stream} fakes", share=alone)
    return Mixed(real, fake), steps


def _steps(num_images: int, school: School) -> int:
    settings = school.preset.distill
    return settings.steps if settings.epochs is None else settings.epochs * -(-num_images // settings.batch)
