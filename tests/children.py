"""What a test needs that interrupts the program: a process of its own, in which Ctrl-C works."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
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


def alive(process: int) -> bool:
    """Return whether a process still runs; one that has ended and nobody waited for does not."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(processes: Iterable[int], seconds: float = 120.0) -> bool:
    """Wait until none of these processes runs; return whether that came, on a slow machine too."""
    until = time.monotonic() + seconds
    while any(map(alive, processes)):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


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
