"""One input through one command line, in a forked process under limits, and what is wrong with it.

The process that forks has loaded what the command needs, so that an input costs some hundredths of
a second. Linux alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from zlib import crc32

import sertool

MEMORY = 1_500_000_000  # bytes that a process may hold, and of addresses that it may add
SECONDS = 20  # of processor time
PATIENCE = 180  # seconds by the clock, on a busy machine
LINGER = 30  # seconds by the clock in which what an input's process started ends after it
PLACES = 1 << 16  # of the map of lines that an input reached
STDIN = "STDIN"  # the file of an input that is its standard input
ARGUMENT = "ARG"  # the one that is an argument, where a line says {ARG}
OUT = "o"  # with which the names of outputs begin
CODES = (0, 1, 2, 3)
AUDIT = 199  # the file descriptor of what an input must not do
SHARED = ("memory", "hang", "left")  # faults of which a process of several does not tell whose
ESCAPED = 70  # the exit code of what no command explained
PACKAGE = str(Path(sertool.__file__).parent)
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
NOISE = re.compile(  # of libraries
    r"^(\S+:\d+: \w*Warning: |HDF5-DIAG|\[|\S+\.(c|cc|cpp|h)\b|\w*(Warning|Error): )", re.MULTILINE
)
TRACEBACK = "Traceback (most recent call last)"
PROGRAMS = ("ffmpeg", "ffprobe", "python", "python3", "python3.11", "sysctl")
PIPES = ("multiprocessing/connection.py", "core/boxes.py")  # pickles between processes of ours
_PR_SET_CHILD_SUBREAPER = 36
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")
RUNS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Verdict:
    """What came of an input: `fault` is empty where all that must hold held.

    peak: MB that its process held. reached: places of the package's code.
    """

    fault: str
    detail: str
    code: int
    peak: float
    reached: Sequence[int]
    out: str
    err: str


@dataclass(frozen=True)
class Case:
    """An input: the words of a command line, and the files beside which it runs.

    believed: says of an exit code and the folder of outputs what was believed that is not so.
    """

    arguments: Sequence[str]
    files: Files
    believed: Callable[[int, Path, str], str] | None = None


def examine(
    cases: Sequence[Case], desk: Path, call: Callable[[list[str]], int], trace: bool = True
) -> list[Verdict]:
    """Return what came of `call` with the arguments of each case, one after another in one process.

    An input that ends the process, or takes too long, is judged alone, and the others go on in
    another; what cannot be told of one among several is repeated alone.
    """
    found: list[Verdict] = []
    while len(found) < len(cases):
        rest = cases[len(found) :]
        with _adopting():
            some = _together(rest, desk, call, trace)
        if len(rest) > 1 and any(one.fault in SHARED for one in some):
            some = [examine([case], desk, call, trace)[0] for case in rest[: len(some)]]
        found += some
    return found


def _together(
    cases: Sequence[Case], desk: Path, call: Callable[[list[str]], int], trace: bool
) -> list[Verdict]:
    """Return what came of the first cases, up to the one that ended their process."""
    with _scratch() as folder:
        before = _state(desk)
        (folder / "done").touch()
        space = MEMORY + _size("VmSize")
        others = _children()
        child = os.fork()
        if child == 0:
            _in_child(cases, folder, desk, call, trace, space)
        status, held, late, left = _wait(child, others)
        rows = [json.loads(line) for line in (folder / "done").read_text().splitlines()]
        if len(rows) < len(cases):
            code = os.waitstatus_to_exitcode(status)
            rows.append({"code": code or ESCAPED, "changed": [], "reached": []})
        elif left:
            rows[-1]["left"] = left
        if changed := _changes(before, _state(desk), False):
            rows[-1]["changed"] += changed
        peak = held / 1024
        return [_verdict(row, folder / str(i), late, peak) for i, row in enumerate(rows)]


def _verdict(row: dict[str, Any], work: Path, late: bool, peak: float) -> Verdict:
    out, err, audit = (
        path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
        for path in (work.with_suffix(f".{name}") for name in ("out", "err", "audit"))
    )
    slow = late and row["code"] == -signal.SIGKILL
    fault, detail = _fault(row["code"], slow, out, err, audit, row["changed"], peak)
    if not fault and row.get("left"):
        fault, detail = "left", row["left"]
    if not fault and row.get("believed"):
        fault, detail = "believed", row["believed"]
    return Verdict(fault, detail, row["code"], peak, row["reached"], out, err)


def put(files: Files, folder: Path) -> None:
    """Write the files of an input into a folder; what follows a NUL in a name is its kind."""
    for name, content in files.items():
        name, _, kind = name.partition("\0")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        match kind:
            case "link":
                path.symlink_to(content.decode())
            case "twin":
                os.link(folder / content.decode(), path)
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case _:
                path.write_bytes(content)


def _argument(word: str, files: Files, desk: Path) -> str:
    text = files.get(ARGUMENT, b"").replace(b"\0", b"").decode("utf-8", "surrogateescape")
    return word.replace("{desk}", str(desk)).replace("{ARG}", text)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _size(name: str) -> int:
    """Return a size of this process in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(f"{name}:"))


def _state(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                mark = (0, 0) if name in folders else (status.st_size, status.st_mtime_ns)
                found[os.path.relpath(path, folder)] = (*mark, status.st_mode)
    return found


def _changes(old: dict[str, Any], new: dict[str, Any], outputs: bool) -> list[str]:
    """Return names that changed, and new ones, except `outputs`."""
    names = [name for name in {**old, **new} if new.get(name) != old.get(name)]
    ours = (OUT, f".{OUT}", "torchinductor") if outputs else ()
    return [name for name in names if not name.startswith(ours)]


def _between_processes() -> bool:
    """Return whether a pickle that is read came through a pipe from a process of the same run."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.endswith(PIPES):
            return True
        frame = frame.f_back
    return False


# --- the process of inputs ---


def _in_child(
    cases: Sequence[Case],
    folder: Path,
    desk: Path,
    call: Callable[[list[str]], int],
    trace: bool,
    space: int,
) -> None:
    """Run command lines in this process, note what each did, and end it."""
    code = ESCAPED
    try:
        os.setsid()
        sys.dont_write_bytecode = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        done = os.open(folder / "done", os.O_WRONLY | os.O_APPEND)
        for limit, most in (
            (resource.RLIMIT_AS, space),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 1 << 30),
        ):
            resource.setrlimit(limit, (most, resource.getrlimit(limit)[1] if most else 0))
        watched = Watched()
        sys.addaudithook(watched.hook)
        reached = bytearray(PLACES if trace else 0)
        tracer = _tracing(reached) if trace else None
        for i, case in enumerate(cases):
            row = _one(case, folder / str(i), desk, call, watched, tracer)
            row["reached"] = [at for at, byte in enumerate(reached) if byte] if trace else []
            reached[:] = bytes(len(reached))
            os.write(done, json.dumps(row).encode() + b"\n")
        code = 0
    finally:
        os._exit(code)


def _one(
    case: Case,
    work: Path,
    desk: Path,
    call: Callable[[list[str]], int],
    watched: Watched,
    tracer: Any,
) -> dict[str, Any]:
    """Run a command line in this process; return its exit code and what changed beside it."""
    work.mkdir()
    put(case.files, work)
    before = _state(work)
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = math.ceil(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + SECONDS, resource.RLIM_INFINITY))
    os.chdir(work)
    os.environ["TMPDIR"] = str(work)
    tempfile.tempdir = None
    work.with_suffix(".in").write_bytes(case.files.get(STDIN, b""))
    for number, name in enumerate(("in", "out", "err", "audit")):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY
        opened = os.open(work.with_suffix(f".{name}"), flags, 0o600)
        os.dup2(opened, number if number < 3 else AUDIT)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    code = ESCAPED
    given = [_argument(word, case.files, desk) for word in case.arguments]
    watched.work = str(work)
    try:
        sys.settrace(tracer)
        code = call(given)
    except BaseException:
        sys.settrace(None)
        traceback.print_exc()
    sys.settrace(None)
    watched.work = ""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os.chdir("/")
    changed = _changes(before, _state(work), True)
    row = {"code": code, "changed": changed}
    if case.believed is not None and isinstance(code, int) and code in CODES:
        out = work.with_suffix(".out").read_text("utf-8", "replace")
        row["believed"] = case.believed(code, work, out)
    shutil.rmtree(work, ignore_errors=True)
    return row


def _tracing(reached: bytearray) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that marks the lines of the package that are reached."""
    bases: dict[CodeType, int] = {}

    def called(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        base = bases.get(code)
        if base is None:
            ours = code.co_filename.startswith(PACKAGE)
            text = f"{code.co_filename[len(PACKAGE) :]}:{code.co_qualname}"
            base = bases[code] = crc32(text.encode()) if ours else -1
        return line if base >= 0 else None

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            reached[(bases[frame.f_code] + frame.f_lineno * 7919) % PLACES] = 1
        return line

    return called


class Watched:
    """An audit hook, which cannot be removed, that notes what reaches beyond the folder `work`."""

    work = ""

    def hook(self, event: str, given: tuple[Any, ...]) -> None:
        """Note an event that no input may cause."""
        if self.work and (wrong := self._wrong(event, given)):
            os.write(AUDIT, wrong.encode("utf-8", "backslashreplace") + b"\n")

    def _wrong(self, event: str, given: tuple[Any, ...]) -> str:
        if event == "open":
            path, _, flags = given
            writes = isinstance(flags, int) and flags & WRITES
            return f"opens {path!r}" if writes and self._outside(path) else ""
        if event in CHANGES:
            return f"{event} {given[0]!r}" if self._outside(given[0]) else ""
        if event == "pickle.find_class":
            return "" if _between_processes() else f"{event} {given[:2]!r}"
        if event in RUNS:
            known = os.path.basename(os.fsdecode(given[0] or b"")) in PROGRAMS
            return "" if known else f"{event} {given[:2]!r}"
        if event in ("socket.connect", "socket.getaddrinfo"):
            return f"{event} {given[1:2]!r}"
        if event == "exec":
            name = getattr(given[0], "co_filename", "")
            return f"runs {name!r}" if name.startswith(self.work) else ""
        if event == "import" and str(given[1] or "").startswith(self.work):
            return f"imports {given[1]!r}"
        return ""

    def _outside(self, path: Any) -> bool:
        if isinstance(path, int) or path is None:
            return False
        text = os.path.realpath(os.fsdecode(path))
        return not text.startswith((self.work, "/dev/null", "/proc/")) and "numba" not in text


def _wait(child: int, others: set[int]) -> tuple[int, int, bool, str]:
    """Return a process's status, the most KiB that it or what it started held, whether it had to
    be ended, and the name of what lived on after it, which is ended too.

    What it started is this process's when it ends (`_adopting`), in whichever group of processes.
    """
    handle = os.pidfd_open(child)
    late = False
    try:
        if not select.select([handle], [], [], PATIENCE)[0]:
            late = True
            os.kill(child, signal.SIGKILL)
        _, status, used = os.wait4(child, 0)
    finally:
        os.close(handle)
    held, left = used.ru_maxrss, ""
    until = time.monotonic() + LINGER
    while orphans := _children() - others:  # workers see that their parent is gone
        for orphan in orphans:
            if time.monotonic() > until:
                left = left or _name(orphan)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
            ended, _, used = os.wait4(orphan, os.WNOHANG)
            held = max(held, used.ru_maxrss if ended else 0)
        time.sleep(0.01)
    return status, held, late, left


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Have processes whose parent ends become children of this one, which waits for them.

    Not afterwards: nobody would wait for those of other tests.
    """
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0)


def _children() -> set[int]:
    """Return the children of this process, ended ones too."""
    own, found = str(os.getpid()), set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="latin-1") as file:
            if file.read().rpartition(")")[2].split()[1] == own:
                found.add(int(name))
    return found


def _name(process: int) -> str:
    """Return a process's command line."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/cmdline", encoding="latin-1") as file:
        return file.read().replace("\0", " ").strip()[:100] or "a process"
    return "a process"


# --- what must hold ---


def _fault(
    code: int, late: bool, out: str, err: str, audit: str, changed: list[str], peak: float
) -> tuple[str, str]:
    """Return the kind of fault and where it is; two empty texts where there is none."""
    lines = err.rstrip("\n").split("\n") if err else []
    if late or code == -signal.SIGXCPU:
        return "hang", "by the clock" if late else f"over {SECONDS} s of processor time"
    if code < 0:
        return "crash", signal.Signals(-code).name
    if TRACEBACK in err:
        return "traceback", _where(err)
    if peak > MEMORY / 1e6 or "not enough memory" in err:
        return "memory", f"{peak:.0f} MB" if peak > MEMORY / 1e6 else lines[-1][:150]
    if audit:
        return "outside", audit.split("\n")[0][:150]
    if changed:
        return "outside", f"changed {changed[0]!r}"
    if code not in CODES:
        return "code", str(code)
    if found := RAW.search(err) or RAW.search(out):
        return "control", f"{found[0]!r} after {found.string[max(found.start() - 40, 0) :][:40]!r}"
    if found := NOISE.search(err):
        return "noise", err[found.start() :].split("\n")[0][-150:]
    if code and not lines:
        return "silent", f"code {code}"
    if code > 1 and not lines[-1].startswith("sertool"):
        return "words", lines[-1][:150]
    return "", ""


def _where(err: str) -> str:
    """Return the last line of the package in a traceback, and the error."""
    places = re.findall(r'File "([^"]*)", line (\d+), in (\S+)', err)
    ours = [p for p in places if p[0].startswith(PACKAGE)] or places or [("", "", "")]
    name, line, function = ours[-1]
    last = next((x for x in reversed(err.split("\n")) if re.match(r"\w[\w.]*(:|$)", x)), "")
    return f"{os.path.relpath(name, PACKAGE)}:{line} {function}: {last[:120]}"
