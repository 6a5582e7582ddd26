"""Paths as text: printable on one line, reversible in manifests, and where the audio files are."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from pathlib import Path
from typing import IO

# what soundfile decodes, then what needs ffmpeg
_SOUNDFILE = "wav wave flac ogg oga opus mp3 aif aiff aifc au snd caf w64 rf64 sph nist"
_FFMPEG = "m4a mp4 aac wma webm mka mkv mov 3gp amr avi"
AUDIO_SUFFIXES = frozenset(f".{name}" for name in f"{_SOUNDFILE} {_FFMPEG}".split(" "))
MOST_BYTES = 1 << 28  # of a file that is read whole, where nothing else is said
MOST_TOML = 1 << 24  # of one that people write
URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)  # two letters: C:// is a drive
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def to_text(path: str | os.PathLike[str]) -> str:
    """Return a path as Unicode text; bytes that are not UTF-8 become backslash escapes.

    So do halves of surrogate pairs, which names of files cannot have, but what they hold can.
    """
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return os.fspath(path).encode("utf-8", "backslashreplace").decode("utf-8")


def from_text(text: str) -> Path:
    r"""Return the path that `to_text` wrote; `\xNN` is a byte unless a file has that very name."""
    path = Path(text)
    if "\\x" in text and not os.path.lexists(path):
        raw = b"".join(
            bytes([int(piece, 16)]) if i % 2 else os.fsencode(piece)
            for i, piece in enumerate(_ESCAPE.split(text))
        )
        return Path(os.fsdecode(raw))
    return path


def located(text: str) -> Path | str:
    """Return where an item's file is: its path, as of `from_text`, or its URL."""
    return text if "://" in text and is_url(text) else from_text(text)


def is_url(text: object) -> bool:
    """Return whether something is the text of a URL; a `Path` never is.

    >>> is_url("s3://bucket/a.wav"), is_url("C://a.wav"), is_url("a.wav")
    (True, False, False)
    """
    return isinstance(text, str) and URL.match(text) is not None


def show(path: object) -> str:
    """Return a path as one printable line: control characters and broken UTF-8 escaped."""
    text = to_text(path) if isinstance(path, str | os.PathLike) else str(path)
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def absolute(path: Path) -> Path:
    """Return a file's absolute path without `..`; links stay, unless `..` follows them."""
    if ".." in path.parts:  # what follows a link's .. is not what the text says: ask the system
        return path.parent.resolve() / path.name
    return path.absolute()


def regular(path: str | os.PathLike[str], *, follow: bool = True) -> io.BufferedReader:
    """Open a regular file for reading; OSError for anything else, which is never waited for.

    A pipe, a device or a socket may block, or have no end. Of a link its target is opened, unless
    not `follow`.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    # the file owns its descriptor from the start: Ctrl-C may come between any two steps
    file = open(path, "rb", opener=lambda name, _: os.open(name, flags))  # noqa: SIM115
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        return file
    except BaseException:
        file.close()
        raise


def contents(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a regular file; OSError for anything else, and for more than `most`."""
    with regular(path) as file:
        size = os.fstat(file.fileno()).st_size  # room is made for what is asked for
        found = file.read(min(size, most) + 1)
        while size < len(found) <= most and (block := file.read(min(most, 1 << 20))):  # it grew
            found += block
    if len(found) > most:
        what = f"larger than the {most >> 20} MB that are read of such a file"
        raise OSError(errno.EINVAL, what, os.fspath(path))
    return found


def text_of(path: str | os.PathLike[str], encoding: str = "utf-8", most: int = MOST_BYTES) -> str:
    """Return the text of a regular file, lines ending in newlines; errors as of `contents`."""
    return io.TextIOWrapper(io.BytesIO(contents(path, most)), encoding=encoding).read()


def opened_text(
    path: str | os.PathLike[str],
    encoding: str = "utf-8",
    errors: str = "strict",
    newline: str | None = None,
) -> IO[str]:
    """Open a regular file of text for reading; OSError for anything else."""
    return io.TextIOWrapper(regular(path), encoding=encoding, errors=errors, newline=newline)


def is_audio(path: str | os.PathLike[str]) -> bool:
    """Return whether the name's suffix is that of an audio file."""
    return os.path.splitext(os.fspath(path))[1].lower() in AUDIO_SUFFIXES


def find_audio(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return (audio files, other files) below `folder`, each sorted by relative POSIX path.

    Hidden files and folders are skipped; links to folders are not followed, but are among the
    other files. Raises OSError where a folder cannot be read.
    """

    def stop(error: OSError) -> None:
        raise error

    audio: list[str] = []
    stray: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        stray += [path for name in folders if os.path.islink(path := os.path.join(parent, name))]
        for name in files:
            if not name.startswith("."):
                (audio if is_audio(name) else stray).append(os.path.join(parent, name))
    # all begin with the folder, so the whole paths sort as the relative ones
    return _sorted(audio), _sorted(stray)


def _sorted(paths: list[str]) -> list[Path]:
    return [Path(path) for path in sorted(paths, key=os.fsencode)]
