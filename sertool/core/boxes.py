"""Processes that may die of a file: each within limits, and replaced when it ends.

They are forked by a keeper, a process that does nothing else and was forked first: so a new one
has none of the threads, models and open files that this process has got since.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from sertool.core import memory, stopping
from sertool.core.errors import InputError, ItemError

if TYPE_CHECKING:
    import mmap
    import socket
    from multiprocessing.connection import Connection

P = ParamSpec("P")
T = TypeVar("T")
FORKS = sys.platform == "linux"  # a fork shares what is imported already
KILLED = (signal.SIGKILL, signal.SIGTERM)  # by somebody else; a crash has other signals
LOOK = 1.0  # seconds at most between two looks at workers that have limits
SECONDS = 120.0  # for one file, or for the next block of a long one, unless said otherwise
LIBRARIES = 0.25  # gigabytes that libraries take which a worker imports
TRIES = 3  # times that a file is tried whose worker is killed by somebody
_PR_SET_PDEATHSIG = 1
_AT = struct.Struct("<qd")  # which file of its task a worker is at, since when; 0 for none
_ASKED = struct.Struct("<cq")  # of a keeper: what, and which worker
_ANSWER = struct.Struct("<q")
_FORK, _REAP, _END = b"f", b"r", b"e"


@dataclass(frozen=True)
class Limits:
    """What a worker may take for one file; 0 for any.

    seconds: without a step ahead; option: whether --file-timeout allows more. memory: bytes beyond
    what the process begins with.
    """

    seconds: float = 0.0
    memory: int = 0
    option: bool = True


class _Here:
    """What this process is at, if it is a worker in a box."""

    def __init__(self, at: mmap.mmap, place: int, limits: Limits) -> None:
        self._at, self._place, self.limits = at, place, limits
        self.lost: Mapping[int, str] = {}
        self._number = 0
        self._limited = not limits.memory

    def mark(self, number: int, now: float | None = None) -> None:
        """Say which file this is at from now on."""
        self._number = number
        _AT.pack_into(self._at, self._place, number, time.monotonic() if now is None else now)

    def step(self) -> None:
        """Have the time begin anew, within a file."""
        self.mark(self._number)

    def limit(self) -> None:
        """Bound this process's memory from now on; done once."""
        if self._limited:
            return
        self._limited = True
        import resource

        with contextlib.suppress(OSError, ValueError):
            with open("/proc/self/statm") as file:
                begun = int(file.read().split()[5]) * resource.getpagesize()
            most = begun + self.limits.memory
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


@dataclass(frozen=True)
class Loss:
    """How a worker ended: at which file of its task (None: at none), why, and whether by others."""

    number: int | None
    reason: str
    outside: bool = False


@contextlib.contextmanager
def usually() -> Iterator[None]:
    """Have `limits` allow for `SECONDS` in what follows, as the command line does."""
    with restored():
        allow(SECONDS)
        yield


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Have what is allowed within hold within alone, and in this thread alone."""
    token = _allowed.set(_allowed.get())
    try:
        with memory.restored():
            yield
    finally:
        _allowed.reset(token)


def allow(seconds: float, option: bool = False) -> None:
    """Have `limits` allow for so many seconds where it is not told, in this thread from now on.

    option: whether the stage has one that allows more.
    """
    _allowed.set((seconds, option))


def limits(models: bool = False) -> Limits | None:
    """Return what a recording may take: the seconds of `allow`, the memory that files may ask for.

    None where the time is not limited. models: features are computed by a model, whose size is not
    the recording's fault.
    """
    seconds, option = _allowed.get()
    if not seconds:
        return None
    return Limits(seconds, 0 if models else int((memory.limit() + LIBRARIES) * 1e9), option)


_here: _Here | None = None
# seconds, and whether an option allows more: from Python; on the command line as `usually` says
_allowed: ContextVar[tuple[float, bool]] = ContextVar("allowed", default=(0.0, False))


@contextlib.contextmanager
def file(number: int = 0) -> Iterator[None]:
    """Count what follows as the work on one file, the `number`-th of a task.

    In a box, that file alone is lost where its process ends, or takes more than the limits:
    ItemError then. Elsewhere nothing is limited.
    """
    here = _here
    if here is None:
        yield
        return
    if number in here.lost:
        raise ItemError(here.lost[number])
    here.limit()
    here.mark(number)
    try:
        yield
    except MemoryError:
        raise ItemError(hunger()) from None
    finally:
        here.mark(0, 0.0)


def step() -> None:
    """Say that a long file gets ahead: its time begins anew."""
    if _here is not None:
        _here.step()


def hunger() -> str:
    """Return why a file is lost for which this process got no memory."""
    most = _here.limits.memory if _here is not None else 0
    if not most:
        return "takes more memory than there is"
    return (
        f"takes more than {most / 1e9:.3g} GB of memory;"
        f" {memory.LIMIT}={int(most / 1e9) + 1} in the environment allows more"
    )


@dataclass
class _Worker:
    """A worker: its place in the table of what workers are at, and its process.

    late: whether it was ended for taking too long. slept: seconds that were slept when it was at
    the file that it was last seen at, since `seen`.
    """

    slot: int
    process: int
    late: bool = False
    seen: float = 0.0
    slept: float = 0.0


class Boxes:
    """A keeper, and the workers that it forks: each at the other end of a pipe of its own.

    `work` is inherited by them. Raises InputError where the keeper itself was killed.
    """

    def __init__(self, work: Callable[[Any], Any], count: int, limits: Limits) -> None:
        import mmap
        import socket

        self.limits = limits
        self._at = mmap.mmap(-1, count * _AT.size)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own = os.getpid()
        with held_back():
            self._keeper = os.fork()
            if not self._keeper:
                try:
                    self._channel.close()
                    _keep(theirs, work, self._at, limits, own)
                finally:
                    os._exit(1)
        theirs.close()
        self._workers: dict[Connection, _Worker] = {}
        self._slept = 0.0  # seconds in which this process was stopped
        self._count = count

    @functools.cached_property
    def pipes(self) -> list[Connection]:
        """What leads to each worker; they are forked when this is first asked for."""
        return self._forked(range(self._count))

    def _forked(self, slots: range) -> list[Connection]:
        """Return the pipes of new workers."""
        import socket
        from multiprocessing import Pipe

        pairs = [Pipe() for _ in slots]
        try:
            for slot, (_, theirs) in zip(slots, pairs, strict=True):
                asked = [_ASKED.pack(_FORK, slot)]
                socket.send_fds(self._channel, asked, [theirs.fileno()])
            for slot, (ours, _) in zip(slots, pairs, strict=True):
                self._workers[ours] = _Worker(slot, self._answer())
        except OSError as error:
            raise _gone() from error
        finally:
            for _, theirs in pairs:
                theirs.close()
        return [ours for ours, _ in pairs]

    def _answer(self) -> int:
        answer = self._channel.recv(_ANSWER.size)
        if not answer:
            raise ConnectionResetError
        return int(_ANSWER.unpack(answer)[0])

    def wait(self, pipes: list[Connection], patience: float | None) -> list[Connection]:
        """Return those of the workers that have sent something, or ended; none after `patience`.

        Who takes too long for a file is ended.
        """
        from multiprocessing.connection import wait

        look = min(LOOK, self.limits.seconds / 4) if self.limits.seconds else None
        begun = time.monotonic()
        while True:
            left = None if patience is None else max(0.0, begun + patience - time.monotonic())
            asked = [seconds for seconds in (look, left) if seconds is not None]
            before = time.monotonic()
            ready = cast("list[Connection]", wait(pipes, min(asked, default=None)))
            now = time.monotonic()
            if look is not None and now - before > look + LOOK:  # stopped, and they perhaps, too
                self._slept += now - before
            if not ready and look is not None:
                for pipe in pipes:
                    self._check(pipe, now)
            if ready or (patience is not None and now - begun >= patience):
                return ready

    def _check(self, pipe: Connection, now: float) -> None:
        """End a worker that takes too long."""
        worker = self._workers[pipe]
        since = self._at_file(worker)[1]
        if worker.seen != since:
            worker.seen, worker.slept = since, self._slept
        if since and now - since - (self._slept - worker.slept) > self.limits.seconds:
            worker.late = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process, signal.SIGKILL)

    def _at_file(self, worker: _Worker) -> tuple[int, float]:
        found: tuple[int, float] = _AT.unpack_from(self._at, worker.slot * _AT.size)
        return found

    def replace(self, pipe: Connection) -> tuple[Connection, Loss]:
        """Return the pipe of another worker, and how this one ended."""
        worker = self._workers.pop(pipe)
        number, since = self._at_file(worker)
        try:
            self._channel.send(_ASKED.pack(_REAP, worker.process))
            status = os.waitstatus_to_exitcode(self._answer())
        except OSError as error:
            raise _gone() from error
        _AT.pack_into(self._at, worker.slot * _AT.size, 0, 0.0)
        at = self.pipes.index(pipe)
        pipe.close()
        (self.pipes[at],) = self._forked(range(worker.slot, worker.slot + 1))
        outside = -status in KILLED and not worker.late
        why = self._late if worker.late else _crashed(status, outside)
        return self.pipes[at], Loss(number if since else None, why, outside)

    @property
    def _late(self) -> str:
        more = "--file-timeout allows more" if self.limits.option else "the disk may be slow"
        return f"took longer than {self.limits.seconds:g} s; {more}"

    def end(self) -> None:
        """End all processes, whatever they are at."""
        with contextlib.suppress(OSError):
            self._channel.send(_ASKED.pack(_END, 0))
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._keeper, 0)
        self._channel.close()
        for pipe in self._workers:
            pipe.close()


def may_box(limits: Limits | None) -> bool:
    """Return whether work is done in a process of its own: never by a worker, which is one."""
    return FORKS and limits is not None and _here is None


class Box:
    """A process for what reads a file now and then: whatever that does to it, this one goes on.

    It is forked when first used, by a keeper that begins with `begin`, or then. Without limits, in
    a worker, and where no process can be forked, everything is done in this process.
    """

    def __init__(self, limits: Limits | None) -> None:
        self._limits = limits if may_box(limits) else None
        self._boxes: Boxes | None = None

    def begin(self) -> Boxes | None:
        """Have a keeper from now on: what is loaded later, and threads, the process will not have.

        Return it, with the process; None where that is this one.
        """
        if self._boxes is None and self._limits is not None:
            self._boxes = Boxes(_called, 1, self._limits)
        return self._boxes

    def call(self, function: Callable[P, T], /, *given: P.args, **more: P.kwargs) -> T:
        """Return what a function returns; what it raises, and ItemError where its process ends."""
        with contextlib.closing(self._results(_Call(function, given, more))) as results:
            found: T
            (found,) = results
            return found

    def stream(
        self, function: Callable[P, Iterator[T]], /, *given: P.args, **more: P.kwargs
    ) -> Generator[T, None, None]:
        """Yield what a function yields, as it comes; raise as `call` does."""
        yield from self._results(_Call(function, given, more, several=True))

    def _results(self, call: _Call) -> Generator[Any, None, None]:
        boxes = self.begin()
        if boxes is None:
            yield from _called(call)
            return
        (pipe,) = boxes.pipes
        with contextlib.suppress(OSError):  # that its process has ended is told by its pipe
            pipe.send((packed(call), {}))
        whole = False
        try:
            while not whole:
                while not boxes.wait([pipe], LOOK / 4):
                    stopping.check()
                try:
                    good, value, whole = pipe.recv()
                except (EOFError, OSError):
                    whole = True
                    raise ItemError(boxes.replace(pipe)[1].reason) from None
                if not good:
                    raise value
                if not whole:
                    yield value
        finally:
            if not whole and self._boxes is boxes:  # nobody wants the rest
                boxes.replace(pipe)

    def close(self) -> None:
        """End the process."""
        if self._boxes is not None:
            self._boxes.end()
            self._boxes = None


@dataclass(frozen=True)
class _Call:
    """A function with what it is given; several: whether it yields several results."""

    function: Callable[..., Any]
    given: tuple[Any, ...]
    more: Mapping[str, Any]
    several: bool = False


def _called(call: _Call) -> Generator[Any, None, None]:
    """Yield what a function returns, or each of what it yields."""
    with file():
        made = call.function(*call.given, **call.more)
        if call.several:
            yield from made
        else:
            yield made


def _crashed(status: int, outside: bool) -> str:
    """Return why a file is lost whose worker ended."""
    if outside:
        return "its process was killed, perhaps for lack of memory"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"reading it crashed ({signal.Signals(-status).name})"
    return f"reading it crashed (exit {status})"


def _gone() -> InputError:
    return InputError(
        "the process that keeps the workers was killed, perhaps for lack of memory; use a smaller"
        " --workers and --resume"
    )


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C back: a process that starts would die of it, aloud, until it ignores it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def forked_free(lock: Any) -> None:
    """Have no process be forked while another thread holds a lock: nobody would free it there.

    None, where a version of a library has no such lock, is nothing.
    """
    if lock is not None and hasattr(os, "register_at_fork"):
        free = lock.release
        os.register_at_fork(before=lock.acquire, after_in_parent=free, after_in_child=free)


def leave_to(parent: int) -> None:
    """Leave Ctrl-C to the parent, and die with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _keep(
    channel: socket.socket,
    work: Callable[[Any], Any],
    at: mmap.mmap,
    limits: Limits,
    parent: int,
) -> None:
    """Fork workers and say how they ended, as the parent asks."""
    import socket

    leave_to(parent)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever tells a whole job tells the parent
    workers: set[int] = set()
    own = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _ASKED.size, 1)
        what, number = _ASKED.unpack(message) if message else (_END, 0)
        if what == _FORK:
            process = os.fork()
            if not process:
                channel.close()
                _boxed(work, descriptors[0], _Here(at, number * _AT.size, limits), own)
            os.close(descriptors[0])
            workers.add(process)
            channel.send(_ANSWER.pack(process))
        elif what == _REAP:
            workers.discard(number)
            channel.send(_ANSWER.pack(_ended(number)))
        else:
            for process in workers:
                _ended(process)
            return


def _ended(process: int) -> int:
    """End a worker with what it started, and return its status."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]


def _boxed(work: Callable[[Any], Any], descriptor: int, here: _Here, keeper: int) -> None:
    """Do the tasks that come through a pipe, within limits; never returns."""
    from multiprocessing.connection import Connection

    global _here
    try:
        os.setpgid(0, 0)  # so that what it starts ends with it
        leave_to(keeper)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if "faulthandler" in sys.modules:  # a crash is told in one line, by the parent
            sys.modules["faulthandler"].disable()
        if "torch" in sys.modules:  # whose threads a fork has not
            sys.modules["torch"].set_num_threads(1)
        _here = here
        pipe = Connection(descriptor)
        while True:
            task, here.lost = pipe.recv()
            serve(work, unpacked(task), pipe)
    except (EOFError, ConnectionError):
        os._exit(0)
    finally:
        os._exit(1)


def packed(task: Any) -> bytes:
    """Return a task as it goes through a pipe."""
    from multiprocessing.reduction import ForkingPickler

    return bytes(ForkingPickler.dumps(task))


def unpacked(task: bytes) -> Any:
    """Return a task that came through a pipe, from this program."""
    from multiprocessing.reduction import ForkingPickler

    return ForkingPickler.loads(task)


def serve(work: Callable[[Any], Any], task: Any, pipe: Connection) -> None:
    """Send what becomes of a task: (whether it went well, the result or error, whether it is all).

    Of a generator each value is sent as it comes.
    """
    try:
        made = work(task)
        if isinstance(made, GeneratorType):
            for value in made:
                _send(pipe, (True, value, False))
            made = None
        answer = True, made, True
    except Exception as error:
        answer = False, error, True
    pipe.send(answer)


def _send(pipe: Connection, value: Any) -> None:
    """Send a value from within a file; who is slow to receive it takes none of its time."""
    if _here is not None:
        number = _here._number
        _here.mark(number, 0.0)
    pipe.send(value)
    step()
