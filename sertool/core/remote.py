"""What lies elsewhere: URLs such as s3://bucket/a.wav, fetched one at a time through fsspec.

A URL is read where its place, the scheme and the bucket or host, was named by the user: by a URL
among the arguments, or in SERTOOL_REMOTE, places separated by spaces. A manifest or a list may name
URLs of those places alone, and of its own: otherwise whoever wrote a manifest could have any
address fetched that this machine reaches.
"""

from __future__ import annotations

import atexit
import itertools
import os
import posixpath
import re
import shutil
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError, ItemError
from sertool.core.paths import URL, is_audio, is_url, show

ALLOWED = "SERTOOL_REMOTE"  # the environment variable
MOST_BYTES = 1 << 32  # of an object
_COLLAPSED = re.compile(r"([a-z][a-z0-9+.-]+):/([^/].*)", re.DOTALL)  # as pathlib leaves a URL
_HUB_TYPES = ("datasets", "spaces", "buckets")
_BLOCK = 1 << 20  # bytes copied at a time

_folders: dict[int, str] = {}  # of this process, by its id: a fork has another
_held = threading.local()  # the last object that was fetched: `url`, `path`, and in which process
_numbers = itertools.count()


def url_of(path: Path | str) -> str | None:
    """Return the URL that was given as a path, whose second slash pathlib drops; None for a path.

    >>> url_of(Path("s3://bucket/a.jsonl")), url_of(Path("a.jsonl"))
    ('s3://bucket/a.jsonl', None)
    """
    text = os.fspath(path)
    if is_url(text):
        return text
    found = _COLLAPSED.fullmatch(text)
    if found is None or os.path.lexists(found[1] + ":"):
        return None
    return f"{found[1]}://{found[2]}"


def place(url: str) -> str:
    """Return the scheme of a URL with its bucket or host; on the Hugging Face hub, its repository.

    >>> place("s3://bucket/folder/a.wav"), place("hf://datasets/you/corpus/a.wav")
    ('s3://bucket', 'hf://datasets/you/corpus')
    """
    found = URL.match(url)
    assert found is not None
    parts = found[2].split("/")
    depth = 1
    if found[1] == "hf":
        depth = 3 if parts[0] in _HUB_TYPES else 2
    return f"{found[1]}://{'/'.join(parts[:depth])}"


def check(url: str, beside: Collection[str] = ()) -> None:
    """Raise ValueError for a URL of a place that neither the user nor `beside` (URLs) names."""
    named = [*beside, *filter(is_url, os.environ.get(ALLOWED, "").split())]
    here = place(url)
    if here not in map(place, named):
        raise ValueError(f"of a place that was not named; {ALLOWED}={show(here)} allows it")


def joined(base: str, relative: str) -> str:
    """Return the URL of a path that counts from the folder `base`, and never leaves its place.

    >>> joined("s3://bucket/corpus", "../a.wav"), joined("s3://bucket", "../../a.wav")
    ('s3://bucket/a.wav', 's3://bucket/a.wav')
    """
    root = place(base)
    below = posixpath.normpath(f"/{base[len(root) :]}/{relative}")
    return f"{root}/{below.lstrip('/')}"


def fetched(url: str) -> str:
    """Return the path of a local copy of an object; ItemError where it cannot be had.

    The copy is there until this thread fetches another.
    """
    mark = (os.getpid(), url)
    if getattr(_held, "mark", None) != mark:
        suffix = os.path.splitext(url)[1] if is_audio(url) else ""
        target = os.path.join(folder(), f"{mark[0]}-{next(_numbers)}{suffix}")
        _copy(url, target)
        if getattr(_held, "mark", (0, ""))[0] == mark[0]:
            os.unlink(_held.path)
        _held.mark, _held.path = mark, target
    path: str = _held.path
    return path


def folder() -> str:
    """Return the folder of this process's copies, which goes when the process does.

    Processes that are forked later share it: so a stage that will have workers calls this before.
    """
    if not _folders:
        made = _folders[os.getpid()] = tempfile.mkdtemp(prefix="sertool-remote-")
        atexit.register(_remove, os.getpid(), made)
    return next(iter(_folders.values()))


def _remove(owner: int, path: str) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


def _copy(url: str, target: str) -> None:
    """Write an object to a file; ItemError, and no file, where it cannot be had."""
    system, path = _system(url)
    done = 0
    try:
        with system.open(path, "rb") as source, open(target, "xb") as file:
            while block := source.read(_BLOCK):
                done += len(block)
                if done > MOST_BYTES:
                    raise ItemError(f"larger than the {MOST_BYTES >> 30} GB that are fetched")
                file.write(block)
    except BaseException as error:
        if os.path.exists(target):
            os.unlink(target)
        if isinstance(error, ItemError) or not isinstance(error, Exception):
            raise
        raise ItemError(_reason(error)) from None


def listed(url: str) -> list[str]:
    """Return the URLs of the audio files below a folder, sorted, none hidden. InputError."""
    system, path = _system(url)
    try:
        names = system.find(path)
    except Exception as error:  # the network's, the service's and the library's own, of many kinds
        raise InputError(f"{show(url)}: {_reason(error)}") from None
    below = [name.removeprefix(path.rstrip("/")).lstrip("/") for name in names if name != path]
    kept = [n for n in below if is_audio(n) and not any(p.startswith(".") for p in n.split("/"))]
    if not kept:
        raise InputError(f"{show(url)}: no audio files in it")
    return [f"{url.rstrip('/')}/{name}" for name in sorted(kept)]


def named(url: str) -> Path:
    """Return the path of a local copy of a file that the user named, which stays; InputError."""
    target = os.path.join(folder(), f"named-{next(_numbers)}")
    try:
        _copy(url, target)
    except ItemError as error:
        raise InputError(f"{show(url)}: {error}") from None
    return Path(target)


def stand_in(url: str) -> Path:
    """Return an empty folder here whose last names are those of a folder elsewhere."""
    found = URL.match(url)
    assert found is not None
    path = Path(folder(), "empty", found[1] + posixpath.normpath(f"/{found[2]}"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def _system(url: str) -> tuple[Any, str]:
    """Return (the file system of a URL, the path in it); InputError where none can be had."""
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{show(url)}: needs fsspec: pip install 'sertool[remote]'") from None
    found = URL.match(url)
    assert found is not None
    if "::" in url:  # fsspec would open one place through another
        raise InputError(f"{show(url)}: a chain of URLs, which is not read")
    if "@" in place(url):
        raise InputError(f"{show(place(url))}: has a name or password, which outputs would keep")
    try:
        kind = fsspec.get_filesystem_class(found[1])
        return kind(**kind._get_kwargs_from_urls(url)), kind._strip_protocol(url)
    except (ImportError, ValueError) as error:
        raise InputError(f"{show(url)}: {_line(error)}") from None
    except Exception as error:
        raise InputError(f"{show(url)}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return why something elsewhere cannot be read, in one line."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file"
    if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        return f"no permission to read it, or no credentials in the environment ({_line(error)})"
    return f"cannot be fetched: {_line(error)}"


def _line(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return show(text[:200].rstrip("."))
