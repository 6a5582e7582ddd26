"""Who speaks when, as a diariser wrote it down: RTTM, or a CSV with `start`, `end`, `speaker`."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sertool.core.errors import InputError
from sertool.core.paths import show, text_of

RTTM_COLUMNS = 8  # SPEAKER, recording, channel, start, duration, two that are empty, speaker
FILES = ("file", "path", "recording")  # columns that name the recording, if there are several


class Turn(NamedTuple):
    """A turn of one speaker, in seconds from the beginning of the file."""

    start: float
    end: float
    speaker: str


Turns = Mapping[str, list[Turn]]  # by recording: its name without suffix, "" for any


def read_turns(path: Path) -> Turns:
    """Return the turns in a file, of each recording in order of time; InputError for a bad one."""
    try:
        text = text_of(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"{show(path)}: {reason}") from error
    found: dict[str, list[Turn]] = {}
    rows = _rttm(text) if path.suffix.lower() == ".rttm" else _table(text)
    try:
        for line, recording, turn in rows:
            if not 0 <= turn.start < turn.end < math.inf:
                raise ValueError(f"line {line}: a turn from {turn.start:g} to {turn.end:g} s")
            found.setdefault(recording, []).append(turn)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{show(path)}: no table of turns: {error}") from error
    if not found:
        raise InputError(f"{show(path)}: no turns in it")
    return {name: sorted(turns) for name, turns in found.items()}


def turns_of(turns: Turns, path: str) -> list[Turn] | None:
    """Return the turns of a recording, by its name; None where there are none."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return turns.get(stem) or turns.get("")


def _rttm(text: str) -> Iterator[tuple[int, str, Turn]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0] != "SPEAKER":
            continue
        if len(words) < RTTM_COLUMNS:
            raise ValueError(f"line {number}: {len(words)} columns")
        start, length = float(words[3]), float(words[4])
        yield number, words[1], Turn(start, start + length, words[7])


def _table(text: str) -> Iterator[tuple[int, str, Turn]]:
    lines = text.splitlines()
    head = lines[0] if lines else ""
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(lines, delimiter=delimiter)
    names = {str(name).strip().lower(): name for name in rows.fieldnames or ()}
    missing = [name for name in Turn._fields if name not in names]
    if missing:
        raise ValueError(f"no column {', '.join(missing)}")
    file = next((names[name] for name in FILES if name in names), None)
    for row in rows:
        value = {name: str(row[names[name]]).strip() for name in Turn._fields}
        turn = Turn(float(value["start"]), float(value["end"]), value["speaker"])
        name = os.path.splitext(os.path.basename(str(row[file]).strip()))[0] if file else ""
        yield rows.line_num, name, turn
