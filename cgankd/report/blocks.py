"""A document as a list of blocks, and what makes HTML and Markdown of it; it knows nothing of what
they say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from cgankd.console import visible

TEMPLATE = Path(__file__).parent / "page.html.jinja"


@dataclass(frozen=True)
class Heading:
    kind: ClassVar = "heading"
    text: str
    level: int = 3


@dataclass(frozen=True)
class Text:
    kind: ClassVar = "text"
    text: str
    style: str = ""  # or note: smaller


@dataclass(frozen=True)
class Caution:
    kind: ClassVar = "caution"
    text: str


@dataclass(frozen=True)
class Code:
    kind: ClassVar = "code"
    text: str


@dataclass(frozen=True)
class Table:
    """Columns of cells as shown, by their headers: the first `names` are words, the rest numbers.

    Of each row, if any has one, `marks` holds the marks by column: better, worse or chosen.
    """

    kind: ClassVar = "table"
    columns: dict[str, list[str]]
    names: int = 1
    marks: list[dict[str, str]] = field(default_factory=list)

    @property
    def header(self) -> list[str]:
        return list(self.columns)

    @property
    def rows(self) -> list[list[str]]:
        return [list(row) for row in zip(*self.columns.values(), strict=True)]


@dataclass(frozen=True)
class Picture:
    """A chart, which is inverted on a dark page."""

    kind: ClassVar = "picture"
    uri: str
    caption: str


@dataclass(frozen=True)
class Sheet:
    """Images under one title: a strip, as a data URI or empty, for each label."""

    title: str
    strips: list[tuple[str, str]]


@dataclass(frozen=True)
class Sheets:
    kind: ClassVar = "sheets"
    sheets: list[Sheet]
    caption: str


@dataclass(frozen=True)
class Folded:
    kind: ClassVar = "folded"
    text: str
    blocks: "Sequence[Block]"


Block = Heading | Text | Caution | Code | Table | Picture | Sheets | Folded


def html(title: str, blocks: Sequence[Block]) -> str:
    """One page that needs nothing from outside; every text is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Only words: what a macro of the page has made of them is marked up already.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.from_string(TEMPLATE.read_text()).render(title=title, blocks=blocks)


def markdown(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown; of figures only the captions."""
    return "\n\n".join(map(_markdown, blocks)) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {_escaped(block.text)}"
        case Text():
            return _escaped(block.text)
        case Caution():
            return f"> **Caution:** {_escaped(block.text)}"
        case Code():
            return "\n".join(f"    {line}" for line in visible(block.text).split("\n"))
        case Table():
            return _markdown_table(block)
        case Picture() | Sheets():
            return f"*Figure in index.html: {_escaped(block.caption)}*"
        case Folded():
            return f"**{_escaped(block.text)}**\n\n{markdown(block.blocks).rstrip()}"


def _markdown_table(table: Table) -> str:
    body = []
    for row, marks in zip(table.rows, table.marks or [{} for _ in table.rows], strict=True):
        cells = zip(table.header, map(_escaped, row), strict=True)
        body.append([f"**{cell}**" if name in marks else cell for name, cell in cells])
    rule = [":--" if place < table.names else "--:" for place in range(len(table.header))]
    lines = [[*map(_escaped, table.header)], rule, *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = " ".join(visible(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in "\\`*[]|" else letter for letter in text)
