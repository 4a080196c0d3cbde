"""Tables of presets before they are checked: read, put over one another, changed by single keys."""

import re
from pathlib import Path
from typing import Any, get_args

import tomli
from pydantic import BaseModel

from cgankd import console
from cgankd.errors import USAGE, UserError
from cgankd.preset.preset import Preset

Tables = dict[str, Any]

RENAMED = {  # keys of the last release
    "gan.critic_steps": "gan.discriminator_steps",
    "gan.critic_learning_rate": "gan.discriminator_learning_rate",
}
PATHS = {"data": ("path", "test"), "generate": ("images",)}  # keys by table
NONE = "none"  # in the place of what is inherited: it is dropped


def parse(text: bytes, where: str) -> Tables:
    """The tables of a TOML text, which may begin with a byte-order mark."""
    try:
        return tomli.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid TOML: {error or 'nested too deep'}", USAGE) from error


def renamed(tables: Tables, where: str) -> Tables:
    """Tables whose old keys have their names of today."""
    for old in RENAMED:
        name, _, last = old.partition(".")
        table = tables.get(name)
        if isinstance(table, dict) and last in table:
            today = _current(old, where).rpartition(".")[2]
            if today in table:
                raise UserError(f"{where}: {old} and {RENAMED[old]} are one key", USAGE, "drop one")
            table[today] = table.pop(last)
    return tables


def _current(key: str, where: str) -> str:
    """A key by its name of today; an old one is accepted with a hint."""
    if key in RENAMED:
        console.warn(f"{where}: {key} is now called {RENAMED[key]}; the old name will go")
    return RENAMED.get(key, key)


def anchored(tables: Tables, folder: Path) -> Tables:
    """Tables whose paths are absolute; relative ones are of the folder."""
    for name, keys in PATHS.items():
        table = tables.get(name)
        if isinstance(table, dict):
            held = [key for key in keys if isinstance(table.get(key), str) and table[key]]
            table |= {key: str((folder / table[key]).absolute()) for key in held}
    return tables


def merged(base: Tables, over: Tables, place: tuple[str, ...] = ()) -> Tables:
    """One set of tables over another, key by key; "none" drops what is inherited."""
    result = dict(base)
    for key, value in over.items():
        inherited = base.get(key)
        if _drops(value, [*place, key]):
            result.pop(key, None)
        elif isinstance(inherited, dict) and isinstance(value, dict):
            result[key] = merged(inherited, value, (*place, key))
        else:
            result[key] = value
    return result


def apply(tables: Tables, change: str) -> None:
    """Makes a change table.key=value, whose value is TOML or, where that is what the key holds,
    text.
    """
    key, equals, text = change.partition("=")
    if not equals or not re.fullmatch(r"[\w.]+", key.strip()):
        raise UserError(
            f"--set {change}: expected table.key=value, e.g. --set gan.steps=2000", USAGE
        )
    *parents, last = _current(key.strip(), f"--set {change}").split(".")
    table = tables
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {change}: {parent} is not a table", USAGE)
    value = _value(text, [*parents, last])
    if _drops(value, [*parents, last]):
        table.pop(last, None)
    else:
        table[last] = value
    if parents and parents[0] in PATHS:
        anchored(tables, Path())


def _value(text: str, key: list[str]) -> Any:
    """The value that a text stands for: a date may be a folder's name."""
    try:
        value = tomli.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text  # a bare word, or what the check of its type will refuse
    return text if _holds_text(key) and not isinstance(value, str) else value


def _drops(value: Any, key: list[str]) -> bool:
    """Whether a value is the word that drops a key, and not one that the key may hold."""
    kinds = _kinds_of(key)
    return value == NONE and bool(kinds) and not kinds & {str, NONE}


def _holds_text(key: list[str]) -> bool:
    """Whether a key holds text and no number, list or table."""
    kinds = _kinds_of(key)
    return str in kinds and not kinds & {int, float, bool, list, dict}


def _kinds_of(key: list[str]) -> set[Any]:
    """The plain types and the words that a key may hold; of an unknown one nothing."""
    return {kind for table in _models(key[:-1]) for kind in _kinds(_fields(table).get(key[-1]))}


def keys_of(parents: list[str], but: str) -> list[str]:
    """The keys known in a table, for `did_you_mean`; not the one of another table in the same
    place.
    """
    return [key for model in _models(parents) for key in _fields(model) if key != but]


def _models(parents: list[str]) -> list[type[BaseModel]]:
    """What a table may be; of unknown tables nothing."""
    models: list[type[BaseModel]] = [Preset]
    for part in parents:
        if not part.isdigit():  # the place in a list of tables
            models = [table for model in models for table in _tables(_fields(model).get(part))]
    return models


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """The keys of a table as they are written, with what each may hold."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """The tables that an annotation allows."""
    kinds = _kinds(annotation)
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _kinds(annotation: Any) -> list[Any]:
    """The plain types, and the words of a Literal, that an annotation allows."""
    if isinstance(annotation, type | str):
        return [annotation]
    origin = getattr(annotation, "__origin__", None)
    inside = [kind for part in get_args(annotation) for kind in _kinds(part)]
    return [*([origin] if origin in (list, dict) else []), *inside]
