"""Manifests: one utterance a line of JSON, from `prepare` to every later stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from sertool.core.errors import InputError
from sertool.core.paths import from_text, to_text
from sertool.items import FIELDS, PARTS, Item

MAX_SECONDS = 1e9  # no recording is longer, and no product with a rate overflows
_MAX_FOLD = 2**31


def _check(name: str, value: Any) -> Any:
    """Return a manifest value as the type of its field, or raise ValueError."""
    if value is None:
        if name in ("id", "path"):
            raise ValueError(f"no {name!r}")
        return None
    if name in ("start", "end"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name!r} is not a number of seconds")
        if not 0 <= value <= MAX_SECONDS:
            raise ValueError(f"{name!r} is {value:g}")
        return float(value)
    if name == "fold":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_FOLD:
            raise ValueError("'fold' is not a whole number from 0")
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:g}" if isinstance(value, float) else str(value)
    if not isinstance(value, str):
        raise ValueError(f"{name!r} is not text")
    value = _utf8(name, value)
    if name in ("id", "path") and not value:
        raise ValueError(f"empty {name!r}")
    if name == "path" and "\0" in value:
        raise ValueError("'path' holds a NUL")
    if name == "part" and value not in PARTS:
        raise ValueError(f"'part' is {value!r}, not train, val or test")
    return value


def _utf8(name: str, text: str) -> str:
    """Return text with escapes for bytes that are not UTF-8; ValueError for half a surrogate."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        raise ValueError(f"{name!r} is no Unicode text") from None


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
    values = {name: _check(name, row.get(name)) for name in FIELDS}
    extra = {name: value for name, value in row.items() if name not in values}
    return Item(**values, extra=_further(extra))


def parse_line(line: str) -> Item:
    """Return the utterance of one manifest line; raises ValueError with the reason.

    NaN, which is no JSON but which some write, is null.
    """
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


def read_manifest(path: Path, on_error: Callable[[int, str], None] | None = None) -> Iterator[Item]:
    """Yield the utterances of a manifest; relative paths count from the manifest's folder.

    A bad line goes to `on_error(line number, reason)`, or raises InputError without it.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    utterance = parse_line(line)
                except ValueError as error:
                    if on_error is None:
                        raise InputError(f"{path}: line {number}: {error}") from error
                    on_error(number, str(error))
                    continue
                yield resolve(utterance, path.parent)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def resolve(utterance: Item, folder: Path) -> Item:
    """Return the utterance with an absolute path, relative ones counted from `folder`."""
    path = from_text(utterance.path)
    if path.is_absolute():
        return utterance
    return utterance.replace(path=to_text(folder.absolute() / path))


def write_manifest(utterances: Iterable[Item], file: IO[str]) -> None:
    """Write one JSON line an utterance, fields in their fixed order, further fields last."""
    for utterance in utterances:
        line = json.dumps(utterance.manifest_row(), ensure_ascii=False, allow_nan=False)
        file.write(line + "\n")
