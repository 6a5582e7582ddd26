"""Work that a thread may end early, where nobody waits for its result any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_over: ContextVar[threading.Event | None] = ContextVar("over", default=None)


class Stopped(Exception):
    """Nobody waits for the result."""


@contextmanager
def until(over: threading.Event) -> Iterator[None]:
    """Have `check`, called by this thread within the block, raise Stopped once `over` is set."""
    token = _over.set(over)
    try:
        yield
    finally:
        _over.reset(token)


def check() -> None:
    """Raise Stopped where nobody waits any more: called wherever a long piece of work has parts."""
    over = _over.get()
    if over is not None and over.is_set():
        raise Stopped
