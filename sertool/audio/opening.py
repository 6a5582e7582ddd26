"""What every reader of audio files needs before it opens one: which decoder, and why none can."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from errno import EACCES, EISDIR, ENOENT

from sertool.core import memory, remote
from sertool.core.errors import ItemError
from sertool.core.paths import is_url, regular

CUT_SLACK = 0.1  # seconds that a manifest's end may lie past the end of the file
_FFMPEG = "m4a mp4 aac wma webm mka mkv mov 3gp amr avi"
NEEDS_FFMPEG = frozenset(f".{name}" for name in _FFMPEG.split(" "))

_MPEG = frozenset({".mp3", ".mp2", ".mp1", ".mpga"})
_CHATTER = (b"[src/libmpg123", b"[libmpg123", b"Note: ", b"Warning: ")
_NOT_DECODED = "cannot be decoded"
_EMPTY = "an empty file (0 bytes)"
_KNOWN = {
    ENOENT: "no such file",
    EACCES: "no permission to read it",
    EISDIR: "a folder, not a file",
}
_stderr_lock = threading.Lock()


def suffix(path: str | os.PathLike[str]) -> str:
    """Return the end of a file's name from its last dot, in lower case."""
    return os.path.splitext(os.fspath(path))[1].lower()


def local(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the path of a file here: a URL's copy; ItemError where it cannot be fetched."""
    return remote.fetched(os.fspath(path)) if is_url(path) else path


def bounds(total: int, rate: int, start: float | None, end: float | None) -> tuple[int, int]:
    """Return the first and the last sample of a cut (seconds) of `total`; ItemError outside it."""
    first = 0 if start is None else round(start * rate)
    last = total if end is None else round(end * rate)
    long = f"the file is {total / rate:.3f} s long"
    if total and first >= total:
        raise ItemError(f"the cut starts at {start:g} s, but {long}")
    if last - total > CUT_SLACK * rate:
        raise ItemError(f"the cut ends at {end:g} s, but {long}")
    if total and last <= first:
        raise ItemError(f"the cut from {start or 0:g} s to {end:g} s holds nothing")
    return first, min(last, total)


def check_length(samples: int, rate: int) -> None:
    """Raise ItemError for more samples than a recording may have, before they are read."""
    if samples > memory.longest() * rate:
        raise ItemError(
            f"{samples / rate:.0f} s long, and the limit is {memory.longest():g} s;"
            " --max-duration allows more"
        )


def ordinary(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a file that is one: a pipe would wait for its writer. ItemError otherwise.

    What reads it is to read what this has opened: another may have the name by then.
    """
    try:
        return regular(path)
    except (OSError, ValueError) as error:
        raise ItemError(_reason(error)) from None


def ffmpeg_for(path: str | os.PathLike[str]) -> str:
    """Return ffmpeg's program to read a file with; ItemError where either is not there."""
    with ordinary(path) as file:
        if not file.read(1):
            raise ItemError(_EMPTY)
    program = shutil.which("ffmpeg")
    if program is None:
        raise ItemError(f"{suffix(path)} needs ffmpeg, which is not installed")
    return program


def why_not(path: str | os.PathLike[str], reason: str) -> str:
    """Return why a file cannot be opened: the system's reason, else the decoder's."""
    try:
        with regular(path) as file:
            if not file.read(1):
                return _EMPTY
    except (OSError, ValueError) as error:
        return _reason(error)
    return cannot_decode("format not recognised" if "not exist" in reason else reason)


def _reason(error: OSError | ValueError) -> str:
    """Return why a file cannot be opened; a ValueError is of a NUL in its name."""
    if not isinstance(error, OSError):
        return _KNOWN[ENOENT]
    return _KNOWN.get(error.errno or 0, str(error.strerror))


def cannot_decode(reason: str) -> str:
    """Return a decoder's reason as one of ours."""
    return f"{_NOT_DECODED}: {reason[:1].lower()}{reason[1:]}"


def _for_mpg123(path: str | os.PathLike[str]) -> bool:
    """Return whether libsndfile has libmpg123 read a file: by its name, or by how it begins."""
    if suffix(path) in _MPEG:
        return True
    head = b""
    with contextlib.suppress(OSError, ValueError), regular(path) as file:
        head = file.read(3)
    return head == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


@contextlib.contextmanager
def quiet(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep libmpg123's chatter off file descriptor 2; what others write meanwhile follows later."""
    if not _for_mpg123(path):
        yield
        return
    with _stderr_lock, tempfile.TemporaryFile() as caught:
        with contextlib.suppress(ValueError, OSError):
            sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if line.strip() and not line.startswith(_CHATTER):
                    os.write(2, line)
