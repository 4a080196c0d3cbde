"""The usual loop to compare with: a DataLoader of PIL images that are cropped and mirrored one by
one, contiguous fp32, a loss that is read at every step.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cgankd.data.batches import Images
from cgankd.preset import Training
from cgankd.task import Task
from cgankd.training.updates import make_optimizer


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Images as PIL hands them to the transforms that a training usually has."""

    def __init__(self, images: Images, training: Training, constants: dict[str, Any]) -> None:
        from torchvision import transforms

        self.pixels = images.pixels.cpu().permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = images.labels.cpu()
        side, changes = images.side, []
        if "crop" in training.augment:
            changes.append(transforms.RandomCrop(side, training.crop_padding or round(side / 8)))
        if "flip" in training.augment:
            changes.append(transforms.RandomHorizontalFlip())
        changes += [transforms.ToTensor(), transforms.Normalize(**constants)]
        self.change = transforms.Compose(changes)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.change(Image.fromarray(self.pixels[index])), self.labels[index]


def plain_step(
    task: Task, network: Any, images: Images, training: Training, device: torch.device
) -> Callable[[], None]:
    """One step of that loop on a network's trunk and head, whose images come normalised."""
    constants = images.normalisation()
    model = nn.Sequential(network.trunk, network.head).to(device).train()
    loader = DataLoader(
        Pictures(images, training, constants), training.batch, shuffle=True, drop_last=True
    )
    # Wherever the loop runs: on a GPU ours is a fused one.
    optimizer = make_optimizer(list(model.parameters()), training, torch.device("cpu"))
    batches = _forever(loader)

    def step() -> None:
        pixels, labels = (tensor.to(device) for tensor in next(batches))
        optimizer.zero_grad()
        loss = task.loss(model(pixels), labels)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def _forever(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader
