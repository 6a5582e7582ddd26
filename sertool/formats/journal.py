"""What a run has done so far, recording by recording: text in parts beside its output.

`predict` keeps rows so, and `prepare` what it reads of sound files.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator

from msgspec import Struct

from sertool.core.paths import from_text
from sertool.formats import schema
from sertool.formats.outputs import Parts
from sertool.items import Item

EVERY = 5.0  # seconds after which what is done is written down


class Row(Struct):
    """What a part keeps of a recording: what it is, its rows, and whether it failed."""

    key: str
    text: str
    failed: bool


class Journal:
    """The rows of each recording (and channel), by what it is; written down now and then.

    Recordings that failed are in the output, and tried again by a run that resumes.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._where: dict[str, tuple[int, int]] = {}  # of each recording done: its part and line
        self._order: list[str] = []
        self._lines: list[str] = []
        self._rows: list[str] = []  # of the recording that is not finished
        self._failed = False
        self._count = 0
        self._last = time.monotonic()
        self._read: tuple[int, list[str]] = (-1, [])
        while (rows := self._known(self._count)) is not None:
            for number, row in enumerate(rows):
                if not row.failed:
                    self._where[row.key] = self._count, number
            self._count += 1
        self.resumed = len(self._where)

    def _known(self, number: int) -> list[Row] | None:
        """Return the rows of a part; None where it is not there, or not what a run writes."""
        if not self._parts.has(self._name(number)):
            return None
        try:
            return [schema.convert(json.loads(line), Row) for line in self._part(number)]
        except (ValueError, RecursionError):
            return None

    def has(self, item: Item, channel: str | None) -> bool:
        """Return whether a recording, the next in the output, is done already."""
        key = _key(item, channel)
        self._order.append(key)
        return key in self._where

    def add(self, text: str, failed: bool) -> None:
        """Keep the text of a row."""
        self._rows.append(text)
        self._failed |= failed

    def finish(self, item: Item, channel: str | None) -> None:
        """Hear that the rows of a recording were all added."""
        key = _key(item, channel)
        self._where[key] = self._count, len(self._lines)
        row = {"key": key, "text": "".join(self._rows), "failed": self._failed}
        self._lines.append(json.dumps(row))
        self._rows, self._failed = [], False
        if time.monotonic() - self._last >= EVERY:
            self.write()

    def write(self) -> None:
        """Write down what is done."""
        if self._lines:
            self._parts.write(self._name(self._count), "\n".join(self._lines).encode("ascii"))
            self._count += 1
            self._lines = []
            self._read = -1, []  # it may be in place of one that is none
        self._last = time.monotonic()

    def texts(self) -> Iterator[str]:
        """Yield the rows of every recording in the order of the input."""
        self.write()
        for key in self._order:
            part, line = self._where[key]
            yield str(json.loads(self._part(part)[line])["text"])

    def _name(self, number: int) -> str:
        return f"{number:06d}"

    def _part(self, number: int) -> list[str]:
        if self._read[0] != number:
            content = self._parts.read(self._name(number)).decode("ascii")
            self._read = number, content.split("\n")
        return self._read[1]


class Inputs:
    """The recordings of a run, hashed as they come: path, fields, size and time of each."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def passing(self, items: Iterable[Item | None]) -> Iterator[Item | None]:
        """Yield items as they are; None is none."""
        for item in items:
            if item is not None:
                row = [item.manifest_row(), *_state(item)]
                self._digest.update(json.dumps(row).encode("ascii") + b"\n")
            yield item

    @property
    def sha256(self) -> str:
        """The SHA-256 of all that has passed, in hex."""
        return self._digest.hexdigest()


def inputs_sha256(items: Iterable[Item | None]) -> str:
    """Return the SHA-256 of recordings, as `Inputs` has it."""
    inputs = Inputs()
    for _ in inputs.passing(items):
        pass
    return inputs.sha256


def _state(item: Item) -> list[int]:
    """Return a file's size and time; [] where there is none."""
    try:
        status = os.stat(from_text(item.path))
    except (OSError, ValueError):
        return []
    return [status.st_size, status.st_mtime_ns]


def _key(item: Item, channel: str | None) -> str:
    """Return what a recording is known by: another size or time is another recording."""
    return json.dumps([item.path, item.start, item.end, channel, *_state(item)])
