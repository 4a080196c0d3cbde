"""The sources of images by name: what is known of each before any data are read.

This table is the one place that names them; a new source is its module and a row here.
"""

from dataclasses import dataclass
from pathlib import Path

from cgankd.preset.kinds import did_you_mean


@dataclass(frozen=True)
class SourceFacts:
    """What a preset may ask of a source."""

    module: str  # of cgankd.sources, which reads it
    kind: str | None = None  # of its label, in label.KINDS; None: data.range decides
    embedded: bool = False  # a library carries it, or it is drawn: there are no files
    pictures: bool = False  # its images are files, of which some may be broken
    needs_path: bool = False  # a preset must name data.path
    path: Path | None = None  # where its files are when a preset names no data.path
    own_step: bool = False  # it knows which of its continuous labels are equal
    own_sizes: bool = False  # it may decide how many images are for what: num_train = "auto"
    own_test: bool = False  # it has test images, so that data.test may name none


# Where several sources can read the same file or folder, the first of them is the right one.
SOURCES = {
    "digits": SourceFacts("digits", "class", embedded=True),
    "digits-angle": SourceFacts("digits_angle", "continuous", embedded=True),
    "chairs": SourceFacts("chairs", "continuous", embedded=True),
    "cifar10": SourceFacts("cifar10", "class"),
    "fashion-mnist": SourceFacts("fashion_mnist", "class", own_test=True),
    "tiny-imagenet": SourceFacts("tiny_imagenet", "class", pictures=True, own_sizes=True),
    "rc49": SourceFacts(
        "rc49",
        "continuous",
        path=Path("data") / "RC-49_64x64.h5",
        own_step=True,
        own_test=True,
    ),
    "utkface": SourceFacts(
        "utkface",
        "continuous",
        pictures=True,
        path=Path("data") / "UTKFace",
        own_step=True,
        own_sizes=True,
        own_test=True,
    ),
    "csv": SourceFacts("csv_file", pictures=True, needs_path=True, own_sizes=True),
    "h5": SourceFacts("h5", needs_path=True, own_sizes=True),
    "folder": SourceFacts("folder", "class", pictures=True, needs_path=True, own_sizes=True),
}


def check_source(name: str) -> str:
    """A source of the table."""
    if name not in SOURCES:
        raise ValueError(f"unknown source{did_you_mean(name, SOURCES)}")
    return name


def with_fact(fact: str) -> list[str]:
    """The names of the sources that have a fact, for messages."""
    return [name for name, facts in SOURCES.items() if getattr(facts, fact)]
