"""Settings of a feature kind or a model: a frozen dataclass filled from `--set NAME=VALUE`."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from typing import Any, TypeVar

from sertool.core.errors import UsageError

T = TypeVar("T")
LONGEST = 80  # characters of a value in a message
LARGEST = 2**31 - 1  # whole number that a setting may be


def setting(default: Any, help: str, unit: str = "") -> Any:
    """Return a dataclass field with its default, one line of help, and its unit."""
    return dataclasses.field(default=default, metadata={"help": help, "unit": unit})


def describe(cls: type) -> list[tuple[str, Any, str, str]]:
    """Return (name, default, unit, help) of every setting of `cls`, in order."""
    return [
        (f.name, f.default, f.metadata.get("unit", ""), f.metadata.get("help", ""))
        for f in dataclasses.fields(cls)
    ]


def read_value(text: str) -> Any:
    """Return `text` read as a TOML value, or as a string where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse(cls: type[T], assignments: list[str]) -> T:
    """Return an instance of the settings dataclass `cls` with `NAME=VALUE` texts applied.

    Raises UsageError for an unknown name, a missing `=`, or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for text in assignments:
        name, equals, raw = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"--set {text}: write NAME=VALUE")
        if name not in hints:
            known = ", ".join(hints) or "none"
            raise UsageError(f"--set {name}: no such setting; there are {known}")
        values[name] = _convert(name, read_value(raw.strip()), hints[name])
    try:
        return cls(**values)
    except ValueError as error:
        raise UsageError(f"--set: {error}") from error


def check_types(cls: type, values: dict[str, Any]) -> None:
    """Raise ValueError where a file's value for a setting of `cls` has another type."""
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        if name in hints:
            try:
                _convert(name, value, hints[name])
            except UsageError as error:
                raise ValueError(str(error).removeprefix("--set ")) from error


def _convert(name: str, value: Any, hint: Any) -> Any:
    """Return `value` as the type that `hint` allows, or raise UsageError."""
    if type(value) is int and abs(value) > LARGEST:
        raise UsageError(f"--set {name}: at most {LARGEST}")
    origin = typing.get_origin(hint)
    allowed = typing.get_args(hint) if origin in (types.UnionType, typing.Union) else (hint,)
    if value == "none" and type(None) in allowed:
        return None
    for kind in allowed:
        if typing.get_origin(kind) is typing.Literal:
            if value in typing.get_args(kind):
                return value
        elif typing.get_origin(kind) is tuple and isinstance(value, list):
            member = typing.get_args(kind)[0]
            if member is float:
                value = [float(item) if type(item) is int else item for item in value]
            if all(type(item) is member for item in value):
                return tuple(value)
        elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        elif typing.get_origin(kind) is None and isinstance(kind, type) and type(value) is kind:
            return value
    shown = " or ".join(_spell(kind) for kind in allowed)
    given = str(value)
    given = given if len(given) <= LONGEST else given[:LONGEST] + "…"
    raise UsageError(f"--set {name}={given}: needs {shown}")


def _spell(kind: Any) -> str:
    """Return a type as a word for people."""
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(str(value) for value in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"a list in brackets, each {_spell(typing.get_args(kind)[0])}"
    words = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
    return "none" if kind is type(None) else words.get(kind, str(kind))
