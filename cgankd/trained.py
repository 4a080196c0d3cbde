"""A trained network that knows what it answers: a student's or a teacher's folder, ready to use."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cgankd import runs
from cgankd.data.batches import Images, outputs_of
from cgankd.errors import DATA, UserError
from cgankd.label import Label
from cgankd.models.saved import load_network
from cgankd.task import make_task

RECORDS = {"student.json": "distill", "teacher.json": "train-teacher"}  # with what makes them


class Trained:
    """A network with its label and the side of its images.

    `label.classes` are the names of classes; of a continuous label there are `label.unit`,
    `label.low` and `label.high`. `network` takes floats (N, 3, S, S) in [-1, 1] and gives logits
    (N, K), or values (N, 1) scaled to [0, 1].
    """

    network: nn.Module
    label: Label
    size: int  # side S of its images, in pixels

    def __init__(self, network: nn.Module, facts: dict[str, object]) -> None:
        self.network = network
        self._task = make_task(facts["label"])  # type: ignore[arg-type]
        self.label, self.size = self._task.label, int(facts["size"])  # type: ignore[call-overload]

    def predict(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Images uint8 (N, 3, S, S) -> (N,): int64 places in `label.classes`, or float64 values in
        the label's unit, as they are scored: not clipped to its range. UserError for images of
        another kind.
        """
        labels = self._task.answer(self.outputs(images)).cpu().numpy()
        values = self.label.unscaled(labels)
        return values.astype(np.int64) if self.label.discrete else values

    def outputs(self, images: np.ndarray | Tensor) -> Tensor:
        """Images uint8 (N, 3, S, S) -> what the network says of them, (N, K), in fp32."""
        pixels = torch.as_tensor(images)
        expected = (3, self.size, self.size)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != expected:
            raise UserError(
                f"images are {pixels.dtype} {tuple(pixels.shape)}, expected uint8 "
                f"(N, {', '.join(map(str, expected))})",
                DATA,
                "give RGB images of that side, channels first, from 0 to 255",
            )
        device = next(self.network.parameters()).device
        labels = torch.zeros(len(pixels))  # there are none
        return outputs_of(self.network, Images(pixels, labels).to(device))


def load(path: str | Path, device: str = "cpu") -> Trained:
    """The network of a student's or teacher's folder, or of a file in one, its content verified."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    names = [name for name in RECORDS if (folder / name).is_file()]
    if not names:
        raise UserError(
            f"{path}: no trained network, found neither {' nor '.join(RECORDS)}",
            DATA,
            "name the folder of a student, runs/.../students/..., or of a teacher",
        )
    record = folder / names[0]
    facts = runs.verify_files(record, RECORDS[names[0]])
    if missing := {"label", "size"} - facts.keys():
        raise UserError(
            f"{record}: does not say the {' and '.join(sorted(missing))} of its network",
            DATA,
            f"it is of an older version: run `cgankd {RECORDS[names[0]]} --rebuild`",
        )
    return Trained(load_network(folder, "network", torch.device(device)), facts)
