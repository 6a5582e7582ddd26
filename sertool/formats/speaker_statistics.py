"""Speakers' statistics in a file, by which `predict --speaker-statistics` normalises.

JSON Lines. The first says of which features they are: {"format": "sertool-speakers", "version": 1,
"pipeline": the SHA-256 of the stages that make the features, "channel": what was heard of several,
"whole_crop": whether only the pipeline's crop was, "dims": values a frame}. Then one a speaker:
{"corpus", "speaker", "channel", "recordings", "frames", "seconds", "mean": [...], "sd": [...]},
the statistics in float32. `speaker` is unique within `corpus`; `channel` is "" unless each channel
has statistics of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sertool.core.errors import InputError
from sertool.core.paths import opened_text, show
from sertool.formats import schema
from sertool.formats.schema import Count, Name, Number

FORMAT = "sertool-speakers"
VERSION = 1


class Head(Struct, kw_only=True):
    """Of which features the statistics are, and of what of a recording."""

    format: str = FORMAT
    version: int = VERSION
    pipeline: Name
    channel: Name
    whole_crop: bool
    dims: Count


class Line(Struct, kw_only=True):
    """One speaker."""

    corpus: str
    speaker: str
    channel: str
    recordings: Count
    frames: Count
    seconds: Annotated[float, Meta(ge=0, le=1e12)]
    mean: list[Number]
    sd: list[Number]


def texts(head: Head, lines: Iterable[Line]) -> Iterator[str]:
    """Yield the lines of a file, each with its newline."""
    for row in (head, *lines):
        values = msgspec.to_builtins(row)
        yield json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> tuple[Head, list[Line]]:
    """Return a file's content; InputError where it is no such file, newer or damaged."""
    try:
        with opened_text(path) as file:
            head = _head(path, file.readline())
            lines = []
            for text in file:
                lines.append(_line(text, head.dims))
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{show(path)}: holds no speakers' statistics") from error
    except (ValueError, RecursionError) as error:
        reason = "not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(f"{show(path)}: line {len(lines) + 2}: {reason}") from error
    if not lines:
        raise InputError(f"{show(path)}: no speaker in it")
    return head, lines


def _head(path: Path, text: str) -> Head:
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError("another format")
        version = values.get("version")
        if type(version) is int and version > VERSION:
            raise InputError(
                f"{show(path)}: version {version} is newer than this sertool's ({VERSION});"
                " update sertool"
            )
        return schema.convert(values, Head)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{show(path)}: holds no speakers' statistics") from error


def _line(text: str, dims: int) -> Line:
    line = schema.convert(json.loads(text), Line)
    if not len(line.mean) == len(line.sd) == dims:
        raise ValueError(f"mean and sd are not of {dims} numbers")
    if min(line.sd, default=1.0) <= 0:
        raise ValueError("a deviation is not above 0")
    return line
