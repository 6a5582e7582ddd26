"""Worker processes with one thread each, whose results come back in order.

Not concurrent.futures: before Python 3.14 its pool cannot end workers that are busy, so that Ctrl-C
would wait for the longest recording, it starts threads in this process before the workers fork, and
a worker that dies ends all.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from sertool.core import ending, memory
from sertool.core.allocator import keep_freed
from sertool.core.boxes import (
    FORKS,
    TRIES,
    Boxes,
    Limits,
    Loss,
    held_back,
    leave_to,
    may_box,
    packed,
    serve,
    unpacked,
)
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

S = TypeVar("S")
T = TypeVar("T")
GRACE = 20.0  # seconds that processes that began anew have to keep what they made, on TERM
AHEAD = 4  # tasks a worker may be ahead of the results: bounds memory and lost work
SMALL = 1 << 14  # bytes of a task that may wait in a pipe while the worker fills the other one
_counting = threading.Lock()
_single = 0  # how many threads are in `one_thread`
_threads: dict[str, tuple[Any, int]] = {}  # each library and the threads that it had before


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


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let numerical libraries use one thread: the same sums in the same order on any machine.

    The number that OpenMP uses is each thread's own. Others have one for the process: the last of
    several threads that are in here restores it.
    """
    import numpy  # noqa: F401 (loaded before its threads are counted)
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    global _single
    found = ThreadpoolController()
    with _counting:
        _single += 1
        for library in found.select(user_api="blas").lib_controllers:
            _threads.setdefault(library.filepath, (library, library.num_threads))
            _set_threads(library, 1)
    try:
        with found.select(user_api="openmp").limit(limits=1):
            yield
    finally:
        with _counting:
            _single -= 1
            if not _single:
                for library, count in _threads.values():
                    _set_threads(library, count)
                _threads.clear()


def _set_threads(library: Any, count: int) -> None:
    """Set a library's number of threads, whichever thread did so before."""
    library.set_num_threads(count)
    # threadpoolctl 3.8 would listen to this thread alone from now on
    getattr(library, "clear_controlling_thread", lambda: None)()


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
    limits: Limits | None = None,
) -> Generator[T, None, None]:
    """Return an iterator over `work(task)` for every task, in the order of the tasks.

    With one worker, or one task in a sequence, the work is done in this process, when asked for;
    else processes, no more than such tasks, start before this returns (call it before starting
    threads or opening HDF5 files), and no task is asked for before a result is. Tasks are pickled,
    and so is `work` where the platform cannot fork. anew: the processes begin anew instead of as a
    fork, may use threads, GPUs and open files, and none is given a task before it is free: for
    tasks that are worth the seconds of a start; `work` must be picklable then; TERM is handed
    on to them, and Terminated raised when they have ended. patience: seconds after which None
    comes, where the next result takes a process longer. Close the iterator to stop early: the
    workers are killed.

    limits: of every file of a task, see `boxes.file`; even a single worker is a process then, where
    processes can be forked. A worker that crashes or takes too much loses the file that it is at,
    and is replaced, as one is that somebody kills: only where that happens `TRIES` times is the
    file lost, or, where it was at none, InputError raised.
    """
    keep_freed()
    if isinstance(tasks, Sized):
        workers = min(workers, len(tasks))
    boxed = FORKS and not anew and (workers > 1 or (may_box(limits) and workers == 1))
    if not boxed and workers < 2:
        return (work(task) for task in tasks)
    team: _Team
    team = Boxes(work, workers, limits or Limits()) if boxed else _Begun(work, workers, anew)
    results = _Results(team, iter(tasks), patience, 1 if anew else 2).all()
    next(results)  # inside its try, so that closing it ends the workers even before any result
    return results


class _Team(Protocol):
    """Processes, each at the other end of a pipe of its own: nothing shared, so any may die."""

    @property
    def pipes(self) -> list[Connection]:
        """What leads to each process."""

    def wait(self, pipes: list[Connection], patience: float | None) -> list[Connection]:
        """Return those of the pipes that have something to read; none after `patience` seconds."""

    def replace(self, pipe: Connection) -> tuple[Connection, Loss]:
        """Return the pipe of another worker, and how this one ended."""

    def end(self) -> None:
        """End the processes, whatever they are at."""


class _Begun:
    """Processes that begin anew, without limits; those with long tasks are told of TERM."""

    def __init__(self, work: Callable[[Any], Any], workers: int, anew: bool) -> None:
        import multiprocessing

        self._asked = "--parallel" if anew else "--workers"
        context: Any = multiprocessing.get_context("spawn")
        self.pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        with held_back():
            for _ in range(workers):
                ours, theirs = context.Pipe()
                arguments = (work, theirs, os.getpid(), memory.longest())
                process = context.Process(target=_serve, args=arguments, daemon=True)
                process.start()
                theirs.close()
                self.pipes.append(ours)
                self._processes.append(process)
        self._answers = contextlib.ExitStack()
        if anew:
            self._answers.enter_context(ending.answered(self._finish))

    def wait(self, pipes: list[Connection], patience: float | None) -> list[Connection]:
        """Return those of the pipes that have something to read; none after `patience` seconds."""
        from multiprocessing.connection import wait

        return cast("list[Connection]", wait(pipes, patience))

    def replace(self, pipe: Connection) -> tuple[Connection, Loss]:
        """Raise InputError: a start takes seconds, and may fail for the same reason."""
        raise _killed(self._asked)

    def _finish(self) -> None:
        """Have the processes end as TERM has them end, and raise Terminated."""
        for process in self._processes:
            process.terminate()
        until = time.monotonic() + GRACE
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
        raise ending.Terminated

    def end(self) -> None:
        """End the processes, whatever they are at."""
        with self._answers:
            for process in self._processes:
                process.kill()
            for process, pipe in zip(self._processes, self.pipes, strict=True):
                process.join()
                pipe.close()


def _serve(work: Callable[[Any], Any], pipe: Connection, parent: int, longest: float) -> None:
    """Do the tasks that come through the pipe."""
    leave_to(parent)
    memory.allow_length(longest)
    with contextlib.suppress(EOFError):
        while True:
            serve(work, unpacked(pipe.recv()[0]), pipe)


def _killed(asked: str) -> InputError:
    return InputError(
        "a worker process was killed, perhaps for lack of memory; use a smaller"
        f" {asked} and --resume"
    )


@dataclass
class _Task:
    """A task, pickled: why files of it are lost, and how often its worker was killed."""

    given: bytes
    lost: dict[int, str] = field(default_factory=dict)
    killed: int = 0

    def lose(self, loss: Loss) -> None:
        """Take note of how its worker ended; InputError where it cannot be begun again."""
        self.killed += loss.outside
        if loss.outside and self.killed < TRIES:
            return
        if loss.number is None:
            raise _killed("--workers")
        self.lost[loss.number] = loss.reason
        self.killed = 0


class _Results:
    """What becomes of tasks that the workers of a team are given.

    waiting: how many tasks a worker has: the one that it is at, and another.
    """

    def __init__(
        self, team: _Team, rest: Iterator[Any], patience: float | None, waiting: int
    ) -> None:
        self._team, self._rest = team, rest
        self._patience, self._waiting = patience, waiting
        self._busy: dict[Connection, deque[int]] = {pipe: deque() for pipe in team.pipes}
        self._tasks: dict[int, _Task] = {}  # those that are not done
        self._large: int | None = None  # one that waits for a worker to be free
        self._done: dict[int, tuple[bool, Any]] = {}
        self._count = self._wanted = 0

    def all(self) -> Generator[Any, None, None]:
        """Yield nothing once, then the results in order, and None when patience is at its end."""
        try:
            yield None
            self._give()
            while self._tasks or self._wanted in self._done:
                while self._wanted in self._done:
                    good, value = self._done.pop(self._wanted)
                    if not good:
                        raise value
                    self._wanted += 1
                    yield value
                    self._give()
                if self._tasks and not self._received():
                    yield None
        finally:
            self._team.end()

    def _give(self) -> None:
        """Give tasks to the workers that have too few: a first one to each before a second."""
        for most in range(1, self._waiting + 1):
            for pipe in self._team.pipes:
                if len(self._busy[pipe]) < most:
                    self._give_to(pipe)

    def _give_to(self, pipe: Connection) -> None:
        number = self._large
        if number is None:
            if self._count - self._wanted >= AHEAD * len(self._team.pipes):
                return
            for task in self._rest:
                number = self._count
                self._tasks[number] = _Task(packed(task))
                self._count += 1
                break
            else:
                return
        # a worker that waits for its result to be read reads nothing itself
        if self._busy[pipe] and len(self._tasks[number].given) > SMALL:
            self._large = number
            return
        self._large = None
        self._busy[pipe].append(number)
        self._send(pipe, number)

    def _send(self, pipe: Connection, number: int) -> None:
        task = self._tasks[number]
        with contextlib.suppress(OSError):  # whose worker has ended is told by its pipe
            pipe.send((task.given, task.lost))

    def _received(self) -> bool:
        """Take what workers have sent; return whether there was anything."""
        ready = self._team.wait([p for p in self._team.pipes if self._busy[p]], self._patience)
        for pipe in ready:
            try:
                good, value, _ = pipe.recv()
            except (EOFError, OSError):
                self._replace(pipe)
                continue
            number = self._busy[pipe].popleft()
            del self._tasks[number]
            self._done[number] = good, value
        self._give()
        return bool(ready)

    def _replace(self, pipe: Connection) -> None:
        """Have the tasks of a worker that has ended begun again by another."""
        new, loss = self._team.replace(pipe)
        numbers = self._busy.pop(pipe)
        self._tasks[numbers[0]].lose(loss)
        self._busy[new] = numbers
        for number in numbers:
            self._send(new, number)
