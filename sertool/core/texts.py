"""Texts that others wrote: whole numbers and TOML from them, however long or deep, and as JSON."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from sertool.core.memory import afford

LARGEST = 2**31 - 1  # the largest whole number that is taken from a text
_OBJECT, _LIST, _VALUE = 200, 64, 80  # bytes of memory, at most, of what JSON text says

# what JSON leaves as it is, and steers a terminal or turns text around: C1, and marks of direction
_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f]|{_STEERING.pattern}")  # and what no page needs


def json_text(value: Any, **options: Any) -> str:
    r"""Return a value as JSON in which nothing steers a terminal; what is no JSON is a ValueError.

    >>> print(json_text({"speaker": "Zoë\x9b2J"}))
    {"speaker": "Zoë\u009b2J"}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_of(content: bytes, what: str) -> Any:
    """Return what JSON text says; TooMuch, which calls it `what`, where that takes too much memory.

    Three bytes of text, a list with nothing in it, take 70 of memory. ValueError for other text.

    >>> json_of(b'{"a": [1, 2]}', "a.json")
    {'a': [1, 2]}
    """
    afford(json_size(content), what)
    return json.loads(content)


def json_size(content: bytes) -> int:
    """Return how many bytes of memory what JSON text says takes at most, the text with it."""
    objects, lists, values = (content.count(mark) for mark in (b"{", b"[", b","))
    return len(content) + _OBJECT * objects + _LIST * lists + _VALUE * values


def visible(text: str) -> str:
    r"""Return a text in which nothing steers a terminal or turns it around; lines and tabs stay.

    >>> print(visible("a\x1b[2Jb\n"), end="")
    a\x1b[2Jb
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def whole(text: str) -> int | None:
    """Return a whole number from 0 to `LARGEST` in ASCII digits; None for any other text.

    >>> whole("007"), whole("-1"), whole("1" * 5000), whole("")
    (7, None, None, None)
    """
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit()) or len(digits) > len(str(LARGEST)):
        return None
    number = int(digits or "0")
    return number if number <= LARGEST else None


def toml(text: str, **options: Any) -> Any:
    """Return what `tomllib.loads` does; ValueError for all that it fails on, deep nesting, too."""
    try:
        return tomllib.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise ValueError("a number has too many digits") from None
