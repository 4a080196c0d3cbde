"""Fakes: the pool on disk and what is selected of it; how it is drawn is in `sampling`, with
torch.
"""

from cgankd.fakes.pool import (
    COLUMNS,
    SMALL,
    FakeFile,
    Fakes,
    FakeSelection,
    Pool,
    export,
    first_accepted,
    identify,
    keep_share,
    rank_within,
    read_shard,
    write_shard,
)

__all__ = [
    "COLUMNS",
    "SMALL",
    "FakeFile",
    "FakeSelection",
    "Fakes",
    "Pool",
    "export",
    "first_accepted",
    "identify",
    "keep_share",
    "rank_within",
    "read_shard",
    "write_shard",
]
