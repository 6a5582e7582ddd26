"""Where a stage's tasks are done: by processes of this machine, or by an engine on several.

An engine is anything with `submit(function, argument)` that returns futures: Dask's scheduler, Ray,
or an executor of concurrent.futures. It does a task again whose worker died. Its workers see the
same files under the same names, and have the same versions of what computes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from sertool.core import memory, plugins, workers
from sertool.core.boxes import Limits
from sertool.core.errors import InputError, UsageError

S = TypeVar("S")
T = TypeVar("T")
PROCESSES, RAY, DASK = "processes", "ray", "dask://"
WAITING = 1024  # tasks that an engine has at most: bounds its memory, however long the input
PATIENCE = 30  # seconds in which a scheduler answers
ENVIRONMENT = "SERTOOL_"  # the beginning of variables that say how sertool computes
_turn = threading.Lock()
_last: tuple[bytes, Any] = (b"", None)  # what this process did last, as it was sent and as it is


@runtime_checkable
class Executor(Protocol):
    """What takes tasks, as an executor of concurrent.futures or a client of Dask does."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Return a future, whose `result()` waits for what the function returns."""


def read(text: str) -> str:
    """Return the text of `--executor`; UsageError where it names none.

    >>> read("dask://10.0.0.1:8786")
    'dask://10.0.0.1:8786'
    """
    if text in (PROCESSES, RAY) or (text.startswith(DASK) and text != DASK):
        return text
    raise UsageError(f"--executor {text}: needs {PROCESSES}, {DASK}HOST:PORT or {RAY}")


@contextlib.contextmanager
def opened(wanted: str | Executor, note: Callable[[str], None]) -> Iterator[Executor | None]:
    """Yield what tasks are submitted to; None where that are processes of this machine.

    note: is told of the workers. Raises UsageError where a package is not installed, InputError
    where no engine answers.
    """
    if not isinstance(wanted, str):
        yield wanted
    elif wanted == PROCESSES:
        yield None
    else:
        with _ray(note) if wanted == RAY else _dask(wanted.removeprefix(DASK), note) as executor:
            yield executor


@contextlib.contextmanager
def _dask(address: str, note: Callable[[str], None]) -> Iterator[Executor]:
    """Connect to a scheduler: HOST:PORT, or the file that it wrote (.json)."""
    import logging

    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            f"--executor {DASK}{address}: needs Dask: pip install 'sertool[dask]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters, is said here
    where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client = Client(**where, timeout=PATIENCE, set_as_default=False)
    except Exception as error:  # whatever an address or a file of another makes of it
        raise InputError(f"--executor {DASK}{address}: no scheduler answers ({error})") from error
    with client:
        threads = list(client.nthreads().values())
        note(f"{DASK}{address}: {len(threads)} worker processes" + ", to come" * (not threads))
        if any(count > 1 for count in threads):
            note("each does one task at a time: more of them, with --nthreads 1, use all cores")
        yield client.get_executor(pure=False)  # no task is taken for an equal one of another run


@contextlib.contextmanager
def _ray(note: Callable[[str], None]) -> Iterator[Executor]:
    """Connect to the cluster that RAY_ADDRESS names or this machine belongs to, else start one."""
    import logging

    try:
        import ray
    except ImportError as error:
        raise UsageError(f"--executor {RAY}: needs Ray: pip install 'sertool[ray]'") from error
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise InputError(f"--executor {RAY}: no cluster answers ({error})") from error
    try:
        note(f"{RAY}: {ray.cluster_resources().get('CPU', 0):g} cores")
        yield _Ray(ray.remote(num_cpus=1, max_retries=-1)(_call))
    finally:
        if ours:
            ray.shutdown()


def _call(function: Callable[[Any], Any], argument: Any) -> Any:
    return function(argument)


@dataclass(frozen=True)
class _Ray:
    """Ray as an executor; a task whose worker died is done again."""

    remote: Any

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Return the future of `function(argument)`."""
        return self.remote.remote(function, *arguments).future()


def spread(
    executor: Executor | None,
    work: Callable[[S], T],
    tasks: Sequence[S],
    processes: int,
    limits: Limits | None,
) -> Generator[T, None, None]:
    """Return an iterator over `work(task)`, in order: by an executor, or by processes here.

    limits: of those.
    """
    if executor is None:
        return workers.ordered(work, tasks, processes, limits=limits)
    return submitted(executor, work, tasks)


def submitted(
    executor: Executor, work: Callable[[S], T], tasks: Iterable[S]
) -> Generator[T, None, None]:
    """Return an iterator over `work(task)` for every task, in their order, computed elsewhere.

    The first tasks are submitted before this returns: a pool's processes start then, and are to
    share no file that is opened later. It raises what `work` raises, and InputError where the
    engine gives a task up. Closing it takes back what has not begun.
    """
    import pickle

    results = _results(executor, _Away(pickle.dumps(work)), map(pickle.dumps, tasks))
    next(results)  # inside its try, as in `workers.ordered`
    return results


def _results(executor: Executor, away: _Away, rest: Iterator[bytes]) -> Generator[Any, None, None]:
    """Yield nothing once, then the results in order."""
    waiting: deque[Any] = deque()
    try:
        waiting.extend(executor.submit(away, task) for task in islice(rest, WAITING))
        yield None
        while waiting:
            good, answer = _answer(waiting[0])
            waiting.popleft()
            waiting.extend(executor.submit(away, task) for task in islice(rest, 1))
            if not good:
                raise answer
            yield answer
    finally:
        for future in waiting:
            future.cancel()


def _answer(future: Any) -> tuple[bool, Any]:
    try:
        found: tuple[bool, Any] = future.result()
        return found
    except Exception as error:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise InputError(
            f"the executor gave a task up ({what}); --resume continues without what is done"
        ) from error


def _here() -> tuple[str, int]:
    return os.uname().nodename, os.getpid()


def _versions() -> Mapping[str, str]:
    from sertool.core.environment import versions  # costs as much as all that --help imports

    return versions()


@dataclass(frozen=True)
class _Away:
    """Does a task in another process as it would be done in this one.

    work: pickled, to be read where plug-ins are loaded. Tasks of one process take turns, for they
    change what belongs to all of it, and the libraries that compute may.
    """

    work: bytes
    folder: str = field(default_factory=os.getcwd)
    files: tuple[Path, ...] = field(default_factory=plugins.loaded)
    given: Mapping[str, str] = field(
        default_factory=lambda: {k: v for k, v in os.environ.items() if k.startswith(ENVIRONMENT)}
    )
    longest: float = field(default_factory=memory.longest)
    versions: Mapping[str, str] = field(default_factory=_versions)
    home: tuple[str, int] = field(default_factory=_here)

    def __call__(self, task: bytes) -> tuple[bool, Any]:
        """Return whether that went well, and what `work(task)` returns, or raises."""
        import pickle

        try:
            with _turn, memory.restored(), self._as_at_home():
                memory.allow_length(self.longest)
                return True, self._read()(pickle.loads(task))
        except Exception as error:
            return False, error

    @contextlib.contextmanager
    def _as_at_home(self) -> Iterator[None]:
        """Compute as the process that sent this does."""
        if self.home == _here():
            yield
            return
        host = os.uname().nodename
        for name, own in _versions().items():
            if self.versions.get(name) != own:
                raise InputError(
                    f"a worker on {host} has {name} {own}, and this process has"
                    f" {self.versions.get(name)}: results could differ"
                )
        workers.single_thread()
        _one_thread()
        before = os.getcwd()
        others = {k: v for k, v in os.environ.items() if k.startswith(ENVIRONMENT)}
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise InputError(
                f"{self.folder}: not there for a worker on {host}; workers need the same files"
                " under the same names"
            ) from error
        try:
            _set(others, self.given)
            for path in self.files:
                plugins.load_file(path)
            yield
        finally:
            _set(self.given, others)
            os.chdir(before)

    def _read(self) -> Callable[[Any], Any]:
        """Return the work: what it keeps between tasks stays in the process till other comes."""
        global _last
        import pickle

        if _last[0] != self.work:
            _last = self.work, pickle.loads(self.work)
        found: Callable[[Any], Any] = _last[1]
        return found


def _set(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for name in before:
        os.environ.pop(name, None)
    os.environ.update(after)


def _one_thread() -> None:
    """Let the numerical libraries of this process use one thread from now on."""
    import numpy  # noqa: F401 (loaded before its threads are counted)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    threadpool_limits(1)
