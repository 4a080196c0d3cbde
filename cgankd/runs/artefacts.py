"""The record of every artefact, and the parts that are kept while it is unfinished.

An artefact is what a stage makes. Its record is a JSON file that says what it was made from
(`inputs`: settings, and other artefacts by the digest of their content), whether it is finished,
and the digest of its own content. So an artefact is up to date exactly when its inputs are those
that would be used now.
"""

import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cgankd import console
from cgankd.errors import DATA, UserError, storage_errors
from cgankd.runs.files import digest, file_digest, read_json, sweep, write_json
from cgankd.version import VERSION

NOTE = ".made-"  # before the name of a part: the file that says what it was made for
FORMAT = 5  # raise it when the same inputs would give another artefact


@dataclass(frozen=True)
class Artefact:
    """What `command` makes: the file of its record and all that it is made from."""

    record: Path
    command: str
    inputs: dict[str, Any]
    owns_folder: bool = True

    @cached_property
    def digest(self) -> str:
        """Of all that it is made from; what it becomes has another, its content's."""
        # Inputs are named by their content, not by their own digests: who upstream makes the same
        # network from other settings changes nothing here.
        return digest({"format": FORMAT, "command": self.command, "inputs": self.inputs})

    @property
    def folder(self) -> Path:
        return self.record.parent

    def state(self) -> str:
        """`missing`, `begun`, `done`, `other`: there, but made from other inputs, or `damaged`: no
        record can be read.
        """
        if not self.record.exists():
            return "missing"
        try:
            record = read_json(self.record)
        except UserError:
            return "damaged"
        if record.get("digest") != self.digest:
            return "other"
        return "done" if record.get("finished") else "begun"

    def begin(self) -> None:
        """Claims the folder, and removes what a killed writer left in it.

        What stands there without a record may be of any settings: it is set aside whole.
        """
        state = self.state()
        if state not in ("missing", "begun"):
            raise self.blocked()
        sweep(self.folder)
        if state == "missing":
            if self.owns_folder and self.folder.is_dir() and any(self.folder.iterdir()):
                console.say(f"{self.folder}: has no record; moved to {self.set_aside().name}")
            self._write(finished=False)

    def blocked(self) -> UserError:
        """Why what stands in this place is neither used nor replaced unasked."""
        if self.state() == "damaged":
            try:
                read_json(self.record)
            except UserError as error:
                return UserError(
                    str(error),
                    DATA,
                    f"put back a copy of it, or run `cgankd {self.command} --rebuild` to move what "
                    "belongs to it aside and build it anew",
                )
        old = str(read_json(self.record).get("digest"))[:8]
        return UserError(
            f"{self.record} was made from other settings ({old}, now {self.digest[:8]}): "
            f"{self.difference()}",
            DATA,
            "add --rebuild to move it aside and build anew, or choose another --out",
        )

    def is_whole(self) -> bool:
        """Whether it is finished and every file of it is as recorded."""
        try:
            return self.state() == "done" and bool(verify_files(self.record, self.command))
        except UserError:
            return False

    def finish(
        self,
        payload: Iterable[Path] = (),
        *,
        made_on: dict[str, Any],
        origin: dict[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        """Records the artefact as finished: its files, the facts that readers need, and what it was
        made on.

        `origin` is where imported parts come from. The digest of its content covers files and
        facts, and not the origin, the machine or the time.
        """
        files = {str(path.relative_to(self.folder)): file_digest(path) for path in sorted(payload)}
        made = {
            **made_on,
            **environment(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        content = digest({"files": files, "facts": facts})
        imported = {"origin": origin} if origin else {}
        self._write(finished=True, content=content, files=files, made_on=made, **imported, **facts)
        for note in self.folder.glob(f"{NOTE}*"):
            note.unlink()

    def set_aside(self) -> Path:
        """Moves what stands in this place to a name with its old digest, so that it is not lost."""
        try:
            old = str(read_json(self.record).get("digest"))[:8]
        except UserError:
            old = "unknown"
        source = self.folder if self.owns_folder else self.record
        target, number = source.with_name(f"{source.stem}.{old}{source.suffix}"), 1
        while target.exists():
            number += 1
            target = source.with_name(f"{source.stem}.{old}-{number}{source.suffix}")
        with storage_errors(target):
            source.rename(target)
        return target

    def difference(self) -> str:
        """Which of the inputs differ from those of what stands in this place, for
        a message.
        """
        record = read_json(self.record)
        old, new = _flat(record.get("inputs")), _flat(self.inputs)
        changes = [
            f"{key}: {old.get(key, '-')} -> {new.get(key, '-')}"
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        ]
        return "; ".join(changes[:4]) + (
            f"; and {len(changes) - 4} more" if len(changes) > 4 else ""
        )

    def _write(self, **facts: Any) -> None:
        made = {
            "cgankd": VERSION,
            "format": FORMAT,
            "command": self.command,
            "digest": self.digest,
        }
        write_json(self.record, {**made, "inputs": self.inputs, **facts})


# Parts: what an interrupted run has made for an artefact that is not finished


def keep_part(path: Path, digest: str) -> None:
    """Notes that a file is whole, and for which artefact it was made."""
    write_json(_note(path), {"digest": digest, "sha256": file_digest(path)})


def part_stands(path: Path, digest: str) -> bool:
    """Whether a file stands as it was made, and for this artefact; a warning where it is
    another.
    """
    if not path.exists():
        return False
    try:
        note = read_json(_note(path))
        stands = note == {"digest": digest, "sha256": file_digest(path)}
    except (UserError, OSError):
        stands = False
    if not stands:
        console.warn(f"{path}: not known to be whole and of these settings; it is made again")
    return stands


def _note(path: Path) -> Path:
    return path.with_name(f"{NOTE}{path.name}")


# Records


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {prefix: str(value)[:40]}
    return {
        key: text
        for name, part in value.items()
        for key, text in _flat(part, f"{prefix}.{name}" if prefix else name).items()
    }


def finished(record: Path, command: str) -> dict[str, Any]:
    """The record of a finished artefact; UserError naming `command` when there is none."""
    if not record.exists():
        raise UserError(f"{record} not found", DATA, f"run `cgankd {command}` first")
    value = read_json(record)
    if not value.get("finished"):
        raise UserError(
            f"{record.parent} is not finished", DATA, f"run `cgankd {command}` to continue it"
        )
    return value


def content_of(record: Path, command: str) -> str:
    """The digest of the content of a finished artefact."""
    return str(fact(record, command, "content", str))


def fact(record: Path, command: str, key: str, kind: type | tuple[type, ...]) -> Any:
    """What the record of a finished artefact says; UserError where it does not say that."""
    value = finished(record, command).get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(
            f"{record}: has no usable {key} (found {str(value)[:40]})",
            DATA,
            f"run `cgankd {command} --rebuild`",
        )
    return value


def verify_files(record: Path, command: str) -> dict[str, Any]:
    """As `finished`, having compared every file of the artefact with its recorded digest."""
    value = finished(record, command)
    for name, expected in fact(record, command, "files", dict).items():
        path = record.parent / name
        if not path.resolve().is_relative_to(record.parent.resolve()):
            raise UserError(f"{record}: names a file outside its folder: {name}", DATA)
        if not path.is_file() or file_digest(path) != expected:
            found = "has other content than recorded" if path.is_file() else "is missing"
            raise UserError(
                f"{path} {found}",
                DATA,
                f"put back a copy of it, or run `cgankd {command} --rebuild`",
            )
    return value


def environment() -> dict[str, str]:
    """The versions that results depend on, without importing anything."""
    from importlib.metadata import version

    packages = ("torch", "torchvision", "numpy", "h5py", "accelerate")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        **{name: version(name) for name in packages},
    }
