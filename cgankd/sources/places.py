"""Where the files of a source are, which of them are images, and what becomes of an error of the
operating system there.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cgankd.errors import DATA, USAGE, UserError
from cgankd.preset import Data
from cgankd.preset.kinds import unshown

SHOWN = 80  # characters of a name that a message shows
SUFFIXES = {
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
}
OTHERS = {  # pictures all the same, and what reads them
    ".heic": "pillow-heif",
    ".heif": "pillow-heif",
    ".avif": "pillow-avif-plugin",
    ".jxl": "pillow-jxl-plugin",
}


def images(settings: Data) -> Path | None:
    """The file or folder of data.path, else the source's own; None where there is neither."""
    return _expanded("path", settings.path) if settings.path else settings.facts.path


def given(settings: Data) -> list[Path]:
    """The place of the images, then that of the test images, where a preset names one."""
    test = _expanded("test", settings.test) if settings.test else None
    return [place for place in (images(settings), test) if place]


def check_no_test(settings: Data, path: Path) -> None:
    """UserError where data.test would not be read, since `path` has test images itself."""
    if settings.test:
        raise UserError(
            f"data.test = {settings.test}, but {path} has test images of its own",
            USAGE,
            "leave out data.test",
        )


def images_in(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The image files of a folder by name, and how many others are left out for which reason."""
    images, left_out = [], Counter[str]()
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name[0] != ".":
            left_out["in inner folders"] += num_images(path)
        elif reason := unread(path):
            left_out[reason] += 1
        else:
            images.append(path)
    return images, left_out


def unread(path: Path) -> str:
    """Why a file is none of the images; empty where it is one."""
    suffix = path.suffix.lower()
    if path.name[0] == ".":
        return "hidden"
    if path.is_symlink() and not path.exists():
        return "links to nothing"
    if suffix in OTHERS:
        return f"{suffix} (convert them to .png, as with the package {OTHERS[suffix]})"
    if suffix not in SUFFIXES:
        return shown(suffix) or "without a suffix"
    return "" if path.is_file() else "no regular files"


def num_images(folder: Path) -> int:
    """How many images stand anywhere in a folder."""
    names = [name for _, _, files in os.walk(folder) for name in files]
    return sum(Path(name).suffix.lower() in SUFFIXES | OTHERS.keys() for name in names)


def inside(folder: Path, name: str, where: str) -> Path:
    """The file `name` of a folder; UserError where a list of files tries to lead out of it."""
    path = Path(name)
    if unshown(name):
        raise UserError(f"{where}: {name!r} is no name of a file", DATA, "correct this line")
    if path.is_absolute() or path.drive or ".." in path.parts:
        raise UserError(
            f"{where}: {name!r} leads out of {folder}, which is refused",
            DATA,
            "name files relative to it",
        )
    return folder / path


@contextmanager
def reading() -> Iterator[None]:
    """Turns what the operating system refuses (names too long, folders not readable) into a
    UserError.
    """
    try:
        yield
    except OSError as error:
        name = shown(str(error.filename or "a file of the data"))
        raise UserError(
            f"{name} cannot be read ({error.strerror or error})",
            DATA,
            "correct the name, or the permissions of the folder",
        ) from error


def shown(name: str) -> str:
    """A name as a message can show it: escaped where it must be, and cut in its middle."""
    text = "".join(ascii(c)[1:-1] if unshown(c) else c for c in name)
    if len(text) > 2 * SHOWN:
        return f"{text[:SHOWN]}...{text[-SHOWN // 2 :]}"
    return text


def _expanded(key: str, place: str) -> Path:
    try:
        return Path(place).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"data.{key} = {place}: there is no such user ({error})",
            DATA,
            "write the folder out, from / on",
        ) from error
