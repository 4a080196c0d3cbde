"""Records are files, and files can be edited or damaged: the facts that are used of one are checked
against a dataclass.

A dataclass names facts and types: numbers, words, truth values, lists, dicts, other dataclasses,
`X | Y | None` and Literal. Other facts are nobody's concern. Its __post_init__ may raise a
ValueError for what types cannot say.
"""

import dataclasses
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cgankd.errors import DATA, UserError

LARGEST = 1e30  # a number past it is a mistake, as infinity and NaN are
WORDS = {
    float: "a number",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
    list: "a list that is not empty",
    dict: "an object",
}
T = TypeVar("T")


def checked(kind: type[T], record: Any, path: Path) -> T:
    """The facts of a record as `kind`; UserError naming the file and the fact that is wrong."""
    try:
        return fitted(kind, record)
    except ValueError as error:
        raise UserError(
            f"{path}: {error}", DATA, "move it away and run the command that made it again"
        ) from None


def fitted(kind: Any, value: Any, place: str = "") -> Any:
    """A JSON value as `kind`; ValueError naming the place where it does not fit."""
    form, parts = get_origin(kind) or kind, get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _facts(kind, value, place)
    if form in (Union, UnionType):
        *others, last = [part for part in parts if part is not NoneType]
        for other in others:
            with suppress(ValueError):
                return fitted(other, value, place)
        return None if value is None and NoneType in parts else fitted(last, value, place)
    if form is Literal:
        return value if value in parts else _refuse(value, place, " or ".join(map(repr, parts)))
    if not _is(form, value):
        return _refuse(value, place, WORDS[form])
    if form is list:
        return [fitted(parts[0], item, f"{place}[{n}]") for n, item in enumerate(value)]
    if form is dict:
        keys = {key: fitted(parts[0], key, f"a key of {place}") for key in value}
        return {key: fitted(parts[1], value[key], f"{place}.{key}") for key in keys}
    return value


def _is(form: Any, value: Any) -> bool:
    if form is Any:
        return True
    if form in (int, float):
        numbers = (int, float) if form is float else int
        fits = isinstance(value, numbers) and not isinstance(value, bool)
        return fits and abs(value) < LARGEST
    return isinstance(value, form) and (form is not list or bool(value))


def _facts(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        _refuse(value, place or "the record", WORDS[dict])
    hints, facts = _hints(kind), {}
    for field in dataclasses.fields(kind):
        name = f"{place}.{field.name}" if place else field.name
        if field.name in value:
            facts[field.name] = fitted(hints[field.name], value[field.name], name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{name} is missing")
    try:
        return kind(**facts)
    except ValueError as error:
        raise ValueError(f"{place}: {error}" if place else str(error)) from None


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _refuse(value: Any, place: str, expected: str) -> Any:
    text = repr(value)
    short = text if len(text) <= 40 else f"{text[:40]}..."
    raise ValueError(f"{place} is {short}, expected {expected}")
