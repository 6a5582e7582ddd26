"""Worker processes with one thread each, whose results come back in order."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from sertool.errors import InputError

S = TypeVar("S")
T = TypeVar("T")
AHEAD = 4  # tasks a worker may be ahead of the results: bounds memory and lost work
_PR_SET_PDEATHSIG = 1
_work: Callable[[Any], Any] | None = None


def single_thread() -> None:
    """Keep numerical libraries that are not loaded yet to one thread a process."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(work: Callable[[Any], Any], parent: int) -> None:
    """Prepare a worker: it leaves Ctrl-C to its parent, and dies with it."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _call(task: Any) -> Any:
    assert _work is not None
    return _work(task)


def ordered(work: Callable[[S], T], tasks: Iterable[S], workers: int) -> Generator[T, None, None]:
    """Return an iterator over `work(task)` for every task, in the order of the tasks.

    With one worker the work is done in this process, when asked for; with more, the processes
    start before this returns (call it before starting threads or opening HDF5 files). `work`
    must be picklable where the platform cannot fork. Close the iterator to stop early. It raises
    InputError where a worker is killed (as for want of memory).
    """
    if workers <= 1:
        return (work(task) for task in tasks)
    # A fork shares what is imported already.
    method = "fork" if sys.platform == "linux" else "spawn"
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context(method),
        initializer=_start,
        initargs=(work, os.getpid()),
    )
    rest = iter(tasks)
    waiting = deque(pool.submit(_call, task) for task in islice(rest, AHEAD * workers))
    return _results(pool, waiting, rest)


def _results(
    pool: ProcessPoolExecutor, waiting: deque[Future[T]], rest: Iterator[S]
) -> Generator[T, None, None]:
    """Yield the results in order, submitting one more task for each."""
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(_call, task) for task in islice(rest, 1))
            yield result
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, perhaps for want of memory; use fewer --workers"
            " and --resume"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
