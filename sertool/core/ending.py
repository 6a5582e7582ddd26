"""Signals that end a run: what is still done on TERM, and that no Ctrl-C is lost."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CODE = 128 + signal.SIGTERM  # as a shell has it of a process that TERM ended


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
        usual(lost)

    sys.unraisablehook = hook
