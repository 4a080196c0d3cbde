"""Presets on disk: found by name or path, read with what they extend, changed, checked, written.

Whatever the tables do not know is refused, with the file, the key, the value and the nearest known
key.
"""

import re
from pathlib import Path
from typing import Any, get_args

import tomli
import tomli_w
from pydantic import BaseModel, ValidationError

from cgankd import console
from cgankd.errors import IN_USE, USAGE, UserError
from cgankd.preset.base import Settings
from cgankd.preset.kinds import NAME, did_you_mean
from cgankd.preset.preset import Preset
from cgankd.runs import write_bytes

MAX_FILE = 1 << 20
MAX_CHAIN = 32  # presets that extend each other
RENAMED = {  # keys of the last release
    "gan.critic_steps": "gan.discriminator_steps",
    "gan.critic_learning_rate": "gan.discriminator_learning_rate",
}


def folder() -> Path:
    """Where the presets of this installation are."""
    package = Path(__file__).parent.parent
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


def names() -> list[str]:
    """The presets that come with cgankd."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(source: str | Path, changes: list[str] | None = None) -> Preset:
    """The checked preset `source` (a name or a TOML file) with `changes` of the form
    table.key=value.

    UserError with the file, the key, the value and the nearest known key when anything is wrong.
    """
    path = _find(source)
    tables = _read(path, seen=())
    tables.setdefault("name", path.stem)
    for change in changes or []:
        _apply(tables, change)
    try:
        return Preset.model_validate(tables)
    except ValidationError as error:
        raise UserError(_explain(path, error), USAGE) from None


def dump(preset: Preset) -> str:
    """The preset as TOML, every value written out."""
    return tomli_w.dumps(preset.model_dump(exclude_none=True))


def text(source: str | Path) -> str:
    """The preset as it is written, comments included."""
    path = _find(source)
    written = path.read_bytes()
    _parse(written, str(path))
    return written.decode()


def copy(source: str | Path, path: Path) -> None:
    """Writes the preset to a new file to edit, named after that file; what it extends by name it
    still extends.
    """
    if path.exists():
        raise UserError(f"{path} exists", IN_USE, "name another file, or remove it first")
    if path.suffix != ".toml" or not NAME.fullmatch(path.stem):
        raise UserError(f"{path}: expected a file name such as mine.toml, in lower case", USAGE)
    written = re.sub(
        r'^name = ".*"', f'name = "{path.stem}"', text(source), count=1, flags=re.MULTILINE
    )
    write_bytes(path, written.encode())


def _find(source: str | Path) -> Path:
    if isinstance(source, Path) or source.endswith(".toml"):
        path = Path(source)
        if not path.is_file():
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


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.stat().st_size > MAX_FILE:
        raise UserError(f"{path}: larger than {MAX_FILE:,} bytes, which no preset is", USAGE)
    tables = _parse(path.read_bytes(), str(path))
    for old in RENAMED:
        _move(tables, old, str(path))
    base = tables.pop("extends", None)
    if base is None:
        return tables
    if not isinstance(base, str):
        raise UserError(f"{path}: extends must be the name of a preset, found {base!r}", USAGE)
    beside = path.parent / base
    parent = _find(beside if base.endswith(".toml") and beside.is_file() else base)
    if parent.resolve() in (*seen, path.resolve()):
        raise UserError(f"{path}: extends itself through {base}", USAGE)
    if len(seen) >= MAX_CHAIN:
        raise UserError(f"{path}: the {MAX_CHAIN + 1}th preset that extends another", USAGE)
    inherited = _read(parent, (*seen, path.resolve()))
    inherited.pop("name", None)
    if "paper" in tables:
        inherited.pop("paper", None)  # what was published of another setting
    return _merge(inherited, tables)


def _parse(text: bytes, where: str) -> dict[str, Any]:
    try:
        return tomli.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid TOML: {error or 'nested too deep'}", USAGE) from error


def _current(key: str, where: str) -> str:
    """A key by its name of today; an old one is accepted with a hint."""
    if key in RENAMED:
        console.warn(f"{where}: {key} is now called {RENAMED[key]}; the old name will go")
    return RENAMED.get(key, key)


def _move(tables: dict[str, Any], old: str, where: str) -> None:
    """Gives the value of an old key to that of today."""
    name, _, last = old.partition(".")
    table = tables.get(name)
    if isinstance(table, dict) and last in table:
        table[_current(old, where).rpartition(".")[2]] = table.pop(last)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    def merged(key: str, value: Any) -> Any:
        inherited = base.get(key)
        return (
            _merge(inherited, value)
            if isinstance(inherited, dict) and isinstance(value, dict)
            else value
        )

    return {**base, **{key: merged(key, value) for key, value in over.items()}}


def _apply(tables: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not re.fullmatch(r"[\w.]+", key.strip()):
        raise UserError(
            f"--set {change}: expected table.key=value, e.g. --set gan.steps=2000", USAGE
        )
    try:
        value = tomli.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # a bare word, or what the check of its type will refuse
    *parents, last = _current(key.strip(), f"--set {change}").split(".")
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise UserError(f"--set {change}: {parent} is not a table", USAGE)
    tables[last] = value


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
                f"unknown key {key}{did_you_mean(parts[-1], _keys(parts[:-1], but=parts[-1]))}"
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


def _keys(parents: list[str], but: str) -> list[str]:
    """The keys known in a table, for `did_you_mean`; not the one of another table in the same
    place.
    """
    models: list[type[BaseModel]] = [Preset]
    for part in parents:
        if not part.isdigit():  # the place in a list of tables
            models = [table for model in models for table in _tables(_fields(model)[part])]
    return [key for model in models for key in _fields(model) if key != but]


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """The keys of a table as they are written, with what each may hold."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """The tables that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables(part)]
