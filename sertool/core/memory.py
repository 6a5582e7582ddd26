"""What a file may ask for: memory that its numbers would take, before it is taken, and length.

Settings of features, lengths, dimensions and classes stand in files that anybody may have written.
What follows from them is worked out first, and refused beyond a limit that the environment raises.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sertool.core.errors import InputError

LONGEST = 86400.0  # seconds of a recording
LIMIT = "SERTOOL_MEMORY"  # the environment variable: gigabytes
USUAL = 1.0  # gigabytes


class TooMuch(ValueError):
    """What would be beyond the limit, and how to raise that."""


def limit() -> float:
    """Return the limit in gigabytes; InputError where the environment has no number above 0."""
    text = os.environ.get(LIMIT, "")
    try:
        found = float(text) if text else USUAL
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise InputError(f"{LIMIT}={text}: needs a number of gigabytes above 0")
    return found


_longest: ContextVar[float] = ContextVar("longest", default=LONGEST)


def longest() -> float:
    """Return the seconds that a recording, or what is read of one, may have."""
    return _longest.get()


def allow_length(seconds: float) -> None:
    """Have recordings be as long as this from now on, in this thread and what it forks."""
    _longest.set(seconds)


@contextmanager
def restored() -> Iterator[None]:
    """Have what `allow_length` is given within hold within alone."""
    token = _longest.set(_longest.get())
    try:
        yield
    finally:
        _longest.reset(token)


def afford(size: float, what: str) -> None:
    """Raise TooMuch where `what` takes more than the limit; `size` in bytes.

    >>> afford(1000 * 1000 * 8, "a matrix of 1000 by 1000")
    """
    most = limit()
    if size > most * 1e9:
        raise TooMuch(
            f"{what} takes {size / 1e9:.3g} GB of memory, and the limit is {most:g} GB;"
            f" {LIMIT}={int(size / 1e9) + 1} in the environment allows it"
        )
