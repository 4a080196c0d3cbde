"""train-teacher: the networks that filter and relabel the fakes, and teach."""

import torch
from torch import Tensor, nn

from cgankd import console, plan, sources
from cgankd.data.batches import Batches, Images, images_of, outputs_of
from cgankd.errors import DIVERGED, UserError
from cgankd.job import Job
from cgankd.methods.nokd import Nokd
from cgankd.models import architectures, make_network
from cgankd.models.architectures import Architecture
from cgankd.models.saved import num_parameters, save_network
from cgankd.randomness import seed_everything
from cgankd.runs import Artefact
from cgankd.sources import Source
from cgankd.stages.imports import load_imports, origins
from cgankd.task import Task, make_task
from cgankd.training import checkpoint
from cgankd.training.loop import fit_objective
from cgankd.training.machine import Machine
from cgankd.training.session import Session


def run(job: Job, machine: Machine) -> None:
    """Trains or imports the teachers of the preset that do not stand yet."""
    source = sources.load(job.preset.data, job.preset.seed)
    artefacts = plan.teachers(job)
    unfinished = [artefact for artefact in artefacts if artefact.state() != "done"]
    machine.barrier()  # all processes have looked
    for artefact in unfinished:
        _make(artefact, job, source, machine)


def _make(artefact: Artefact, job: Job, source: Source, machine: Machine) -> None:
    name, task, settings = artefact.inputs["network"], make_task(source.label), job.preset.teacher
    machine = machine.training(name)
    real, validation = (
        images_of(source, split, task).to(machine.device) for split in ("train", "validation")
    )
    constants, side = real.normalisation(), real.side
    own = architectures.teacher(name, settings, side, task.outputs, constants)
    known = architectures.imported_teacher(name, settings, side, task, constants)
    seed_everything(job.preset.seed, "teacher", name, "weights")  # of outputs that are new
    imports = load_imports({name: known}, artefact, job)
    machine.once(artefact.begin)
    if imports and not settings.tune:
        architecture, network = known, imports[name].network.to(machine.device)
    else:
        start = imports[name].network if imports else None
        session = Session(
            artefact.folder, f"teacher {name}", job.preset.seed, artefact.digest, machine
        )
        architecture, network = own, _train(name, own, job, task, real, session, start)

    def finish() -> None:
        score = check(task, name, outputs_of(network, validation), real.labels, validation.labels)
        artefact.finish(
            save_network(artefact.folder, "network", network, architecture),
            made_on=machine.facts,
            origin=origins(imports),
            network=name,
            parameters=num_parameters(network),
            validation=score,
            label=source.label,
            size=side,
            seen={} if imports and not settings.tune else source.seen("train"),
        )
        checkpoint.remove(artefact.folder)
        console.say(f"teacher {name}: validation {task.metric} {score:.3g} {task.unit}")

    machine.once(finish)


def _train(
    name: str,
    architecture: Architecture,
    job: Job,
    task: Task,
    real: Images,
    session: Session,
    start: nn.Module | None,
) -> nn.Module:
    settings, seed, process = job.preset.teacher, session.seed, session.machine.process
    seed_everything(seed, "teacher", name, "weights")
    network = start.requires_grad_(True) if start else make_network(architecture)
    batches = Batches(real, settings.batch, seed=seed, stream=f"teacher {name}", process=process)
    fit_objective(Nokd(task, network), batches, settings, session)
    return network


def check(task: Task, name: str, outputs: Tensor, train_labels: Tensor, labels: Tensor) -> float:
    """The teacher's validation score; UserError(DIVERGED) where a constant answer is as good."""
    score, constant = task.score(outputs, labels), task.constant_score(train_labels, labels)
    if not score < constant or not torch.isfinite(outputs).all():
        raise UserError(
            f"teacher {name}: validation {task.metric} {score:.3g} {task.unit} is no better than "
            f"the {constant:.3g} {task.unit} of a constant answer; relabelling by it would do harm",
            DIVERGED,
            "change [teacher]: a lower learning_rate, more steps, another network",
        )
    return score
