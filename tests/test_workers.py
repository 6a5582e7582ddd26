"""Worker processes: order kept, failures told, no orphans."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import children
import pytest

from sertool.core.errors import InputError, ItemError
from sertool.core.workers import ordered


def square(n: int) -> int:
    time.sleep(0.002 * (n % 3))
    return n * n


def die(n: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return n


def fail(n: int) -> int:
    raise ItemError(f"number {n}")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order(workers: int) -> None:
    assert list(ordered(square, range(50), workers)) == [n * n for n in range(50)]


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_come_through(workers: int) -> None:
    with pytest.raises(ItemError, match="number 0"):
        next(ordered(fail, range(3), workers))


def test_a_killed_worker_is_one_clear_error() -> None:
    with pytest.raises(InputError, match="worker process was killed"):
        list(ordered(die, range(3), 2))


def sleep(n: int) -> int:
    time.sleep(60)
    return n


@pytest.mark.parametrize("begun", [False, True])
def test_stopping_early_does_not_wait_for_the_work(begun: bool) -> None:
    others = children.below(os.getpid())
    results = ordered(sleep, range(9), 2)
    workers = set(children.below(os.getpid())) - set(others)
    assert len(workers) == 3  # and what keeps them
    with pytest.raises(KeyboardInterrupt), contextlib.closing(results):
        if begun:
            before = signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                next(results)
            finally:
                signal.signal(signal.SIGALRM, before)
        raise KeyboardInterrupt
    assert not any(map(children.alive, workers))


PROGRAM = """
import os, sys, time
from sertool.core.workers import ordered
def slow(n):
    time.sleep(0.05)
    return os.getpid()
for pid in ordered(slow, range(10000), 2):
    print(pid, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel to end orphans")
def test_workers_die_with_a_killed_parent() -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = {int(process.stdout.readline()) for _ in range(6)}
    process.kill()
    process.wait()
    process.stdout.close()
    assert children.gone(pids)
