"""What a stage reports to people: lines and progress bars on standard error, events in a log."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import regular, show
from sertool.core.texts import visible
from sertool.core.version import VERSION

MOST_ALIKE = 10  # lines of one complaint; more are counted
PLAIN_INTERVAL = 30.0  # seconds between progress lines where standard error is not a terminal
# what differs between complaints that are alike: names and numbers
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\b\d+(?:\.\d+)?\b")

_LOG = re.compile(rb'\{"time": [0-9.e+]+, "stage": "')  # how a log of ours begins
_logs: list[IO[str]] = []  # those that are open


def tell(line: str) -> None:
    """Print a line on standard error; where nobody can read it any more, the work goes on."""
    try:
        print(visible(line), file=sys.stderr, flush=True)
    except OSError:  # its reader has gone, or its disk is full
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stderr.fileno())
            os.close(nowhere)


def is_log(path: Path) -> bool:
    """Return whether a path leads to a log that is being written."""
    with contextlib.suppress(OSError, ValueError):
        found = os.stat(path)
        return any(os.path.samestat(os.fstat(file.fileno()), found) for file in _logs)
    return False


def _open_log(path: Path) -> IO[str]:
    """Open a log to append to: a new file, one of ours, a terminal, or a pipe that is being read.

    Raises InputError for anything else, which is left as it is.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = open(os.open(path, flags, 0o666), "w", encoding="utf-8")  # noqa: SIM115 (kept)
        os.set_blocking(file.fileno(), True)
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size:
            with regular(path) as old:
                ours = _LOG.match(old.read(64))
            if not ours:
                file.close()
                raise InputError(f"{show(path)}: exists and is no log; --log needs another name")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{show(path)}: cannot write the log: {reason}") from error
    _logs.append(file)
    return file


class Progress:
    """Counts finished work and shows it: a bar on a terminal, else a line now and then."""

    def __init__(self, stage: str, total: int | None, what: str, bar: Any, shown: bool) -> None:
        self.stage, self.total, self.what = stage, total, what
        self.done = self._skipped = 0
        self._bar, self._shown = bar, shown
        self._task = bar.add_task(what, total=total, info="") if bar else None
        self._start = self._last = time.monotonic()

    def skip(self, n: int) -> None:
        """Count `n` that an earlier run did: they say nothing about the time left."""
        self.done += n
        self._skipped += n
        if self._bar:
            self._bar.reset(self._task, completed=self.done)

    def advance(self, n: int = 1, **info: str | float) -> None:
        """Count `n` more; `info` (loss=…, uar=…) is shown after the bar."""
        self.done += n
        text = " ".join(f"{key} {_number(value)}" for key, value in info.items())
        if self._bar:
            self._bar.update(self._task, advance=n, info=text)
            return
        now = time.monotonic()
        if self._shown and now - self._last >= PLAIN_INTERVAL:
            self._last = now
            left = ""
            if self.total and self.done > self._skipped:
                rate = (self.done - self._skipped) / (now - self._start)
                seconds = (self.total - self.done) / rate
                left = f", {_duration(seconds)} left"
            total = f" of {self.total}" if self.total else ""
            line = f"sertool {self.stage}: {self.what} {self.done}{total}{left} {text}"
            tell(line.rstrip())


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _duration(seconds: float) -> str:
    """Return seconds as "42 s" or "3 min 05 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Failure(NamedTuple):
    """A file or a line of a manifest that failed, and why."""

    path: str
    reason: str


class Told(NamedTuple):
    """What a console was told: the name of its method, its text, the fields of an event."""

    method: str
    texts: tuple[str, ...] = ()
    fields: Mapping[str, object] = {}


class Console:
    """One stage's voice. A context manager: leaving it closes the log.

    `failures` counts the items that gave nothing, `failed_files` names them; `exit_code` is 1 where
    there are any.
    """

    def __init__(
        self, stage: str, quiet: bool = False, verbose: bool = False, log: Path | None = None
    ) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose contradict each other")
        self.stage, self.quiet, self.verbose = stage, quiet, verbose
        self.failures = 0
        self.failed_files: list[Failure] = []
        self.followers: list[Callable[[Mapping[str, Any]], None]] = []  # told of each event
        self._muted = False
        self._alike: Counter[str] = Counter()
        self._bar: Any = None
        self._log = None if log is None else _open_log(log)
        self._start, self._cpu = time.monotonic(), _cpu()
        self.event(event="start", host=platform.node(), version=VERSION, command=sys.argv)

    @classmethod
    def silent(cls, stage: str = "", log: Path | None = None) -> Console:
        """Return a console that prints nothing: for use as a library."""
        console = cls(stage, quiet=True, log=log)
        console._muted = True
        return console

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.tally()
        if self._log:
            told = (str(error) or type(error).__name__) if error else None
            seconds = time.monotonic() - self._start
            cpu = round(_cpu() - self._cpu, 3)
            self.event(event="end", error=told, failures=self.failures, seconds=seconds, cpu=cpu)
            self._log.close()
            _logs.remove(self._log)
            self._log = None

    @property
    def exit_code(self) -> int:
        """0, or 1 where an item failed."""
        return 1 if self.failures else 0

    def note(self, text: str) -> None:
        """Print one summary line; `--quiet` hides it."""
        if not self.quiet:
            self._print(text)
        self.event(event="note", text=text)

    def warn(self, text: str) -> None:
        """Print one line that is always shown."""
        if not self._muted:
            self._print(text)
        self.event(event="warning", text=text)

    def detail(self, text: str) -> None:
        """Print one line that only `--verbose` shows."""
        if self.verbose:
            self._print(text)

    def failed(self, path: object, reason: str) -> None:
        """Name an item that failed, with its reason, and count it.

        Of reasons that are alike the first ten are printed, all of them with `--verbose`; `tally`
        counts the rest.
        """
        failure = Failure(show(path), reason)
        self.failures += 1
        self.failed_files.append(failure)
        alike = _VARIABLE.sub("…", reason).partition(": ")[0]
        self._alike[alike] += 1
        if not self._muted and (self.verbose or self._alike[alike] <= MOST_ALIKE):
            self._print(f"{failure.path}: {reason}")
        self.event(event="failed", path=failure.path, reason=reason)

    def tally(self, option: str = "--verbose") -> None:
        """Say how many complaints there were beyond those printed; an `option` prints them."""
        for alike, n in self._alike.items():
            if n > MOST_ALIKE and not self._muted and not self.verbose:
                self._print(f"{n - MOST_ALIKE} more: {alike} ({option} names them)")
        self._alike.clear()

    def repeat(self, told: Sequence[Told]) -> None:
        """Tell what a `Remembered` console was told elsewhere."""
        for one in told:
            getattr(self, one.method)(*one.texts, **one.fields)

    def event(self, **fields: Any) -> None:
        """Tell followers, and write one JSON line with the time to the log, if there is one."""
        fields = {"time": time.time(), "stage": self.stage, **fields}
        for follow in self.followers:
            follow(fields)
        if self._log:
            self._log.write(json.dumps(fields, ensure_ascii=False, default=str) + "\n")
            self._log.flush()

    def _print(self, text: str) -> None:
        line = f"sertool {self.stage}: {text}" if self.stage else text
        if self._bar:
            self._bar.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
        else:
            tell(line)

    @contextmanager
    def progress(self, total: int | None, what: str) -> Iterator[Progress]:
        """Show progress through `total` things called `what` while the block runs."""
        if self.quiet or not sys.stderr.isatty():
            yield Progress(self.stage, total, what, None, not self.quiet)
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[info]}"),
        )
        target = RichConsole(stderr=True)
        with RichProgress(*columns, console=target, transient=True, redirect_stdout=False) as bar:
            self._bar = bar
            try:
                yield Progress(self.stage, total, what, bar, True)
            finally:
                self._bar = None


class Remembered(Console):
    """A console that prints nothing and remembers what it was told, for another to tell later."""

    def __init__(self, stage: str) -> None:
        self.told: list[Told] = []
        super().__init__(stage, quiet=True)
        self.told.clear()

    def note(self, text: str) -> None:
        """Remember a summary line."""
        self.told.append(Told("note", (text,)))

    def warn(self, text: str) -> None:
        """Remember a line that is always shown."""
        self.told.append(Told("warn", (text,)))

    def detail(self, text: str) -> None:
        """Remember a line that only `--verbose` shows."""
        self.told.append(Told("detail", (text,)))

    def event(self, **fields: Any) -> None:
        """Remember an event, and when it was."""
        self.told.append(Told("event", (), {"time": time.time(), **fields}))


def _cpu() -> float:
    """Return the CPU seconds of this process and of its workers that have ended."""
    return sum(os.times()[:4])
