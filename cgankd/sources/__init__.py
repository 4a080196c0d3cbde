"""The data sets: from a source's name to checked arrays and seeded splits, without torch.

One module per kind of source gives what it holds (`RawData`); splits.py draws the rows of each
split from it.
"""

from cgankd.sources.catalogue import known_label, load
from cgankd.sources.identity import identify, record
from cgankd.sources.source import SPLITS, Source
from cgankd.sources.splits import held_out

__all__ = ["SPLITS", "Source", "held_out", "identify", "known_label", "load", "record"]
