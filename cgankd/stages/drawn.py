"""Images that others have drawn in the place of a GAN's, for the stages that take them."""

import torch

from cgankd import sources
from cgankd.data.batches import Images, outputs_of
from cgankd.job import Job
from cgankd.models.saved import load_network
from cgankd.runs import fact, verify_files
from cgankd.sources import drawn
from cgankd.task import Task
from cgankd.training.machine import Machine


def load_drawn(job: Job, task: Task, machine: Machine) -> Images:
    """The images of generate.images with their labels, by the teacher where that is asked for;
    UserError where they are validation or test images.
    """
    preset, run = job.preset, job.run
    pixels, labels = drawn.read(preset, task.label)
    drawn.check_apart(pixels, sources.load(preset.data, preset.seed), preset)
    images = Images(torch.from_numpy(pixels), torch.zeros(len(pixels))).to(machine.device)
    if labels is not None:
        given = torch.from_numpy(labels).to(task.dtype)
    else:
        record = run.teacher(preset.generate.teacher)
        verify_files(record, "train-teacher")
        teacher = load_network(record.parent, "network", machine.device)
        given = task.relabel(outputs_of(teacher, images))
    return Images(images.pixels, given.to(machine.device))


def label_of(job: Job) -> dict[str, object]:
    """The facts of the label that the fakes have: those of the teacher that judges them."""
    record = job.run.teacher(job.preset.generate.teacher)
    return dict(fact(record, "train-teacher", "label", dict))
