"""Signals that end a run: what is still done on TERM, and that no Ctrl-C is lost."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NoReturn

CODE = 128 + signal.SIGTERM  # as a shell has it of a process that TERM ended


UNWRITTEN = "file write failed"  # what HDF5 says, again as it frees each object of the file


class Terminated(SystemExit):
    """TERM came, and what was worth keeping is kept; a script that lets it pass exits with 143."""

    def __init__(self) -> None:
        super().__init__(CODE)


@contextmanager
def answered(act: Callable[[], None]) -> Iterator[None]:
    """Have TERM call `act` in the block, in the main thread and between two steps of Python.

    Elsewhere, and where the program answers TERM itself, nothing changes.
    """
    usual = threading.current_thread() is threading.main_thread()
    if not usual or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


_spoilt: list[bool] = []


def spoil() -> None:
    """Have the program end without clearing up: HDF5, where it could not write, crashes at that."""
    _spoilt.append(True)


def leave(code: int) -> NoReturn:
    """End the program."""
    if _spoilt:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def keep_signals() -> None:
    """Have a signal come again whose exception got lost: in a destructor, or in a callback from C.

    There Python prints an exception and goes on, and with it the program that was to end.
    """
    usual = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        for kind, number in ((KeyboardInterrupt, signal.SIGINT), (Terminated, signal.SIGTERM)):
            if issubclass(lost.exc_type, kind):
                # later: what it interrupts now is this very function
                threading.Timer(0.01, _thread.interrupt_main, [number]).start()
                return
        if UNWRITTEN not in str(lost.exc_value):
            usual(lost)

    def printed(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if UNWRITTEN not in str(error):
            shown(kind, error, at)

    shown = sys.excepthook  # Cython prints there, too, what nobody can catch
    sys.unraisablehook, sys.excepthook = hook, printed
