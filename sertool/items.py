"""The data between the stages: items, and their fields.

An item is an utterance of a manifest, and in a store also a segment of one or an augmented copy.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# a value of a further column: text, a number, or (kept as JSON text in a store) a list or a table
Value = str | int | float | bool | list[Any] | dict[str, Any] | None

PARTS = ("train", "val", "test")
_PLAIN = re.compile(r"[+-]?(0|[1-9]\d*|(0|[1-9]\d*)?\.\d+|\d+\.)([eE][+-]?\d+)?")  # 007 is a name


@dataclass(slots=True)
class Item:
    """An utterance, a segment of one, or an augmented copy, and what is known of it.

    None means unknown. `start` and `end` are seconds within the file; `path` is text as
    `paths.to_text` writes it. `origin` is the id of the utterance that the item is or was made
    from, "" in a manifest; `augmentation` holds the drawn parameters of a copy as JSON, and is ""
    for anything else. `extra` holds further columns by name.

    >>> item = Item("demo/a", "/corpus/a.flac", speaker="01", extra={"intensity": "strong"})
    >>> item.value("speaker"), item.value("intensity"), item.value("age")
    ('01', 'strong', None)
    """

    id: str
    path: str = ""
    start: float | None = None
    end: float | None = None
    corpus: str | None = None
    speaker: str | None = None
    gender: str | None = None
    language: str | None = None
    text: str | None = None
    session: str | None = None
    label: str | None = None
    raw_label: str | None = None
    fold: int | None = None
    part: str | None = None
    origin: str = ""
    augmentation: str = ""
    audio_hash: str = ""
    fingerprint: str = ""
    extra: dict[str, Value] = field(default_factory=dict)

    def value(self, name: str) -> Value:
        """Return the value of a field or of a further column; None where it is unknown."""
        own: Value = getattr(self, name) if name in _OWN else None
        return self.extra.get(name, own) if own is None or own == "" else own

    def columns(self) -> Iterator[str]:
        """Yield the names of all columns, the item's own fields first."""
        yield from STORE_FIELDS
        yield from (name for name in self.extra if name not in _OWN)

    def replace(self, **changes: Any) -> Item:
        """Return a copy with these fields changed."""
        return dataclasses.replace(self, **changes)

    def manifest_row(self) -> dict[str, Value]:
        """Return the item as a line of a manifest: its fields in order, further columns last."""
        row: dict[str, Value] = {name: getattr(self, name) for name in FIELDS}
        return row | {name: value for name, value in self.extra.items() if name not in row}

    def store_row(self) -> dict[str, Value]:
        """Return the item as a row of a store: a manifest's fields and where the item is from."""
        row: dict[str, Value] = {name: getattr(self, name) for name in STORE_FIELDS}
        return row | {name: value for name, value in self.extra.items() if name not in row}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Item:
        """Return the item of a row by name; columns that are no field of an item become `extra`."""
        own = {name: row[name] for name in STORE_FIELDS if name in row}
        for name in _TEXTS:
            own[name] = own.get(name) or ""
        return shared(cls(**own, extra={n: value for n, value in row.items() if n not in _OWN}))


def shared(item: Item) -> Item:
    """Return the item itself, texts that many have kept once for all: half its memory."""
    for name in _REPEATED:
        value = getattr(item, name)
        if type(value) is str:
            setattr(item, name, sys.intern(value))
    item.path = _path(item.path)
    if item.origin == item.id:
        item.origin = item.id
    item.extra = {
        sys.intern(name): sys.intern(value) if type(value) is str and len(value) < 32 else value
        for name, value in item.extra.items()
    }
    return item


@functools.lru_cache(maxsize=4096)
def _path(path: str) -> str:
    """Return a path, the same text for the cuts of one recording."""
    return path


_REPEATED = ("corpus", "speaker", "gender", "language", "text", "session", "label", "raw_label")
_TEXTS = ("origin", "augmentation", "audio_hash", "fingerprint")  # "" where there is nothing
STORE_FIELDS = tuple(f.name for f in dataclasses.fields(Item) if f.name != "extra")
_OWN = frozenset(STORE_FIELDS)
FIELDS = tuple(name for name in STORE_FIELDS if name not in _TEXTS)  # of a manifest's line


def number(value: Value) -> float | None:
    """Return a value that is a finite number, or the text of one; None for any other.

    >>> number(2), number("2.5"), number("007"), number("anger"), number(True), number("1e400")
    (2.0, 2.5, None, None, None, None)
    """
    if isinstance(value, bool) or not (
        isinstance(value, int | float) or (isinstance(value, str) and _PLAIN.fullmatch(value))
    ):
        return None
    try:
        found = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return found if math.isfinite(found) else None
