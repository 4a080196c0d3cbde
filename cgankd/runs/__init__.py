"""The run folder: its places, files that are whole or absent, records of what was made,
the lock.
"""

from cgankd.runs.artefacts import (
    FORMAT,
    Artefact,
    content_of,
    environment,
    finished,
    verify_files,
)
from cgankd.runs.files import (
    digest,
    file_digest,
    read_json,
    sweep,
    sync_folder,
    write_bytes,
    write_json,
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
    "file_digest",
    "finished",
    "locked",
    "read_json",
    "sweep",
    "sync_folder",
    "verify_files",
    "write_bytes",
    "write_json",
    "writing",
]
