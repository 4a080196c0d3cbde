"""Which data a run is about: the digest of its content, read anew only when a file or a setting has
changed.
"""

import json
from functools import lru_cache
from typing import Any

from cgankd import runs
from cgankd.preset import Data
from cgankd.sources import cache, catalogue, splits


def identify(settings: Data, seed: int, run: runs.RunFolder) -> str:
    """The digest of the content."""
    return str(record(settings, seed, run)["content"])


def record(settings: Data, seed: int, run: runs.RunFolder) -> dict[str, Any]:
    """What is known of the data: found out once per run folder and kept in its data.json."""
    state = fingerprint(settings)
    asked = {"data": settings.model_dump(), "seed": seed, "files": state}
    if run.data.exists():
        known = runs.read_json(run.data)
        if known.get("asked") == asked:
            return known
    known = {"asked": asked, **describe(settings.model_dump_json(), seed, state)}
    if runs.is_written(run.root):  # --dry-run writes nothing
        runs.write_json(run.data, known)
    return known


def fingerprint(settings: Data) -> str:
    """The digest of name, size and time of every file that is read; empty where there is none."""
    files = catalogue.files(settings)
    try:
        return runs.digest(cache.state_of(files)) if files else ""
    except OSError:
        return "missing"  # reading them will say which


@lru_cache(maxsize=4)
def describe(settings: str, seed: int, state: str) -> dict[str, Any]:
    """What data.json records of a source; `state` tells the same settings apart when files have
    changed.
    """
    asked = Data.model_validate(json.loads(settings))
    source = catalogue.load(asked, seed)
    rows = {split: {"num": len(rows), **source.seen(split)} for split, rows in source.rows.items()}
    num = len(splits.held_out(source, asked, seed))
    facts = {"content": source.digest(), "label": source.label, "rows": rows, "held_out": num}
    span = catalogue.span(asked)
    return {**facts, **({"span": list(span)} if span else {})}
