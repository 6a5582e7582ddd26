"""Whole numbers and TOML from texts that others wrote, however long and however deep."""

from __future__ import annotations

import tomllib
from typing import Any

LARGEST = 2**31 - 1  # the largest whole number that is taken from a text


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
