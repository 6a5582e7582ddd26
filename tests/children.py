"""What a test needs that interrupts the program: a process of its own, in which Ctrl-C works."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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


def below(process: int) -> list[int]:
    """Return the processes that a process has started, and those that these have; on Linux."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat") as file:
            state, parent = file.read().rsplit(")", 1)[1].split()[:2]
            if state != "Z":
                parents[int(name)] = int(parent)
    found, last = [], [process]
    while last:
        last = [child for child, parent in parents.items() if parent in last]
        found += last
    return found
