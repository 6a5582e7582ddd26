"""What `predict --output` has done so far: rows in parts beside the output, so that it resumes."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.paths import from_text, show
from sertool.formats.outputs import Parts
from sertool.items import Item

EVERY = 5.0  # seconds after which what is done is written down
SEPARATORS = {"csv": ",", "tsv": "\t"}


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
        while parts.has(self._name(self._count)):
            for number, line in enumerate(self._part(self._count)):
                row = json.loads(line)
                if not row["failed"]:
                    self._where[row["key"]] = self._count, number
            self._count += 1
        self.resumed = len(self._where)

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


def _key(item: Item, channel: str | None) -> str:
    """Return what a recording is known by: another size or time is another recording."""
    try:
        status = os.stat(from_text(item.path))
        state = [status.st_size, status.st_mtime_ns]
    except (OSError, ValueError):
        state = []
    return json.dumps([item.path, item.start, item.end, channel, *state])


def check_whole(path: Path, form: str, model: str, vad: str) -> None:
    """Raise InputError where a finished output is not this model's, or cannot be told.

    Nothing but its rows says by what it was made.
    """
    ours = {"model": model, "vad": vad}
    try:
        for number, row in enumerate(_rows(path, form), 1):
            theirs = {name: row.get(name) for name in ours}
            if theirs != ours and not row.get("error"):
                raise InputError(
                    f"{show(path)}: line {number} is not of {model} with --vad {vad};"
                    " --force replaces it"
                )
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{show(path)}: exists, and holds no rows of this kind; --force replaces it"
        ) from error


def _rows(path: Path, form: str) -> Iterator[Mapping[str, object]]:
    with open(path, encoding="utf-8", newline="") as file:
        if form == "jsonl":
            for line in file:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("no row")
                yield row
        elif form in SEPARATORS:
            found = csv.DictReader(file, delimiter=SEPARATORS[form])
            if "model" not in (found.fieldnames or ()):
                raise ValueError("no header")
            yield from found
        else:
            raise ValueError("a table is for people")
