"""Images that others have drawn, a diffusion model or a renderer, in the place of a GAN's.

They are class folders named as the classes of the data, or an HDF5 in any layout that the source
`h5` reads, such as fake_images, fake_labels. Where a teacher is to label them, a folder of images
will do, with or without inner folders, or an HDF5 with images alone.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from cgankd import runs
from cgankd.errors import DATA, UserError
from cgankd.label import Label
from cgankd.preset import Preset
from cgankd.sources import cache, folder, h5, overlap, places
from cgankd.sources.source import Source

EXPECTED = (
    "expected a folder of class folders named as the classes of the data, or an HDF5 with "
    "fake_images, fake_labels"
)
UNLABELLED = "generate.label_by_teacher = true has the teacher label them"


def read(preset: Preset, label: Label) -> tuple[np.ndarray, np.ndarray | None]:
    """The images uint8 (N, 3, S, S) of generate.images and, unless the teacher is to give them,
    their labels (N,) as networks take them. UserError where they are none, or of other labels.
    """
    path, settings = _place(preset), preset.data
    given = not preset.generate.label_by_teacher
    with places.reading():
        if path.is_file():
            if not given:
                return h5.read_images(path, settings.size), None
            raw = h5.read_file(path, settings.size)
            _check_names(raw.label.get("classes"), label, path)
            return raw.images, _scaled(raw.labels, label, path)
        files, labels = _labelled(path, label) if given else (_inside(path), None)
        images, rows = cache.decoded(path, files, settings)
    return images, None if labels is None else labels[rows]


def check(preset: Preset, label: Label) -> None:
    """UserError where `read` would refuse the files for what they are or for their labels; no image
    is read.
    """
    path = _place(preset)
    with places.reading():
        if preset.generate.label_by_teacher:
            identify(preset)  # looks for images
        elif path.is_file():
            labels, names = h5.read_labels(path)
            _check_names(names, label, path)
            _scaled(labels, label, path)
        else:
            _labelled(path, label)


def identify(preset: Preset) -> str:
    """The digest of the files, wherever they are."""
    path = _place(preset)
    with places.reading():
        files = [path] if path.is_file() else _inside(path)
        rules = [preset.data.skip_broken, path.is_file()]
        return _digest(str(path), tuple(cache.state_of(files)), runs.digest(rules))


def check_apart(images: np.ndarray, source: Source, preset: Preset) -> None:
    """UserError where images (N, 3, S, S) to learn from are validation or test images, but for what
    preset and protocol allow.
    """
    splits = ["test"] if source.leaky else ["validation", "test"]
    held = np.concatenate([source.rows[split] for split in splits])
    every = np.concatenate([images, source.images[held]])
    copies = overlap.twins(every, np.arange(len(images)), np.arange(len(images), len(every)))
    if copies and not preset.data.allow_overlap:
        raise UserError(
            f"{preset.generate.images}: {len(copies)} of {len(images)} images are "
            f"{' or '.join(splits)} images of the data, pixel for pixel",
            DATA,
            "drop them, or let it pass with data.allow_overlap = true",
        )


def _place(preset: Preset) -> Path:
    path = Path(preset.generate.images or "")
    if not path.is_dir() and not path.is_file():
        raise UserError(f"generate.images = {preset.generate.images} not found", DATA, EXPECTED)
    return path


@lru_cache(maxsize=4)
def _digest(path: str, states: tuple[tuple[str, int, int], ...], rules: str) -> str:
    """Of names and contents; `states` tells the same path apart when files have changed."""
    names = [name for name, _, _ in states]
    named = {str(Path(name).relative_to(path)): runs.file_digest(Path(name)) for name in names}
    return runs.digest([rules, named])


def _inside(path: Path) -> list[Path]:
    """All image files of a folder and of the folders in it, in the order of their names."""
    inner = sorted(one for one in path.iterdir() if one.is_dir() and one.name[0] != ".")
    files = [file for place in (path, *inner) for file in places.images_in(place)[0]]
    if not files:
        raise UserError(f"{places.shown(str(path))} holds no images", DATA, EXPECTED)
    return files


def _labelled(path: Path, label: Label) -> tuple[list[Path], np.ndarray]:
    """The files of class folders with their classes."""
    if not label.discrete:
        raise UserError(
            f"{path}: a folder says nothing of the numbers that its images show",
            DATA,
            f"store them as an HDF5 with fake_images, fake_labels; or {UNLABELLED}",
        )
    classes = folder.listing(path, least=1).classes
    if unknown := [name for name in classes if name not in label.classes]:
        raise UserError(
            f"{places.shown(str(path / unknown[0]))} is no class of the data, which has "
            f"{', '.join(label.classes[:12])}",
            DATA,
            f"rename it; or {UNLABELLED}",
        )
    files = [file for images in classes.values() for file in images]
    labels = [label.classes.index(name) for name, images in classes.items() for _ in images]
    return files, np.array(labels, np.int64)


def _check_names(names: list[str] | None, label: Label, path: Path) -> None:
    """UserError where a file names classes, and not those of the data in their order."""
    if names is not None and tuple(names) != tuple(label.classes):
        raise UserError(
            f"{path}: its classes are {', '.join(names[:12])}, those of the data "
            f"{', '.join(label.classes[:12]) or 'numbers'}",
            DATA,
            f"number them as the data do, and drop {h5.CLASS_NAMES}; or {UNLABELLED}",
        )


def _scaled(labels: np.ndarray, label: Label, path: Path) -> np.ndarray:
    try:
        return label.scaled(labels)
    except ValueError as error:
        raise UserError(
            f"{path}: its labels {error}",
            DATA,
            f"write the labels as the real images have them; or {UNLABELLED}",
        ) from None
