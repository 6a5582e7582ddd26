"""What a test has cost: CPU seconds of the stages, as their logs say, and the sound heard."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from sertool.core.boxes import Box, limits
from sertool.core.errors import InputError, ItemError
from sertool.core.paths import from_text, show, text_of
from sertool.items import Item


def spent(logs: Iterable[Path]) -> dict[str, float]:
    """Return the CPU seconds of each stage that ended according to `--log` files, summed.

    A stage that was interrupted and resumed counts with all its parts. Raises InputError for a file
    that cannot be read, or is no log that knows CPU seconds.
    """
    found: dict[str, float] = {}
    for path in logs:
        try:
            rows = [json.loads(line) for line in text_of(path).splitlines()]
            ends = [(row["stage"], row["cpu"]) for row in rows if row["event"] == "end"]
            for stage, seconds in ends:
                found[str(stage)] = found.get(str(stage), 0.0) + float(seconds)
        except OSError as error:
            raise InputError(f"{show(path)}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{show(path)}: not a log of sertool, or of an older one") from error
        if not ends:
            raise InputError(f"{show(path)}: no stage has ended in this log")
    return found


def sound(items: Sequence[Item], root: str) -> float | None:
    """Return the seconds of the recordings of items; None where one cannot be found any more.

    A recording counts once, however many items it gave; of one that is cut its cut. root: the
    folder from which the paths of items lead.
    """
    cuts: dict[str, list[Item]] = {}
    for item in items:
        cuts.setdefault(item.origin or item.id, []).append(item)
    total = 0.0
    with closing(Box(limits())) as box:
        for parts in cuts.values():
            seconds = _seconds(parts, Path(from_text(root)), box)
            if seconds is None:
                return None
            total += seconds
    return total


def _seconds(parts: Sequence[Item], root: Path, box: Box) -> float | None:
    starts = [item.start for item in parts if item.start is not None]
    ends = [item.end for item in parts if item.end is not None]
    if len(starts) == len(ends) == len(parts):
        return max(ends) - min(starts)
    try:
        from sertool.audio.headers import read_header

        header = box.call(read_header, root / from_text(parts[0].path))
    except (ImportError, ItemError):
        return None
    return header.seconds() if header else None
