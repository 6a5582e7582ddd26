"""Outputs that appear complete or not at all, and the finished parts that let a run resume."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import glob
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sertool.core.errors import InputError, UsageError
from sertool.formats.lineage import canonical

_TRAILER = 8  # bytes after a part's content: CRC-32 and the mark below
_MARK = b"part"


def check_output(
    path: Path, force: bool, resume: bool = False, inputs: Iterable[str | Path] = ()
) -> None:
    """Raise an error where `path` cannot become an output, before any work is done.

    InputError for what is in the way; UsageError for `-` and for a path that is one of `inputs`.
    """
    if str(path) == "-":
        raise UsageError("the output cannot be standard output; name a file")
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a regular file; name another")
    if path.exists() and not force and not resume:
        raise InputError(f"{path}: exists already; --force replaces it")
    if any(same_file(path, source) for source in inputs):
        raise UsageError(f"{path}: input and output are the same file")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: no permission to write in {folder}")


def same_file(one: str | Path, other: str | Path) -> bool:
    """Return whether two paths lead to one file; False where either leads nowhere."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _runs(pid: str) -> bool:
    """Return whether a process of that number runs (or that is unknown)."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except (ValueError, PermissionError):
        return True
    return True


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it becomes `path` only if the block succeeds.

    The name is this process's own, so that two runs never write into one file; what killed runs
    left of the same output is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not _runs(old.name.split(".")[-2]):
            old.unlink(missing_ok=True)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        with contextlib.suppress(OSError):
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
        self.folder.mkdir(exist_ok=True)
        self._lock = self._take_lock(output)
        if not resume or job_of_parts(output) != text:
            for path in self.folder.iterdir():
                if path.name != "lock":
                    path.unlink()
            with atomic(job_file) as temporary:
                temporary.write_text(text, encoding="utf-8")
        for path in self.folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def _take_lock(self, output: Path) -> IO[bytes]:
        file = open(self.folder / "lock", "wb")  # noqa: SIM115 (held until the run ends)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise InputError(f"{output}: another run is writing it") from error
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

    def write(self, name: str, content: bytes) -> None:
        """Write a part with its checksum; it appears under its name whole or not at all."""
        path = self.path(name)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.write(zlib.crc32(content).to_bytes(4, "little") + _MARK)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes:
        """Return the content of a part that `has` found whole."""
        return self.path(name).read_bytes()[:-_TRAILER]

    def remove_all(self) -> None:
        """Remove the parts and their folder: the output is whole."""
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_left(output: Path) -> None:
    """Remove the parts beside a whole output: of a run that was killed after its last step but one.

    Not those of a run that lives.
    """
    if _parts_folder(output).is_dir():
        with contextlib.suppress(InputError):
            Parts(output, {}, resume=False).remove_all()


def job_of_parts(output: Path) -> str | None:
    """Return the job of the parts beside an output as canonical JSON; None without parts."""
    try:
        text = _parts_folder(output).joinpath("job.json").read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError):
        return None
    return text


def _parts_folder(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")


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
