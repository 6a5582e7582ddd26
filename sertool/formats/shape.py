"""Shapes of JSON values, and the first place where what a file holds departs from one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sertool.core.paths import show

MOST = 2**31  # no count in a file is as large
LARGEST = 1e300  # nor any number: none overflows where it is scaled


@dataclass(frozen=True)
class Leaf:
    """A value that `fits`; `wrong` says of another what it is not."""

    wrong: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Table:
    """A table with these fields and any others; `name?` may be missing or null."""

    fields: dict[str, Any]


@dataclass(frozen=True)
class Every:
    """A table of one shape of value under any name."""

    shape: Any


@dataclass(frozen=True)
class Listed:
    """A list of one shape of value."""

    shape: Any


Shape = Leaf | Table | Every | Listed


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST


ANY = Leaf("", lambda value: True)
TEXT = Leaf("is no text", lambda value: isinstance(value, str))
COUNT = Leaf("is no count", lambda value: type(value) is int and 0 <= value < MOST)
NUMBER = Leaf("is no number", _number)
NAME = Leaf("is no name", lambda value: isinstance(value, str) and value != "")
NAMES = Leaf(
    "is no list of names, each there once",
    lambda value: (
        isinstance(value, list)
        and len(value) > 0
        and all(map(NAME.fits, value))
        and len(set(value)) == len(value)
    ),
)
TABLE = Every(ANY)
ITEM = Leaf("is no item", lambda value: isinstance(value, str | dict))  # its id, or its fields
LINEAGE = Listed(
    Table(
        {"stage": TEXT, "version": TEXT, "params": TABLE}
        | {"input": Table({"name": TEXT, "sha256": TEXT})}
    )
)
PIPELINE = Listed(
    Table(
        {"stage": TEXT, "settings?": TABLE, "sample_rate?": COUNT, "fitted_on?": Listed(ITEM)}
        | {f"{name}?": TEXT for name in ("kind", "channel", "fit", "segment_tail", "dtype")}
        | {f"{name}?": NUMBER for name in ("offset", "duration")}
        | {f"{name}?": NUMBER for name in ("segment", "segment_hop", "segment_max")}
    )
)


def check(value: Any, shape: Shape) -> None:
    """Raise ValueError that names the first place where `value` is of another shape."""
    for place, wrong in _faults(value, shape, ""):
        raise ValueError(f"{place} {wrong}".strip())


def _faults(value: Any, shape: Shape, place: str) -> Iterator[tuple[str, str]]:
    """Yield (place, what is wrong there), places as a/path/of/names."""
    if isinstance(shape, Leaf):
        if not shape.fits(value):
            yield place, shape.wrong
        return
    if isinstance(shape, Listed):
        if not isinstance(value, list):
            yield place, "is no list"
            return
        for i, one in enumerate(value):
            yield from _faults(one, shape.shape, f"{place}/{i}")
        return
    if not isinstance(value, dict):
        yield place, "is no table"
    elif isinstance(shape, Every):
        for name, one in value.items():
            yield from _faults(one, shape.shape, f"{place}/{show(name)[:80]}")
    else:
        for field, inner in shape.fields.items():
            name = field.removesuffix("?")
            at = f"{place}/{name}" if place else name
            if value.get(name) is not None or (name in value and name == field):
                yield from _faults(value[name], inner, at)
            elif name == field:
                yield at, "is missing"
