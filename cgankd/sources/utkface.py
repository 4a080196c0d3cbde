"""UTKFace: faces with their age in years, 1 to 60; a folder of the aligned and cropped pictures, or
an HDF5.

Pictures are named age_gender_race_date, and may stand in folders inside.
"""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.preset import Data
from cgankd.sources import cache, h5, labels, places
from cgankd.sources.source import RawData

LABEL: dict[str, Any] = {
    "kind": "continuous",
    "min": 0.0,
    "max": 60.0,
    "unit": "years",
    "step": 1.0,
}
AGES = range(1, 61)
NAME = re.compile(r"(\d{1,3})_[01]_([0-4])_\d{4,}.*\.jpe?g", re.IGNORECASE)
LOOK = 100  # files whose names tell what a folder is
FETCH = (
    "expected a folder of the aligned and cropped faces of UTKFace (age_gender_race_date.jpg, "
    "also in folders inside), "
    "or the authors' UTKFace_64x64_proptrain_0.8_propsubtrain_0.8.h5 (images uint8 (N, 3, 64, "
    "64), labels (N,) in "
    "years, indx_train, indx_test, indx_subtrain, indx_subvalid), as "
    "github.com/UBCDingXin/cGAN-KD says; put it there, "
    "or name it in data.path. `cgankd data prepare --to FILE.h5` then writes the splits as one "
    "file, if you like one"
)


@dataclass(frozen=True)
class Face:
    """A picture and what its name says; `race` is 0 to 4."""

    file: Path
    age: int
    race: int


def read(settings: Data, seed: int) -> RawData:
    """The data set in data.path; of a folder the types are the races."""
    (path,) = places.given(settings)
    if path.is_file():
        return h5.labelled(settings, number=LABEL)
    faces, left_out = listing(path)
    images, kept = cache.decoded(path, [face.file for face in faces], settings)
    faces = [faces[row] for row in kept]
    ages = np.array([face.age for face in faces], np.float64)
    values, meaning = labels.checked(ages, kept, str(path), number=LABEL)
    races = np.array([face.race for face in faces], np.int64)
    return RawData(
        images, values, meaning, {"development": np.arange(len(faces))}, races, left_out=left_out
    )


def files(settings: Data) -> list[Path]:
    """What is read."""
    (path,) = places.given(settings)
    return [path] if path.is_file() else [face.file for face in listing(path)[0]]


def label(settings: Data) -> dict[str, Any]:
    """What is known of the label before data are read."""
    return LABEL


def listing(path: Path) -> tuple[list[Face], dict[str, int]]:
    """The faces that count, and how many files are left out for which reason."""
    if not path.is_dir():
        raise UserError(f"utkface: {path} not found", DATA, FETCH)
    files, left_out = [], Counter[str]()
    for file in sorted(path.rglob("*")):
        if file.is_dir():
            continue
        if reason := places.unread(file):
            left_out[reason] += 1
        else:
            files.append(file)
    matches = [(file, NAME.fullmatch(file.name)) for file in files]
    named = [Face(file, int(match[1]), int(match[2])) for file, match in matches if match]
    faces = [face for face in named if face.age in AGES]
    if not faces:
        raise UserError(
            f"utkface: {path} holds {len(files)} pictures, but none is named as those of UTKFace, "
            "of an "
            f"age of {AGES[0]} to {AGES[-1]}",
            DATA,
            FETCH,
        )
    left_out["of other ages"] = len(named) - len(faces)
    left_out["of other names"] = len(files) - len(named)
    return faces, dict(left_out)


def recognises(path: Path) -> bool:
    """Whether a folder has faces among its first files."""
    return path.is_dir() and any(
        NAME.fullmatch(file.name) for file in islice(path.rglob("*.*"), LOOK)
    )
