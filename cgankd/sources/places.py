"""Where the files of a source are."""

from pathlib import Path

from cgankd.preset import Data


def images(settings: Data) -> Path | None:
    """The file or folder of data.path, else the source's own; None where there is neither."""
    return Path(settings.path).expanduser() if settings.path else settings.facts.path


def given(settings: Data) -> list[Path]:
    """The place of the images, then that of the test images, where a preset names one."""
    test = Path(settings.test).expanduser() if settings.test else None
    return [place for place in (images(settings), test) if place]
