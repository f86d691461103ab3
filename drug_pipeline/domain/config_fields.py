"""The fields of nested configuration dataclasses, by dotted name such as ``model.width``.

What belongs here: a field's type, sentence and value, reading values that people write, and
changing fields. What does not: which configurations there are (``settings/``).
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from inspect import cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from drug_pipeline.domain.errors import ConfigurationError

Config = TypeVar("Config")
NOTHING: Final = "none"
"""How people write None, which TOML has no word for."""
_PIECE: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\[{]|[\]}]|[,\n]|.", re.DOTALL)
_ENTRY: Final = re.compile(r"(?m)^(\w+(?:, \w+)*)\n((?:[ ]{4}.*\n?|\n)+)")
_PLAIN_TYPES: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    NoneType: NOTHING,
}


def field_types(kind: type, prefix: str = "") -> dict[str, Any]:
    """The type of each field, by dotted name; nested dataclasses are opened."""
    return {f"{prefix}{name}": hint for name, hint, _ in _leaves(kind)}


def field_sentences(kind: type, prefix: str = "") -> dict[str, str]:
    """What the ``Parameters`` section of its dataclass says of each field; empty where nothing."""
    return {
        f"{prefix}{name}": _documented(owner).get(name.rpartition(".")[2], "")
        for name, _, owner in _leaves(kind)
    }


def field_values(config: object, prefix: str = "") -> dict[str, Any]:
    """The value of each field, by dotted name."""
    found: dict[str, Any] = {}
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        name = f"{prefix}{field.name}"
        found |= field_values(value, f"{name}.") if is_dataclass(value) else {name: value}
    return found


def with_fields(config: Config, values: Mapping[str, Any]) -> Config:
    """A copy with some fields changed, by dotted name; each dataclass checks its own.

    Raises
    ------
    ConfigurationError
        If a dataclass refuses the values; the message names those that it was given.
    """
    own = {name: value for name, value in values.items() if "." not in name}
    for part in dict.fromkeys(name.partition(".")[0] for name in values if "." in name):
        inner = {
            name.removeprefix(f"{part}."): value
            for name, value in values.items()
            if name.startswith(f"{part}.")
        }
        own[part] = with_fields(getattr(config, part), inner)
    return replace(config, **own)  # type: ignore[type-var]


def wanted(hint: Any) -> str:
    """What a value of a type looks like, in words."""
    if hint in _PLAIN_TYPES:
        return _PLAIN_TYPES[hint]
    inner = get_args(hint)
    origin = get_origin(hint)
    if origin is Literal:
        return " or ".join(str(one) for one in inner)
    if origin in (Union, UnionType):
        return " or ".join(wanted(one) for one in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"a list of {len(inner)}: {', '.join(wanted(one) for one in inner)}"
    if origin is tuple:
        return f"a list, each {wanted(inner[0])}"
    return f"a table, each value {wanted(inner[-1])}" if inner else str(hint)


def checked(value: Any, hint: Any) -> Any:
    """A value as TOML has it, as the type has it: lists become tuples, ``"none"`` None.

    Raises
    ------
    ConfigurationError
        If it is of another type; the message says what is wanted.
    """
    if value == NOTHING and NoneType in get_args(hint):
        return None
    adapter = TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))
    try:
        return adapter.validate_json(json.dumps(value, default=str))
    except ValidationError as error:
        msg = f"wanted is {wanted(hint)}, as TOML writes it"
        raise ConfigurationError(msg) from error


def shown(value: Any) -> str:
    """A value as people write it."""
    if value is None:
        return NOTHING
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name} = {shown(one)}' for name, one in value.items())}}}"
    return json.dumps(value, default=str)


def read_assignments(text: str) -> dict[str, Any]:
    """Values by name from ``NAME=VALUE, NAME=VALUE``, separated by commas or new lines.

    A value is TOML; what is not (``cpu``, ``/data/own.csv``) is taken as text.

    Raises
    ------
    ConfigurationError
        If a piece has no name or no value, or begins a quote or bracket that it does not end.
    """
    values: dict[str, Any] = {}
    for piece in _pieces(text):
        name, sign, value = (part.strip() for part in piece.partition("="))
        if not (name and sign and value):
            msg = (
                f"{piece!r} is not NAME=VALUE. A text with commas stands in quotes, a list in "
                'brackets: splits.names=["pair", "drug"].'
            )
            raise ConfigurationError(msg)
        values[name] = _value(name, value)
    return values


def flat_tables(tables: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as values by dotted name; a field that is itself a table stays whole."""
    found: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping) and name not in known:
            inner = {f"{name}.{key}": one for key, one in value.items()}
            found |= flat_tables(inner, known)
        else:
            found[name] = value
    return found


def _leaves(kind: type) -> Iterator[tuple[str, Any, type]]:
    """Name, type and dataclass of each field that is no dataclass itself."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        hint = hints[field.name]
        if is_dataclass(hint) and isinstance(hint, type):
            yield from ((f"{field.name}.{name}", *rest) for name, *rest in _leaves(hint))
        else:
            yield field.name, hint, kind


def _documented(kind: type) -> dict[str, str]:
    """The text of each entry of a NumPy ``Parameters`` section, on one line; base classes too."""
    sections = [
        cleandoc(one.__doc__ or "").partition("Parameters\n----------\n")[2]
        for one in reversed(kind.__mro__)
    ]
    return {
        name: " ".join(text.split())
        for section in sections
        for names, text in _ENTRY.findall(f"{section}\n")
        for name in names.split(", ")
    }


def _pieces(text: str) -> Iterator[str]:
    """The text cut at commas and new lines that stand outside quotes and brackets."""
    depth, piece = 0, ""
    for mark in _PIECE.findall(text):
        depth += (mark in "[{") - (mark in "]}")
        if mark in ",\n" and depth == 0:
            yield from filter(None, [piece.strip()])
            piece = ""
        else:
            piece += mark
    yield from filter(None, [piece.strip()])


def _value(name: str, text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text[0] in "\"'[{":
            msg = f"{name}={text} is no TOML value: {error}. Close each quote and bracket."
            raise ConfigurationError(msg) from error
        return text
