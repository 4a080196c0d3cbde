"""The run folder: its places, files that are whole or absent, records of what was made,
the lock.
"""

from cgankd.runs.artefacts import (
    FORMAT,
    Artefact,
    content_of,
    environment,
    fact,
    finished,
    keep_part,
    part_stands,
    verify_files,
)
from cgankd.runs.files import (
    digest,
    file_digest,
    is_written,
    make_folder,
    read_json,
    remove,
    sealed,
    sweep,
    sync_folder,
    write_bytes,
    write_json,
    write_within,
    writing,
)
from cgankd.runs.folder import RunFolder, locked

__all__ = [
    "FORMAT",
    "Artefact",
    "RunFolder",
    "content_of",
    "digest",
    "environment",
    "fact",
    "file_digest",
    "finished",
    "is_written",
    "keep_part",
    "locked",
    "make_folder",
    "part_stands",
    "read_json",
    "remove",
    "sealed",
    "sweep",
    "sync_folder",
    "verify_files",
    "write_bytes",
    "write_json",
    "write_within",
    "writing",
]
