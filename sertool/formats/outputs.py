"""Outputs that appear complete or not at all, and the finished parts that let a run resume.

Nothing here follows a link that somebody else put in an output's folder: temporary names cannot be
foreseen and must be free, and a folder of parts must hold what a run of ours left there. A lock
tells whether the run that a temporary file belongs to lives, as process numbers do not where
containers share a folder.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import is_audio, regular, show
from sertool.formats.lineage import canonical
from sertool.ui import console

_TRAILER = 8  # bytes after a part's content: CRC-32 and the mark below
_MARK = b"part"
_RANDOM = 8  # bytes of chance in a temporary name
_NOREPLACE, _EXCHANGE = 1, 2  # flags of Linux's renameat2
_MOST_BYTES = 1 << 26  # of a job's description, or of the list of a set

_run: ContextVar[_Run | None] = ContextVar("run", default=None)  # of this thread
_free: set[str] = set()  # outputs where nothing was: without --force, nothing is replaced there


@dataclass
class _Run:
    """A command that runs: the paths that it names, outputs among them, and what it has locked.

    claims: locked files beside its outputs. locks: of the parts of these.
    """

    named: list[Path]
    claims: dict[str, tuple[Path, int]] = field(default_factory=dict)
    locks: list[IO[bytes]] = field(default_factory=list)


def check_output(
    path: Path,
    force: bool,
    resume: bool = False,
    inputs: Iterable[str | Path] = (),
    *,
    audio: bool = False,
    among: bool = False,
    alone: bool = True,
) -> None:
    """Raise an error where `path` cannot become an output, before any work is done.

    InputError for what is in the way; UsageError for `-`, for a path that is one of `inputs`, of
    what the command names besides (unless it may be `among` these) or the log, and for the name of
    a recording where the output is none (`audio`). What appears there later is not replaced, unless
    `force`. No other run may write it meanwhile (`claim`), where it is written `alone`.
    """
    if str(path) == "-":
        raise UsageError("the output cannot be standard output; name a file")
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if console.is_log(path):
        raise UsageError(f"{path}: is the --log, too; name another file")
    run = _run.get()
    named = run.named if run else []
    twice = sum(same_file(path, other) for other in named) > 1 and not among
    if twice or any(same_file(path, source) for source in inputs):
        raise UsageError(f"{path}: input and output are the same file")
    if is_audio(path) and not audio:
        raise UsageError(
            f"{path}: has the name of a recording, and the output is none; name the output last"
        )
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a regular file; name another")
    there = os.path.lexists(path)
    if there and not force and not resume:
        raise InputError(f"{path}: exists already; --force replaces it")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: no permission to write in {folder}")
    if alone:
        claim(path)
    (_free.discard if there or force else _free.add)(os.path.abspath(path))


def claim(path: Path) -> None:
    """Lock an output, a file or a folder, until the command ends; InputError where another run has.

    The lock is on `.NAME.lock` beside it (of a root, which has no name, in it). It dies with its
    owner, and so does what it says: the next run takes over the file of one that was killed.
    InputError, too, where something lies there that no run of ours makes: a link is not followed, a
    pipe or device neither used nor removed.
    """
    name, run = os.path.abspath(path), _run.get()
    if run is None or name in run.claims:
        return
    real = path if path.name not in ("", "..") else Path(os.path.realpath(path))
    lock = real.with_name(f".{real.name}.lock") if real.name else real / ".lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(lock).st_mode):
                raise InputError(f"{show(lock)}: is no lock, which is a regular file; move it away")
        descriptor = os.open(lock, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(f"{show(path)}: another run is writing it") from None
        except OSError:  # a file system without locks
            pass
        if _names(lock, descriptor):  # not one that another run has just removed
            break
        os.close(descriptor)
    run.claims[name] = (lock, descriptor)


def _release(claims: Mapping[str, tuple[Path, int]]) -> None:
    """Give outputs free, and remove the files that were locked, which have nothing in them."""
    for lock, descriptor in claims.values():
        with contextlib.suppress(OSError):
            if _names(lock, descriptor) and not os.fstat(descriptor).st_size:
                lock.unlink()
        _unlock(descriptor)


def _unlock(descriptor: int) -> None:
    """Close a locked file, which is free then, even if a process has it that was forked since."""
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _free_parts(lock: IO[bytes]) -> None:
    """Close the lock of a folder of parts, if that is not done; see `_unlock`."""
    if not lock.closed:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
        lock.close()


def same_file(one: str | Path, other: str | Path) -> bool:
    """Return whether two paths lead to one file, or to one place where nothing is."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.abspath(one) == os.path.abspath(other)


@contextmanager
def naming(paths: Iterable[Path]) -> Iterator[None]:
    """Have `check_output` refuse, in the block, an output that is another of these paths, too.

    And one that another run is writing: the block is a command, which locks its outputs.
    """
    run = _Run(list(paths))
    token = _run.set(run)
    try:
        yield
    finally:
        _release(run.claims)
        for lock in run.locks:  # also where the error that ended it still holds the parts
            _free_parts(lock)
        _run.reset(token)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary file in the same folder; it becomes `path` only if the block succeeds.

    It is empty, locked, and this run's own, so that two runs never write into one file; what killed
    runs left of the same output is removed. Raises InputError where another output appeared at
    `path` since `check_output` found nothing there.
    """
    _sweep(path)
    with _temporary(path) as temporary:
        yield temporary
        _sync(temporary)
        _put(temporary, path)
        _sync(path.parent)


@contextmanager
def atomic_set(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield temporary files for outputs in one folder that belong together: all appear or none.

    A run that is killed while they get their names leaves a list of them: `complete_set` goes on.
    """
    complete_set(paths)
    listed = _set_list(paths)
    with contextlib.ExitStack() as stack:
        for path in paths:
            _sweep(path)
        temporaries = [stack.enter_context(_temporary(path)) for path in paths]
        yield temporaries
        for temporary in temporaries:
            _sync(temporary)
        for path in paths:
            _check_free(path)
        with atomic(listed) as file:
            file.write_text(json.dumps([one.name for one in temporaries]), encoding="utf-8")
        pairs = list(zip(temporaries, paths, strict=True))
        try:
            _place(pairs)
        except BaseException:  # interrupted, between two of them
            with contextlib.suppress(OSError):
                _place(pairs)
            raise
        listed.unlink(missing_ok=True)


def _place(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Give whole outputs their names, those that have not got them yet."""
    for temporary, path in pairs:
        if os.path.lexists(temporary):
            os.replace(temporary, path)
            _free.discard(os.path.abspath(path))
            _sync(path.parent)


def complete_set(paths: Sequence[Path]) -> None:
    """Give the outputs of a set their names where a run was killed while it did so."""
    listed = _set_list(paths)
    try:
        with regular(listed, follow=False) as file:
            names = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(names, list) or len(names) != len(paths):
        return
    for name, path in zip(names, paths, strict=True):
        if not isinstance(name, str) or not _pattern(path).fullmatch(name):
            return
    waiting = [(path.with_name(name), path) for name, path in zip(names, paths, strict=True)]
    with contextlib.ExitStack() as stack:
        found = [(old, path) for old, path in waiting if stack.enter_context(_left(old))]
        if len(found) < sum(os.path.lexists(old) for old, _ in waiting):
            return  # its run lives
        _place(found)
        listed.unlink(missing_ok=True)


def _set_list(paths: Sequence[Path]) -> Path:
    return paths[0].with_name(f".{paths[0].name}.set")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; it takes that name only if the block succeeds.

    What killed runs left of the same output is removed; an old folder is kept until then, and the
    two change places in one step where the system can do so.
    """
    path = Path(os.path.realpath(path))
    aside = path.with_name(f".{path.name}.old")
    if aside.is_dir() and not aside.is_symlink() and not os.path.lexists(path):
        os.rename(aside, path)
        raise InputError(
            f"{show(path)}: was put aside by a run that was killed, and is back; run this again"
        )
    _sweep(path)
    with _temporary(path, folder=True) as temporary:
        yield temporary
        for one in (*sorted(temporary.iterdir()), temporary):
            _sync(one)
        if not path.is_dir() or not any(path.iterdir()):
            _put(temporary, path)
            _sync(path.parent)
        else:
            take_place(temporary, path)


def take_place(folder: Path, path: Path) -> None:
    """Have a whole folder change places with another, or take its place where that cannot be."""
    if not _rename(folder, path, _EXCHANGE):
        aside = path.with_name(f".{path.name}.old")
        os.rename(path, aside)
        try:
            os.rename(folder, path)
        except OSError:
            os.rename(aside, path)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    _sync(path.parent)


@contextmanager
def _temporary(path: Path, folder: bool = False) -> Iterator[Path]:
    """Yield a new file, or folder, beside `path`, locked; removed in the end if it is still there.

    Raises OSError where it cannot be made.
    """
    while True:
        temporary = path.with_name(f".{path.name}.{os.urandom(_RANDOM).hex()}.tmp")
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            if folder:
                temporary.mkdir()
                descriptor = os.open(temporary, flags | os.O_RDONLY)
            else:
                descriptor = os.open(temporary, flags | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _names(temporary, descriptor):  # no other run took it for one that was left
            break
        os.close(descriptor)
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            if os.path.isdir(temporary) and not os.path.islink(temporary):
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)
        _unlock(descriptor)


def _names(path: Path, descriptor: int) -> bool:
    """Return whether a path is the name of an open file itself, not of a link to it."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


def _pattern(path: Path) -> re.Pattern[str]:
    """Return what the names of an output's temporary files match."""
    return re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{{2 * _RANDOM}}}\.tmp")


def _sweep(path: Path) -> None:
    """Remove what killed runs left of an output: temporary files that nobody has locked."""
    pattern = _pattern(path)
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            if pattern.fullmatch(name):
                old = path.with_name(name)
                with _left(old) as left:
                    if left and old.is_dir():
                        shutil.rmtree(old, ignore_errors=True)
                    elif left:
                        old.unlink(missing_ok=True)


@contextmanager
def _left(path: Path) -> Iterator[bool]:
    """Yield whether a temporary file, or folder, is one that a killed run left, holding its lock.

    A link is not, nor anything else that no run of ours makes.
    """
    try:
        mode = os.lstat(path).st_mode
        ours = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags) if ours else -1
    except OSError:
        descriptor = -1
    if descriptor < 0:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = _names(path, descriptor)
        except OSError:
            free = False
        yield free
    finally:
        os.close(descriptor)


def _put(temporary: Path, path: Path) -> None:
    """Give a whole output its name; InputError where another appeared there meanwhile."""
    name = os.path.abspath(path)
    if name not in _free:
        os.replace(temporary, path)
        return
    if not _rename(temporary, path, _NOREPLACE):
        _check_free(path)
        os.replace(temporary, path)
    _free.discard(name)


def _check_free(path: Path) -> None:
    """Raise InputError where something is that was not there before, and may not be replaced."""
    if os.path.abspath(path) in _free and os.path.lexists(path):
        raise InputError(
            f"{show(path)}: appeared while this ran and is left as it is; --force replaces it"
        )


def _rename(one: Path, other: Path, flag: int) -> bool:
    """Rename as Linux can: never over something, or two that change places.

    Returns False where this system or file system cannot; InputError where something is there.
    """
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # an old C library
        return False
    here = -100  # AT_FDCWD: names count from the working folder
    if call(here, os.fsencode(one), here, os.fsencode(other), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EEXIST, errno.ENOTEMPTY):
        _check_free(other)
    if code in (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    # not every file system, nor every permission, allows that for a folder
    with contextlib.suppress(*((OSError,) if path.is_dir() else ())):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Parts:
    """The finished parts of one run, in a folder `.NAME.parts/` beside its output.

    `job` describes everything that shapes the parts; a later run with `resume` keeps them only if
    its own is the same (`reuse.decide` refuses others before). Each part carries a checksum, so a
    part that was cut short counts as not done. A lock keeps a second run away from the same output
    while the first lives.
    """

    def __init__(self, output: Path, job: dict[str, Any], resume: bool) -> None:
        self.folder = _parts_folder(output)
        self._prefix = ""
        text = canonical(job)
        job_file = self.folder / "job.json"
        _check_ours(self.folder)
        self.folder.mkdir(exist_ok=True)
        self._lock = self._take_lock(output)
        if not resume or job_of_parts(output) != text:
            _clear(self.folder)
            with atomic(job_file) as temporary:
                temporary.write_text(text, encoding="utf-8")
        for path in self.folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def _take_lock(self, output: Path) -> IO[bytes]:
        path = self.folder / "lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = open(os.open(path, flags, 0o666), "wb")  # noqa: SIM115 (held until the run ends)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = _names(path, file.fileno())  # not one that another run has just removed
        except BlockingIOError:
            held = False
        except OSError:  # a file system without locks
            held = True
        if not held:
            file.close()
            raise InputError(f"{output}: another run is writing it")
        run = _run.get()
        if run is not None:
            run.locks.append(file)
        return file

    def within(self, prefix: str) -> Parts:
        """Return these parts, in which each name stands for the one that begins with `prefix`."""
        found = copy.copy(self)
        found._prefix = self._prefix + prefix
        return found

    def path(self, name: str) -> Path:
        """Return where the part called `name` lies or will lie."""
        return self.folder / (self._prefix + name)

    def has(self, name: str) -> bool:
        """Return whether the part is there and whole (its checksum is right)."""
        return part_is_whole(self.path(name))

    def write(self, name: str, *content: bytes | memoryview) -> None:
        """Write a part, of one piece or several, with its checksum.

        It appears under its name whole or not at all.
        """
        path = self.path(name)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with open(temporary, "wb") as file:
                crc = 0
                for piece in content:
                    file.write(piece)
                    crc = zlib.crc32(piece, crc)
                file.write(crc.to_bytes(4, "little") + _MARK)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes:
        """Return the content of a part that `has` found whole."""
        with open(self.path(name), "rb") as file:
            return file.read(os.fstat(file.fileno()).st_size - _TRAILER)

    def remove_all(self) -> None:
        """Remove the parts and their folder: the output is whole."""
        with contextlib.suppress(OSError):
            _clear(self.folder)
            (self.folder / "lock").unlink()
            self.folder.rmdir()
        _free_parts(self._lock)


def _clear(folder: Path) -> None:
    """Remove all parts, last what says whose they are: who is killed meanwhile leaves parts."""
    found = [path for path in folder.iterdir() if path.name != "lock"]
    for path in sorted(found, key=lambda path: path.name == "job.json"):
        path.unlink()


def remove_left(output: Path) -> None:
    """Remove the parts beside a whole output: of a run that was killed after its last step but one.

    Not those of a run that lives, nor what is not ours.
    """
    _sweep(output)
    if _parts_folder(output).is_dir():
        with contextlib.suppress(InputError):
            Parts(output, {}, resume=False).remove_all()


def job_of_parts(output: Path) -> str | None:
    """Return the job of the parts beside an output as canonical JSON; None without parts.

    Raises InputError where what lies there is not ours.
    """
    _check_ours(_parts_folder(output))
    try:
        with regular(_parts_folder(output) / "job.json", follow=False) as file:
            text = file.read(_MOST_BYTES).decode("utf-8")
        if not isinstance(json.loads(text), dict):
            return None
    except (OSError, ValueError, RecursionError):
        return None
    return text


def _parts_folder(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")


def _check_ours(folder: Path) -> None:
    """Raise InputError where what is called as a folder of parts is not what a run of ours left.

    Links are not, and neither is anything that has a second name elsewhere: to write into it, or to
    remove it, would change something outside.
    """
    try:
        real = stat.S_ISDIR(os.lstat(folder).st_mode)
        found = {one.name: one.stat(follow_symlinks=False) for one in os.scandir(folder) if real}
    except FileNotFoundError:
        return
    plain = all(stat.S_ISREG(one.st_mode) and one.st_nlink == 1 for one in found.values())
    begun = all(name == "lock" or name.endswith(".tmp") for name in found)
    if not real or not plain or not (begun or "job.json" in found):
        raise InputError(
            f"{show(folder)}: is in the way, and not what a run of sertool left; move it elsewhere"
        )


def part_is_whole(path: Path) -> bool:
    """Return whether a part is there and its checksum is right; read in small blocks."""
    try:
        with open(path, "rb") as file:
            left = os.fstat(file.fileno()).st_size - _TRAILER
            if left < 0:
                return False
            crc = 0
            while left > 0:
                block = file.read(min(left, 1 << 20))
                if not block:
                    return False
                crc, left = zlib.crc32(block, crc), left - len(block)
            return file.read() == crc.to_bytes(4, "little") + _MARK
    except FileNotFoundError:
        return False
