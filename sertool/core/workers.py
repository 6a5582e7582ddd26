"""Worker processes with one thread each, whose results come back in order.

Not concurrent.futures: before Python 3.14 its pool cannot end workers that are busy, so that Ctrl-C
would wait for the longest recording, and it starts threads in this process before the workers fork.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sertool.core.allocator import keep_freed
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

S = TypeVar("S")
T = TypeVar("T")
AHEAD = 4  # tasks a worker may be ahead of the results: bounds memory and lost work
_PR_SET_PDEATHSIG = 1


def single_thread() -> None:
    """Keep numerical libraries that are not loaded yet to one thread a process."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def patient_threads() -> None:
    """Let the threads of a numerical library that is not loaded yet sleep while they wait.

    They spin by default: on a machine with other work that takes three times the processor time
    and twice as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered(
    work: Callable[[S], T],
    tasks: Iterable[S],
    workers: int,
    anew: bool = False,
    patience: float | None = None,
) -> Generator[T, None, None]:
    """Return an iterator over `work(task)` for every task, in the order of the tasks.

    With one worker, or one task in a sequence, the work is done in this process, when asked for;
    else processes, no more than such tasks, start before this returns (call it before starting
    threads or opening HDF5 files), and no task is asked for before a result is. `work` must be
    picklable where the platform cannot fork. anew: the processes begin anew instead of as a
    fork, may use threads, GPUs and open files, and none is given a task before it is free: for
    tasks that are worth the seconds of a start; `work` must be picklable then. patience: seconds
    after which None comes, where the next result takes a process longer. Close the iterator
    to stop early: the workers are killed. It raises InputError where a worker is killed (as for
    want of memory).
    """
    keep_freed()
    if isinstance(tasks, Sized):
        workers = min(workers, len(tasks))
    if workers < 2:
        return (work(task) for task in tasks)
    team = _Team(work, workers, anew)
    results = _results(team, iter(tasks), patience)
    next(results)  # inside its try, so that closing it ends the workers even before any result
    return results


class _Team:
    """Processes, each at the other end of a pipe of its own: nothing shared, so any may die."""

    def __init__(self, work: Callable[[Any], Any], workers: int, anew: bool) -> None:
        import multiprocessing

        self.waiting = 1 if anew else 2  # tasks that a worker has: the one it is at, and another
        self.asked = "--parallel" if anew else "--workers"
        # A fork shares what is imported already.
        how = "fork" if sys.platform == "linux" and not anew else "spawn"
        context: Any = multiprocessing.get_context(how)
        self.pipes: list[Connection] = []
        self.processes: list[BaseProcess] = []
        with _held_back():
            for _ in range(workers):
                ours, theirs = context.Pipe()
                arguments = (work, theirs, [*self.pipes, ours], os.getpid())
                process = context.Process(target=_serve, args=arguments, daemon=True)
                process.start()
                theirs.close()
                self.pipes.append(ours)
                self.processes.append(process)

    def end(self) -> None:
        """End the processes, whatever they are at."""
        for process in self.processes:
            process.kill()
        for process, pipe in zip(self.processes, self.pipes, strict=True):
            process.join()
            pipe.close()


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Hold Ctrl-C back: a process that starts would die of it, aloud, until it ignores it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    work: Callable[[Any], Any], pipe: Connection, inherited: list[Connection], parent: int
) -> None:
    """Do the tasks that come through the pipe; leave Ctrl-C to the parent, and die with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        for other in inherited:
            other.close()
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, work(task))
        except Exception as error:
            answer = (False, error)
        pipe.send(answer)


def _results(team: _Team, rest: Iterator[S], patience: float | None) -> Generator[Any, None, None]:
    """Yield nothing once, then the results in order, and None when patience is at its end."""
    from multiprocessing.connection import wait

    done: dict[int, tuple[bool, Any]] = {}
    busy: dict[Connection, deque[int]] = {pipe: deque() for pipe in team.pipes}
    count = wanted = 0

    def give(pipe: Connection) -> None:
        nonlocal count
        if count - wanted < AHEAD * len(team.pipes):
            for task in islice(rest, 1):
                pipe.send(task)
                busy[pipe].append(count)
                count += 1

    try:
        yield None
        for pipe in team.pipes * team.waiting:
            give(pipe)
        while any(busy.values()) or wanted in done:
            while wanted in done:
                good, value = done.pop(wanted)
                if not good:
                    raise value
                wanted += 1
                yield value
                for pipe in team.pipes:
                    if len(busy[pipe]) < team.waiting:
                        give(pipe)
            if not any(busy.values()):
                continue
            ready = cast("list[Connection]", wait([p for p in team.pipes if busy[p]], patience))
            if not ready:
                yield None
            for pipe in ready:
                done[busy[pipe].popleft()] = pipe.recv()
                give(pipe)
    except (EOFError, ConnectionError) as error:
        raise InputError(
            "a worker process was killed, perhaps for lack of memory; use a smaller"
            f" {team.asked} and --resume"
        ) from error
    finally:
        team.end()
