"""What a test needs that starts the program as a process of its own."""

from __future__ import annotations

import signal


def ctrl_c_is_heard() -> None:
    """Undo, as `preexec_fn`, what `nohup make test &` hands down to every child: SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
