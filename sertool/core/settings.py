"""Settings and options: declared once, as the fields of a frozen dataclass.

A feature kind's or a model's settings are given as `--set NAME=VALUE`, a stage's options by their
own names (see `sertool.core.options`). Both are declared with `option` and checked by `convert`.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from sertool.core.errors import UsageError
from sertool.core.texts import LARGEST, toml

T = TypeVar("T")
LONGEST = 80  # characters of a value in a message
HUGE = 1e6  # an upper limit from here on is there for safety, and no help to anybody


@dataclass(frozen=True)
class Option:
    """What is declared of a setting or option beside its name, type and default.

    help: one sentence for people. unit: of its value, "Hz". metavar: what stands for the value in
    the help. flag: the name on the command line where it is not the field's. short: "-j".
    panel: the heading that it stands under. choices: all values there are, or the usual ones where
    they are `open`. least, above, most, below: the range of a number. unset: what no value means,
    for people. bare: what the option means where no number follows it, and no choice. read: turns
    the command line's text into a value. recorded: whether it shapes the output and so belongs in
    the lineage.
    """

    help: str
    unit: str = ""
    metavar: str = ""
    flag: str = ""
    short: str = ""
    panel: str = ""
    choices: Sequence[str] = ()
    open: bool = False
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    unset: str = ""
    bare: str = ""
    read: Callable[[Any], Any] | None = None
    recorded: bool = True

    def holds(self, value: Any) -> bool:
        """Return whether `value` is one of the choices and, if a number, finite and in range."""
        if isinstance(value, tuple):
            return all(map(self.holds, value))
        if isinstance(value, str) and self.choices and not self.open:
            return value in self.choices
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        return math.isfinite(value) and not (
            (self.least is not None and value < self.least)
            or (self.above is not None and value <= self.above)
            or (self.most is not None and value > self.most)
            or (self.below is not None and value >= self.below)
        )

    @property
    def range(self) -> str:
        """The range of the value in words: "above 0, at most 10", "1 or more", "0 to 1"."""
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        if self.above is not None and self.below is not None:
            return f"between {self.above:g} and {self.below:g}"
        if self.least is not None and self.below is not None:
            return f"{self.least:g} to below {self.below:g}"
        lower = f"above {self.above:g}" if self.above is not None else ""
        lower = f"{self.least:g} or more" if self.least is not None else lower
        upper = f"below {self.below:g}" if self.below is not None else ""
        upper = f"at most {self.most:g}" if self.most is not None else upper
        return ", ".join(filter(None, (lower, upper)))

    def limits(self) -> list[str]:
        """Return the choices and the range in words, where the help leaves them out."""
        found = []
        if self.choices and not self.open and not all(c in self.help for c in self.choices):
            found.append(any_of(self.choices))
        limit = self.most if self.most is not None else self.below
        trivial = self.range in ("0 or more", "1 or more") or (limit or 0) >= HUGE
        return found + ([self.range] if self.range and not trivial else [])


def option(default: Any, help: str, unit: str = "", **more: Any) -> Any:
    """Return a dataclass field with its default and what else an `Option` declares.

    >>> @dataclass(frozen=True)
    ... class Loudness:
    ...     gain: float = option(0.0, "Gain.", "dB", least=-60, most=60)
    >>> make(Loudness, {"gain": 6})
    Loudness(gain=6.0)
    """
    metadata = {"option": Option(help, unit, **more)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


setting = option  # of a kind or a model: what `--set` takes


def option_of(field: dataclasses.Field[Any]) -> Option:
    """Return what is declared of a field; an empty declaration where nothing is."""
    found: Option = field.metadata.get("option") or Option("")
    return found


def describe(cls: type) -> list[tuple[str, Any, str, str]]:
    """Return (name, default, unit, help) of every setting of `cls`, in order."""
    fields = ((f, option_of(f)) for f in dataclasses.fields(cls))
    return [(f.name, _default(f), declared.unit, declared.help) for f, declared in fields]


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def read_value(text: str) -> Any:
    """Return `text` read as a TOML value, or as a string where it is none."""
    try:
        return toml(f"value = {text}")["value"]
    except ValueError:
        return text


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Return the values of `--set NAME=VALUE` texts by name; UsageError where `=` is missing."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, raw = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: write NAME=VALUE")
        values[name.strip().replace("-", "_")] = read_value(raw.strip())
    return values


def pairs(flag: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return (key, value) of each "KEY=VALUE"; UsageError, which names the `flag`, otherwise."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"{flag} {text}: write KEY=VALUE")
        if key in found:
            raise UsageError(f"{flag} {text}: {key} is given twice")
        found[key] = value
    return list(found.items())


def make(cls: type[T], values: Mapping[str, Any]) -> T:
    """Return an instance of the settings dataclass `cls` with these values.

    Raises UsageError for an unknown name, or a value of another type or out of range.
    """
    hints = typing.get_type_hints(cls)
    declared = {f.name: option_of(f) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            near = meant(name, declared)
            raise UsageError(f"--set {name}: no such setting; there are {known}{near}")
        made[name] = convert(f"--set {name}=", value, hints[name], declared[name])
    try:
        return cls(**made)
    except ValueError as error:
        raise UsageError(f"--set: {error}") from error


def convert(label: str, value: Any, hint: Any, declared: Option, text: bool = False) -> Any:
    """Return `value` as the type `hint`, in its declared range.

    text: `value` comes from a command line, where numbers are texts and a pair is LOW:HIGH.
    Raises UsageError, which begins with `label` and the value, for anything else.
    """
    shown = spelled(value)
    shown = shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"
    if type(value) is int and abs(value) > LARGEST:
        raise UsageError(f"{label.rstrip('= ')}: at most {LARGEST}")
    for kind in _allowed(hint):
        try:
            found = _as(kind, value, text)
        except (ValueError, OverflowError):
            continue
        if declared.holds(found):
            return found
    kinds = [kind for kind in _allowed(hint) if not text or kind is not type(None)]
    words, near = " or ".join(map(_spell, kinds)), ""
    if declared.choices and not declared.open:
        words, near = any_of(declared.choices), meant(str(value), declared.choices)
    limits = f"{declared.range} {declared.unit}".strip() if declared.range else ""
    raise UsageError(f"{label}{shown}: needs {', '.join(filter(None, (words, limits)))}{near}")


def spelled(value: Any) -> str:
    """Return a value as it is typed: a range as LOW:HIGH, a list with commas."""
    if not isinstance(value, tuple):
        return str(value)
    numbers = [f"{one:g}" for one in value if isinstance(one, int | float)]
    return ":".join(numbers) if numbers else ",".join(map(str, value))


def meant(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'mel'?" for a name that is nearly a known one, else nothing.

    >>> meant("ml", ["mel", "mfcc"]), meant("quux", ["mel"])
    ("; did you mean 'mel'?", '')
    """
    near = get_close_matches(name.casefold(), known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def any_of(words: Sequence[str]) -> str:
    """Return "a, b or c"."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _allowed(hint: Any) -> tuple[Any, ...]:
    """Return the types that a hint allows, one by one."""
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if union else (hint,)


def _as(kind: Any, value: Any, text: bool) -> Any:
    """Return `value` as one type; ValueError where it is none."""
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        if value is None or value == "none":
            return None
    elif origin is typing.Literal:
        if value in members:
            return value
    elif origin is tuple:
        return _as_tuple(members, value, text)
    elif origin is dict and isinstance(value, Mapping):
        return dict(value)
    elif kind is float and (text or type(value) in (int, float)):
        return float(value)
    elif kind is int and text:
        return int(value)
    elif kind is Path and isinstance(value, str | Path) and value != "":  # an unset variable
        return Path(value)
    elif getattr(kind, "_is_protocol", False):
        if isinstance(value, kind):
            return value
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise ValueError


def _as_tuple(members: tuple[Any, ...], value: Any, text: bool) -> tuple[Any, ...]:
    """Return a tuple of any length, or a pair of numbers, LOW:HIGH or one for both."""
    if members[1:] == (...,):
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(_as(members[0], item, text) for item in value)
    if text and isinstance(value, str):
        low, colon, high = value.partition(":")
        value = (low, high if colon else low)
    if not isinstance(value, list | tuple) or len(value) != len(members):
        raise ValueError
    return tuple(_as(kind, item, text) for kind, item in zip(members, value, strict=True))


def _spell(kind: Any) -> str:
    """Return a type as a word for people."""
    members = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return any_of([str(value) for value in members])
    if typing.get_origin(kind) is tuple:
        several = f"a list in brackets, each {_spell(members[0])}"
        return several if members[1:] == (...,) else "LOW:HIGH, two numbers"
    words = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
    name = kind.__name__ if getattr(kind, "_is_protocol", False) else str(kind)
    return "none" if kind is type(None) else words.get(kind, name)
