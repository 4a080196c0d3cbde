"""What can be timed of a preset: steps of its networks and blocks of its pool, with untrained
networks and random images.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cgankd.bench.plain import plain_step
from cgankd.data.batches import Batches, Images
from cgankd.data.images import Augmentation, Augmented
from cgankd.fakes.ratio import DensityRatioObjective
from cgankd.fakes.sampling import Sampler, labels_of
from cgankd.job import Job
from cgankd.methods import SskdHead, Teacher, make_method
from cgankd.methods.nokd import Nokd
from cgankd.models import architectures, make_network
from cgankd.plan import specs
from cgankd.plan.specs import StudentSpec
from cgankd.preset import METHODS, Preset, Training
from cgankd.randomness import seed_everything
from cgankd.stages import fit_dre
from cgankd.stages.train_gan import make_batches, make_update
from cgankd.task import Task
from cgankd.training.conditions import reader
from cgankd.training.features import make_objective
from cgankd.training.loop import Finite, take_step
from cgankd.training.machine import Machine
from cgankd.training.recorded import recorded
from cgankd.training.session import Session
from cgankd.training.updates import Supervised, Update

IMAGES = 2000  # random ones: more only take memory


@dataclass(frozen=True)
class Probe:
    """A piece of work of a stage, `num` times in a run, each of `steps` steps of `images` images.

    `bare` is the same step on a batch that is there, without augmentation and bookkeeping; `plain`
    the usual loop.
    """

    stage: str
    name: str
    machine: Machine
    step: Callable[[], object]
    images: int
    steps: int
    num: int = 1
    bare: Callable[[], object] | None = None
    plain: Callable[[], object] | None = None


class Probes:
    """Makes the probes of a job; a network is made when its probe is asked for."""

    def __init__(self, job: Job, task: Task, machine: Machine, *, plain: bool) -> None:
        self.job, self.task, self.machine, self.plain = job, task, machine, plain
        seed_everything(job.preset.seed, "bench")
        self.images = _random_images(job.preset, task).to(machine.device)
        self.constants = self.images.normalisation()

    def of(self, stage: str) -> Iterator[Probe]:
        """Those of one stage of the table of stages; none of a stage that trains nothing."""
        made = {
            "train-gan": self._gan,
            "train-teacher": self._teachers,
            "fit-dre": self._dre,
            "generate": self._pool,
            "distill": self._students,
        }.get(stage)
        if self.job.preset.generate.images and made in (self._dre, self._pool):
            return iter(())  # of images of others nothing is drawn, and their number is not known
        return made() if made else iter(())

    def _gan(self) -> Iterator[Probe]:
        settings = self.job.preset.gan
        machine = self.machine.training(settings.network)
        read = self._reader() if settings.auxiliary else None
        architecture = architectures.generator(self.job.preset, self.task.num_classes)
        condition = self._condition()
        update = make_update(
            self.job.preset, self.task, architecture, condition, machine, 1.0, read
        )
        batches = make_batches(settings, self.task, self.images, self.job.preset.seed, machine)
        yield self._probe("train-gan", settings.network, update, batches, machine, settings)

    def _teachers(self) -> Iterator[Probe]:
        settings = self.job.preset.teacher
        for name in settings.networks:
            network = self._cnn(name, settings.head)
            objective = Nokd(self.task, network)
            yield self._supervised("train-teacher", name, objective, settings, network=network)

    def _dre(self) -> Iterator[Probe]:
        preset, side = self.job.preset, self.images.side
        settings = preset.dre.features
        extractor = make_network(architectures.features(preset, self.task.outputs, self.constants))
        objective = make_objective(self.task, extractor, side, settings)
        yield self._supervised("fit-dre", settings.network or "features", objective, settings)
        condition, frozen = self._condition(), self._placed(extractor)
        ratio = DensityRatioObjective(
            make_network(architectures.ratio(preset, self.task.num_classes)),
            fit_dre.drawing(self._generator(), condition),
            lambda labels: condition(labels),
            lambda images: frozen(images),
            preset.dre.penalty,
        )
        batches = fit_dre.make_batches(
            preset.dre, self.task, self.images, preset.seed, self.machine
        )
        yield self._supervised("fit-dre", preset.dre.network, ratio, preset.dre, batches=batches)

    def _pool(self) -> Iterator[Probe]:
        preset = self.job.preset
        extractor = make_network(architectures.features(preset, self.task.outputs, self.constants))
        sampler = Sampler(
            task=self.task,
            generator=self._generator(),
            condition=self._condition(),
            features=self._placed(extractor),
            ratio=self._placed(make_network(architectures.ratio(preset, self.task.num_classes))),
            teacher=self._placed(self._cnn(preset.generate.teacher, preset.teacher.head)),
            labels=labels_of(self.task, preset.generate, preset.seed),
            seed=preset.seed,
            device=self.machine.device,
        )
        block, num_labels = preset.generate.block, len(sampler.labels)
        rows = np.arange(block)

        def draw() -> None:
            drawn = sampler.draw("bench", rows % num_labels, rows // num_labels, block)
            for column in drawn.values():
                column.cpu()

        blocks = -(-num_labels * preset.generate.per_label // block)
        yield Probe("generate", "pool", self.machine, draw, block, blocks)

    def _students(self) -> Iterator[Probe]:
        settings = self.job.preset.distill
        wanted = specs.wanted(self.job.asking(rho="1"))
        searched = [one for row in specs.search_rows(self.job.preset).values() for one in row]
        before = [one.spec_before for one in [*wanted, *searched] if one.spec_before]
        every = dict.fromkeys([*before, *searched, *wanted])
        alike = Counter(
            replace(spec, seed=0, selection=None, share=None, held_out=False) for spec in every
        )
        for spec, num in alike.items():
            if spec.is_head:
                yield self._head(spec, num)
                continue
            network = self._cnn(spec.network, settings.head)
            teacher = self._teacher(spec.teacher, needs_head=METHODS[spec.method].head)
            objective = make_method(spec.method, self.task, network, teacher, settings)
            name, plain = f"{spec.network} {spec.method}", spec.method == "nokd"
            yield self._supervised(
                "distill", name, objective, settings, num=num, network=network if plain else None
            )

    def _head(self, spec: StudentSpec, num: int) -> Probe:
        """The projection of a teacher, which SSKD trains first."""
        settings, network = self.job.preset.distill, self._cnn(spec.network, None)
        assert settings.sskd, "planned with its settings"
        projection = make_network({"name": "projection", "size": network.trunk.num_features})
        augmentation = Augmentation(settings.augment, settings.crop_padding)
        objective = SskdHead(Teacher(self._placed(network)), projection, augmentation)
        name = f"{spec.network} head"
        return self._supervised("distill", name, objective, settings.sskd.head, num=num)

    # Parts

    def _probe(
        self,
        stage: str,
        name: str,
        update: Update,
        batches: Callable[[int], Any],
        machine: Machine,
        settings: Any,
        **more: Any,
    ) -> Probe:
        session = Session(Path(), name, self.job.preset.seed, "", machine)
        finite, numbers = Finite(session), iter(range(1 << 40))
        update = recorded(update, machine)

        def step() -> None:
            take_step(update, batches, next(numbers), session, finite)

        return Probe(stage, name, machine, step, settings.batch, settings.steps, **more)

    def _supervised(
        self,
        stage: str,
        name: str,
        objective: nn.Module,
        settings: Training,
        *,
        num: int = 1,
        network: Any = None,
        batches: Any = None,
    ) -> Probe:
        machine = self.machine.training(name.split()[0])
        augmentation = Augmentation(settings.augment, settings.crop_padding)
        inner = objective.objective if isinstance(objective, Augmented) else objective
        whole = Augmented(objective, augmentation) if stage != "distill" else objective
        if batches is None:
            batches = Batches(
                self.images,
                settings.batch,
                seed=self.job.preset.seed,
                stream=name,
                process=machine.process,
            )
        more: dict[str, Any] = {"num": num}
        if network is not None:
            update = recorded(Supervised(machine, inner, settings), machine)
            batch = batches(0)
            more["bare"] = lambda: update(batch, 0)
            if self.plain:
                own = self._cnn(name.split()[0], getattr(settings, "head", None))
                more["plain"] = plain_step(self.task, own, self.images, settings, machine.device)
        return self._probe(
            stage, name, Supervised(machine, whole, settings), batches, machine, settings, **more
        )

    def _cnn(self, name: str, head: int | None) -> Any:
        return make_network(
            architectures.cnn(name, self.images.side, self.task.outputs, self.constants, head)
        )

    def _teacher(self, name: str, *, needs_head: bool) -> Teacher | None:
        if not name:
            return None
        network = self._placed(self._cnn(name, self.job.preset.teacher.head))
        size = {"name": "projection", "size": network.trunk.num_features}
        return Teacher(network, self._placed(make_network(size)) if needs_head else None)

    def _generator(self) -> Any:
        return self._placed(
            make_network(architectures.generator(self.job.preset, self.task.num_classes))
        )

    def _condition(self) -> nn.Module:
        sizes = architectures.condition(self.job.preset.gan.embedding, self.task.num_classes)
        return self._placed(make_network(sizes))

    def _reader(self) -> Any:
        settings = self.job.preset.gan.embedding
        assert settings, "the preset has been checked for it"
        sizes = architectures.embedding(settings, self.images.side, self.constants)
        return reader(self._placed(make_network(sizes)), settings, self.machine)

    def _placed(self, network: nn.Module) -> Any:
        return self.machine.place(network).eval().requires_grad_(False)


def _random_images(preset: Preset, task: Task) -> Images:
    side, numbers = preset.data.size, preset.data.numbers
    num = min(numbers[0] if numbers else IMAGES, IMAGES)
    pixels = torch.randint(0, 256, (num, 3, side, side), dtype=torch.uint8)
    grid = task.grid(min(num, 90))
    return Images(pixels, grid[torch.arange(num) % len(grid)])
