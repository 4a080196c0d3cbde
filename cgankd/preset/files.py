"""Presets on disk: found by name or path, read with what they extend, changed, checked, written.

Whatever the tables do not know is refused, with the file, the key, the value and the nearest known
key.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from cgankd.errors import IN_USE, USAGE, UserError
from cgankd.preset.base import Settings
from cgankd.preset.changes import anchored, apply, keys_of, merged, parse, renamed
from cgankd.preset.kinds import NAME, did_you_mean
from cgankd.preset.preset import Preset
from cgankd.runs import write_bytes

MAX_FILE = 1 << 20
MAX_PARENTS = 20  # presets that extend one another


def folder() -> Path:
    """Where the presets of this installation are."""
    package = Path(__file__).parent.parent
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


def names() -> list[str]:
    """The presets that come with cgankd."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(source: str | Path, changes: Sequence[str] | None = None) -> Preset:
    """The checked preset `source` (a name or a TOML file) with `changes` of the form
    table.key=value.

    Paths in a file are relative to it, those in `changes` to where one stands. UserError with the
    file, the key, the value and the nearest known key when anything is wrong.
    """
    path = _find(source)
    tables = _read(path, seen=())
    tables.setdefault("name", path.stem)
    for change in changes or ():
        apply(tables, change)
    try:
        return Preset.model_validate(tables)
    except ValidationError as error:
        raise UserError(_explain(path, error), USAGE, _how_to_drop(error)) from None


def dump(preset: Preset) -> str:
    """The preset as TOML, every value written out."""
    return tomli_w.dumps(preset.model_dump(exclude_none=True))


def text(source: str | Path) -> str:
    """The preset as it is written, comments included."""
    path = _find(source)
    written = _bytes(path)
    parse(written, str(path))
    return written.decode("utf-8-sig")


def copy(source: str | Path, path: Path) -> None:
    """Writes the preset to a new file to edit, named after that file; what it extends by name it
    still extends. Its first comment says what it is a copy of.
    """
    if path.exists():
        raise UserError(f"{path} exists", IN_USE, "name another file, or remove it first")
    if path.suffix != ".toml" or not NAME.fullmatch(path.stem):
        raise UserError(f"{path}: expected a file name such as mine.toml, in lower case", USAGE)
    written = text(source)
    name = f'name = "{path.stem}"'
    written = re.sub(r'^name = ".*"', name, written, count=1, flags=re.MULTILINE)
    about = (
        f"# A copy of {_find(source).stem} to change; its paths are relative to this file. It "
        "began as:\n"
    )
    write_bytes(path, (about + written).encode())


def _find(source: str | Path) -> Path:
    """A preset's file: by its path, which ends in .toml or has a slash, or by its name."""
    if isinstance(source, Path) or source.endswith(".toml") or "/" in source:
        path = Path(source)
        if not path.exists() and path.with_name(f"{path.name}.toml").is_file():
            path = path.with_name(f"{path.name}.toml")
        if not path.exists() or path.is_dir():
            raise UserError(f"preset file {path} not found", USAGE)
        return path
    path = folder() / f"{source}.toml"
    if not NAME.fullmatch(source) or not path.is_file():
        raise UserError(
            f"unknown preset {source!r}{did_you_mean(source, names())}",
            USAGE,
            "or name a .toml file",
        )
    return path


def _bytes(path: Path) -> bytes:
    """A preset's file, which may be a pipe, as far as any preset goes."""
    with path.open("rb") as file:
        written = file.read(MAX_FILE + 1)
    if len(written) > MAX_FILE:
        raise UserError(f"{path}: larger than {MAX_FILE:,} bytes, which no preset is", USAGE)
    return written


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The tables of a preset's file over those that it extends."""
    tables = parse(_bytes(path), str(path))
    here = path.parent if path.is_file() else Path()
    tables = anchored(renamed(tables, str(path)), here)
    base = tables.pop("extends", None)
    if base is None:
        return tables
    if not isinstance(base, str):
        raise UserError(f"{path}: extends must be the name of a preset, found {base!r}", USAGE)
    if len(seen) == MAX_PARENTS:
        raise UserError(f"{path}: extends more than {MAX_PARENTS} presets in a row", USAGE)
    beside = here / base
    parent = _find(beside if base.endswith(".toml") and beside.is_file() else base)
    if parent.resolve() in (*seen, path.resolve()):
        raise UserError(f"{path}: extends itself through {base}", USAGE)
    inherited = _read(parent, (*seen, path.resolve()))
    inherited.pop("name", None)
    if "paper" in tables:
        inherited.pop("paper", None)  # what was published of another setting
    return merged(inherited, tables)


def _how_to_drop(error: ValidationError) -> str:
    """How to be rid of what a preset has inherited, where a fault is that it is there."""
    unwanted = [fault["msg"] for fault in error.errors() if "must be absent" in fault["msg"]]
    for message in unwanted:
        key = message.removeprefix("Value error, ").split()[0]
        return f'a table that is inherited is dropped by {key} = "none"'
    return ""


def _explain(path: Path, error: ValidationError) -> str:
    """The faults of a preset, one line each."""
    lines = []
    for fault in error.errors()[:5]:
        parts = [
            str(part)
            for part in fault["loc"]
            if not str(part).startswith(("function-", "literal[", "constrained-", "as-"))
        ]
        key = ".".join(parts) or "preset"
        if fault["type"] == "extra_forbidden":
            lines.append(
                f"unknown key {key}{did_you_mean(parts[-1], keys_of(parts[:-1], but=parts[-1]))}"
            )
        elif fault["type"] == "missing":
            lines.append(f"{key} is missing")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            found = (
                ""
                if isinstance(fault["input"], dict | Settings)
                else f" (found {_shown(fault['input'])})"
            )
            lines.append(f"{key}: {message}{found}" if parts else message)
    return f"preset {path.stem if path.parent == folder() else path}: " + "\n  ".join(
        dict.fromkeys(lines)
    )


def _shown(value: Any) -> str:
    """A value for a message, which may be of any size."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        text = f"a number of {value.bit_length():,} bits"
    return text if len(text) <= 200 else f"{text[:200]}..."
