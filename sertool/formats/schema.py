"""What files hold, checked against a declared shape: typed objects, or the first departure.

A shape is a msgspec Struct (or any type that msgspec knows). `msgspec.json.schema` gives its JSON
Schema.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, lt=2**31)]
Positive = Annotated[int, Meta(ge=1, lt=2**31)]
Number = Annotated[float, Meta(gt=-1e300, lt=1e300)]  # none overflows where it is scaled
Rate = Annotated[float, Meta(ge=0.0, le=1.0)]
Name = Annotated[str, Meta(min_length=1)]

NO_CHECKSUM = "no checksum (an older version wrote it, or something changed it)"

_WORDS = {
    "object": "a table",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}
_WRONG = re.compile(r"Expected `([^`]*)`(?:, got `([^`]*)`| (.*?))(?: - at `\$(.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`(?: - at `\$(.*)`)?")
_VALUE = re.compile(r"Invalid enum value (.*) - at `\$(.*)`", re.DOTALL)
_OWN = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)  # what a Struct checks of itself


def convert(value: Any, shape: type[T]) -> T:
    """Return JSON values as an object of `shape`.

    Raises ValueError that names the first place of another shape: "folds/0/n is text, not a whole
    number". A place within a table of free names has "…" for the name.

    >>> convert([1, 2], list[int])
    [1, 2]
    >>> convert({"n": "many"}, dict[str, int])
    Traceback (most recent call last):
    ValueError: … is text, not a whole number
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise ValueError(plain(str(error))) from error


def plain(message: str) -> str:
    """Return a message of msgspec as people say it, the place first."""
    if missing := _MISSING.fullmatch(message):
        return f"{_place(missing[2], missing[1])} is missing"
    if value := _VALUE.fullmatch(message):
        return f"{_place(value[2])} cannot be {value[1]}"
    if not (wrong := _WRONG.fullmatch(message)):
        own = _OWN.fullmatch(message)
        return _place(own[2], own[1]) if own else message
    wanted = " or ".join(_WORDS.get(name, name) for name in wrong[1].split(" | "))
    got = f"is {_WORDS.get(wrong[2], wrong[2])}, not {wanted}" if wrong[2] else ""
    return f"{_place(wrong[4])} {got or f'is not {wanted} {wrong[3]}'}".strip()


def _place(path: str | None, field: str = "") -> str:
    """Return "by/…/n" for msgspec's ".by[...].n"."""
    parts = re.findall(r"\[(\d+|\.\.\.)\]|\.?([^.\[\]]+)", path or "")
    names = [number.replace("...", "…") or name for number, name in parts]
    return "/".join([*names, *([field] if field else [])])
