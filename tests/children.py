"""What a test needs that interrupts the program: a process of its own, in which Ctrl-C works."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible(command: Sequence[Any], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command that SIGINT interrupts, whoever started the tests; kill what is left of it.

    `nohup make test &` hands an ignored SIGINT down to every child.
    """
    process = subprocess.Popen(
        [str(word) for word in command],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
