"""Small data sets for the tests of sources, and how one of them is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgankd import console, sources
from cgankd.errors import UserError
from cgankd.preset import Data

AUTO = {"num_train": "auto", "num_validation": "auto"}


def settings(source: str, path: Path, **changes) -> Data:
    """Settings for few images of side 8."""
    given = {"path": str(path), "size": 8, "num_train": 4, "num_validation": 2}
    return Data(source=source, **{**given, **changes})


def refused(asked: Data, words: str, code: int = 65) -> UserError:
    """The error with which data are refused when they are read; `words` are a pattern."""
    with pytest.raises(UserError, match=words) as caught:
        sources.load(asked, 0)
    assert caught.value.code == code
    return caught.value


def draw(
    path: Path, colour: object = (10, 20, 30), size: tuple[int, int] = (12, 9), mode: str = "RGB"
) -> Path:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def noise(path: Path, *seed: int, side: int = 8) -> Path:
    """A picture that no other seed has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def classes(folder: Path, num: int = 12, names: tuple[str, ...] = ("a", "b")) -> Path:
    """A folder of class folders of different pictures."""
    for label, name in enumerate(names):
        for number in range(num):
            noise(folder / name / f"{number:02}.png", label, number)
    return folder


def heard(monkeypatch, what: str) -> list[str]:
    """What is told from now on: what is said, or warned of."""
    texts: list[str] = []
    monkeypatch.setattr(console, what, texts.append)
    return texts
