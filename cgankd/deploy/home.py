"""The run that a trained network belongs to: its data, its fakes and its records."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgankd import fakes, preset, report, sources
from cgankd.data.batches import Images, images_of
from cgankd.deploy.model import Model
from cgankd.randomness import generator
from cgankd.report import RunRecords
from cgankd.runs import RunFolder
from cgankd.sources import Source

NUM_CALIBRATION = 256  # of the training images, and as many of the fakes


class Home:
    """A run folder, as `model` lies in it; all is read when it is asked for."""

    def __init__(self, root: Path, model: Model) -> None:
        self.run, self.model = RunFolder(root), model
        self.settings = preset.load(self.run.preset)

    @property
    def student(self) -> str:
        """The name of the folder of the network, if it is a student's."""
        folder = self.model.place.absolute().parent
        return folder.name if self.run.student(folder.name).parent == folder else ""

    @cached_property
    def records(self) -> RunRecords:
        return report.read(self.run.root)

    @cached_property
    def source(self) -> Source:
        return sources.load(self.settings.data, self.settings.seed)

    def images(self, split: str) -> Images:
        """The images of a split, with labels as the network takes them."""
        return images_of(self.source, split, self.model.task)

    def calibration(self) -> Tensor:
        """Pixels (N, 3, S, S) as the network meets them: training images, and where there is a pool
        accepted fakes, in an order that mixes them.
        """
        real = self.images("train").pixels
        draws = generator(self.settings.seed, "calibration")
        parts = [real[torch.randperm(len(real), generator=draws)[:NUM_CALIBRATION]]]
        if report.is_finished(self.run.pool):
            pool = fakes.Pool(self.run.pool)
            rows = pool.candidates(fakes.FakeSelection())
            chosen = torch.randperm(len(rows), generator=draws)[:NUM_CALIBRATION]
            parts.append(torch.from_numpy(pool.images(rows[np.sort(chosen.numpy())])))
        pixels = torch.cat(parts)
        return pixels[torch.randperm(len(pixels), generator=draws)]


def home_of(model: Model) -> Home | None:
    """The run that a student's or a teacher's folder lies in; None where it lies in none."""
    if model.place.suffix != ".json":
        return None
    root = model.place.absolute().parent.parent.parent
    return Home(root, model) if RunFolder(root).preset.is_file() else None
