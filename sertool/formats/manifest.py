"""Manifests: one utterance per line of JSON, from `prepare` to every later stage.

A manifest is nothing but its lines, for `jq`, `cat` and whatever else reads JSON Lines; how it was
made stands beside it (see `formats.made`).
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from msgspec import Meta, Struct, structs

from sertool.core import remote
from sertool.core.errors import InputError
from sertool.core.paths import MOST_BYTES, from_text, is_url, opened_text, show, to_text
from sertool.core.texts import json_text
from sertool.formats import schema
from sertool.formats.schema import Count, Name
from sertool.items import FIELDS, Item, shared

MOST_LINE = 1 << 20  # characters of a line
MAX_SECONDS = 1e9  # no recording is longer, and no product with a rate overflows
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]


class Line(Struct, kw_only=True):
    """One line of a manifest; further fields may follow. Null and a missing field: unknown."""

    id: Name
    path: Name
    start: Seconds | None = None
    end: Seconds | None = None
    corpus: str | None = None
    speaker: str | None = None
    gender: str | None = None
    language: str | None = None
    text: str | None = None
    session: str | None = None
    label: str | None = None
    raw_label: str | None = None
    fold: Count | None = None
    part: Literal["train", "val", "test"] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a path that is no file's once its escapes are read."""
        if "\\x00" in self.path and "\0" in str(from_text(self.path)):
            raise ValueError("path holds a NUL")


_TEXTS = frozenset(FIELDS) - {"start", "end", "fold"}


def _plain(name: str, value: Any) -> Any:
    """Return the value of a field, a number as text where text belongs."""
    if name not in _TEXTS:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return _utf8(name, value) if isinstance(value, str) else value


def _utf8(name: str, text: str) -> str:
    """Return text with escapes for bytes that are not UTF-8.

    ValueError for half a surrogate, and for a NUL: a store's columns end in them.
    """
    if "\0" in text:
        raise ValueError(f"{name} holds a NUL")
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        raise ValueError(f"{name} is not Unicode text") from None


def _further(row: dict[str, Any]) -> dict[str, Any]:
    """Return further fields as every later stage can keep them, or raise ValueError."""
    for name, value in row.items():
        if isinstance(value, str):
            row[name] = _utf8(name, value)
        try:
            json.dumps([name, row[name]], ensure_ascii=False, allow_nan=False).encode()
            if isinstance(value, int):
                float(value)
        except (ValueError, OverflowError):
            raise ValueError(f"{name!r} is neither text nor a finite number") from None
    return row


def parse_row(row: dict[str, Any]) -> Item:
    """Return the item of a manifest line as JSON reads it; ValueError names the bad field."""
    own = {name: _plain(name, row[name]) for name in FIELDS if row.get(name) is not None}
    extra = {name: value for name, value in row.items() if name not in FIELDS}
    return shared(Item(**structs.asdict(schema.convert(own, Line)), extra=_further(extra)))


def parse_line(line: str) -> Item:
    """Return the utterance of one manifest line; raises ValueError with the reason.

    NaN, which is no JSON but which some write, is null.
    """
    if len(line) > MOST_LINE:
        raise ValueError(f"longer than {MOST_LINE} characters")
    try:
        row = json.loads(line.removeprefix("\ufeff"), parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return parse_row(row)


def _constant(word: str) -> None:
    if word != "NaN":
        raise ValueError(word)


def read_manifest(
    path: Path, on_error: Callable[[int, str], None] | None = None, url: str | None = None
) -> Iterator[Item]:
    """Yield the utterances of a manifest; relative paths count from the manifest's folder.

    url: of the manifest that `path` is a copy of; it names no files here.

    A bad line goes to `on_error(line number, reason)`, or raises InputError without it.
    """
    try:
        with opened_text(path, errors="surrogateescape") as file:
            for number, line in enumerate(bounded(file), 1):
                if not line.strip():
                    continue
                try:
                    utterance = resolve(parse_line(line), path.parent, url)
                except ValueError as error:
                    if on_error is None:
                        raise InputError(f"{path}: line {number}: {error}") from error
                    on_error(number, str(error))
                    continue
                yield utterance
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def bounded(file: IO[str]) -> Iterator[str]:
    """Yield the lines of a file, of one that is too long the beginning, and no more.

    Raises OSError for a line that does not end in `MOST_BYTES`: a file of terabytes may hold one.
    """
    while line := file.readline(MOST_LINE + 1):
        yield line
        left = MOST_BYTES
        while len(line) > MOST_LINE and not line.endswith("\n"):
            left -= len(line)
            if left < 0:
                what = f"a line is longer than {MOST_BYTES >> 20} million characters"
                raise OSError(errno.EINVAL, what, getattr(file, "name", None))
            line = file.readline(MOST_LINE + 1)


def resolve(utterance: Item, folder: Path, url: str | None = None) -> Item:
    """Return the utterance with an absolute path, relative ones counted from `folder`.

    Or from that of the manifest at `url`, which may name no file here (ValueError). A URL stays.
    """
    if is_url(utterance.path):
        return utterance
    path = from_text(utterance.path)
    if url is not None:
        if path.is_absolute():
            raise ValueError("names a file on this machine; a manifest from elsewhere may not")
        return utterance.replace(path=remote.joined(url.rpartition("/")[0], utterance.path))
    if utterance.path.startswith("/"):
        return utterance
    if path.is_absolute():  # its first character is an escape
        return utterance.replace(path=to_text(path))
    return utterance.replace(path=to_text(folder.absolute() / path))


def write_manifest(utterances: Iterable[Item], file: IO[str]) -> None:
    """Write one JSON line an utterance, fields in their fixed order, further fields last.

    Raises InputError for a line longer than any manifest's may be.
    """
    for utterance in utterances:
        line = json_text(utterance.manifest_row()) + "\n"
        if len(line) > MOST_LINE:
            raise InputError(
                f"{show(utterance.path)}: its further fields make a manifest's line of {len(line)}"
                f" characters; the limit is {MOST_LINE}: leave columns of the table out"
            )
        file.write(line)
