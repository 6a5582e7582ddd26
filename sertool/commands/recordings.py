"""The recordings that `predict` is given: arguments, folders, and lists on standard input."""

from __future__ import annotations

import io
import json
import os
import select
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.core import remote
from sertool.core.errors import InputError, UsageError
from sertool.core.paths import find_audio, from_text, is_audio, is_url, show, to_text
from sertool.items import Item
from sertool.ui.console import Console
from sertool.ui.words import plural

STDIN = "-"
TICK = 0.1  # seconds to wait for the next line of a list before what is there is worked on
_READ_BYTES = 1 << 16


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise InputError for a path that is not there or a folder without audio, before any work.

    Raises UsageError for a list that is named twice or that nobody writes.
    """
    if list(arguments).count(STDIN) > 1:
        raise UsageError("- (a list of paths on standard input) can be read once only")
    for argument in arguments:
        if argument == STDIN:
            refuse_terminal("find corpus/ -name '*.wav' | sertool predict MODEL.ckpt -")
        elif is_url(argument):
            if not is_audio(argument):
                remote.listed(argument)
        elif not os.path.lexists(argument):
            raise InputError(f"{show(argument)}: no such file or folder")
        elif os.path.isdir(argument) and not find_audio(Path(argument))[0]:
            raise InputError(f"{show(argument)}: no audio files in it")


def refuse_terminal(example: str) -> None:
    """Raise UsageError where standard input is a keyboard, which would wait for ever."""
    if sys.stdin.isatty():
        raise UsageError(f"standard input is a terminal; pipe something in: {example}")


def sources(arguments: Sequence[str], null: bool, console: Console) -> Iterator[Item | None]:
    """Yield recordings in the order of the arguments; None where a list has nothing yet."""
    for argument in arguments:
        if argument == STDIN:
            yield from _listed(null, console)
        elif is_url(argument):
            remote.folder()
            urls = [argument] if is_audio(argument) else remote.listed(argument)
            yield from (Item("", url) for url in urls)
        elif os.path.isdir(argument):
            yield from map(recording, _in_folder(Path(argument), console))
        else:
            yield recording(Path(argument))


def _line_of(text: str) -> Item:
    """Return what a line names that is nothing but a path or a URL."""
    return Item("", text) if is_url(text) else recording(Path(text))


def recording(path: Path) -> Item:
    """Return a file of which only the path is known."""
    return Item("", to_text(path))


def _in_folder(folder: Path, console: Console) -> list[Path]:
    audio, stray = find_audio(folder)
    if stray:
        console.note(f"{show(folder)}: skipped {plural(len(stray), 'file')} without audio")
    return audio


def _listed(null: bool, console: Console) -> Iterator[Item | None]:
    """Yield what standard input lists; InputError where that is nothing."""
    count = 0
    for line in _lines(b"\0" if null else b"\n"):
        if line is None:
            yield None
        elif b"\0" in line:
            raise UsageError("the names on standard input end in NUL: give --null")
        elif line.strip():
            count += 1
            item = _source(line if null else line.removesuffix(b"\r"))
            if is_url(item.path):
                try:
                    remote.check(item.path)
                except ValueError as error:
                    console.failed(item.path, str(error))
                    continue
            yield item
    if not count:
        raise InputError("standard input: no paths and no manifest lines")


def _source(line: bytes) -> Item:
    """Return what a line names: a path, or a manifest's `{"path", "start", "end", "label", …}`."""
    if not line.startswith(b"{"):
        return _line_of(os.fsdecode(line))
    try:
        row = json.loads(line)
        path = row["path"] if is_url(row["path"]) else to_text(from_text(row["path"]))
        if "\0" not in path:
            label = row.get("label")
            known = {"label": label if isinstance(label, str) and label else None}
            times = {name: _seconds(row, name) for name in ("start", "end")}
            return Item.from_row({"id": "", **row, **known, **times, "path": path})
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return recording(Path(os.fsdecode(line)))  # a file of such a name, or an error that names it


def _seconds(row: dict[str, float | None], name: str) -> float | None:
    """Return a time; ValueError for one that no recording has."""
    value = row.get(name)
    if value is not None and not 0 <= float(value) < float("inf"):
        raise ValueError(f"{name} is {value}")
    return None if value is None else float(value)


def _lines(end: bytes) -> Iterator[bytes | None]:
    """Yield the lines of standard input as they come, None whenever the next is not there yet."""
    try:
        descriptor = sys.stdin.fileno()
    except (AttributeError, OSError, io.UnsupportedOperation):  # a Python object, not a file
        yield from sys.stdin.buffer.read().split(end)
        return
    rest = b""
    while True:
        if not select.select([descriptor], [], [], TICK)[0]:
            yield None
            continue
        block = os.read(descriptor, _READ_BYTES)
        if not block:
            break
        *lines, rest = (rest + block).split(end)
        yield from lines
    if rest:
        yield rest
