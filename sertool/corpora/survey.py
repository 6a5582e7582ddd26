"""The numbers of a corpus as its manifest's or store's columns give them: who, what, how long."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sertool.items import Item

Row = dict[str, Any]
Timed = Sequence[tuple[Item, float | None]]  # items with their lengths in seconds

FIELDS = ("label", "speaker", "gender", "text", "corpus", "language", "session")
MOST_BINS = 16  # of the histogram of lengths, and one for what is far longer
FAR = 2.0  # the longest utterance gets its own bin beyond this many 95th percentiles
SHORTEST_BIN = 0.001  # seconds


def survey(rows: Sequence[Item], seconds: Sequence[float | None]) -> Row:
    """Return the summary of items, as JSON-ready values; unknown values are None.

    `rows` are items as a manifest or store has them, `seconds` (items,) their lengths, None where
    nobody knows. Nothing depends on the order of the items.
    """
    timed = list(zip(rows, seconds, strict=True))
    return {
        "items": len(rows),
        "cells": _groups(timed, ("corpus", "label", "gender")),
        "classes": _groups(timed, ("label",)),
        "corpora": _groups(timed, ("corpus",)),
        "speakers": _speakers(rows),
        "unknown": {name: sum(not row.value(name) for row in rows) for name in FIELDS},
        "folds": _folds(timed, "fold"),
        "parts": _folds(timed, "part"),
        "lengths": lengths(timed),
    }


def _total(seconds: Iterable[float | None]) -> float | None:
    """Return the sum of what is known, in any order the same; None where nothing is."""
    known = [s for s in seconds if s is not None]
    return math.fsum(known) if known else None


def _values(timed: Timed, field: str) -> set[tuple[str, str]]:
    """Return the known values of a field, each with its corpus: only within one do they speak."""
    return {(row.corpus or "", str(row.value(field))) for row, _ in timed if row.value(field)}


def _groups(timed: Timed, fields: tuple[str, ...]) -> list[Row]:
    """Return items, speakers, sentences and seconds of every combination of the fields' values."""
    found: dict[tuple[str, ...], list[tuple[Item, float | None]]] = {}
    for row, seconds in timed:
        key = tuple(str(row.value(name) or "") for name in fields)
        found.setdefault(key, []).append((row, seconds))
    result = []
    for key, group in sorted(found.items()):
        numbers: Row = {
            "items": len(group),
            "speakers": len(_values(group, "speaker")),
            "texts": len(_values(group, "text")),
            "sessions": len(_values(group, "session")),
            "seconds": _total(seconds for _, seconds in group),
        }
        result.append({f: value or None for f, value in zip(fields, key, strict=True)} | numbers)
    return result


def _speakers(rows: Sequence[Item]) -> list[Row]:
    """Return every known speaker with gender and number of items.

    `gender` is None where it is unknown or where the items disagree; then `genders` has several.
    """
    genders: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        if row.speaker:
            speaker = (row.corpus or "", row.speaker)
            genders.setdefault(speaker, Counter())[row.gender or ""] += 1
    result = []
    for (corpus, name), found in sorted(genders.items()):
        known = sorted(set(found) - {""})
        result.append(
            {
                "corpus": corpus or None,
                "speaker": name,
                "gender": known[0] if len(known) == 1 else None,
                "genders": known,
                "items": found.total(),
            }
        )
    return result


def _folds(timed: Timed, field: str) -> list[Row]:
    """Return each fold (or part) with its items, speakers and lacking classes; [] without any.

    `shared_speakers` are those of its speakers whom another fold has, too.
    """
    found: dict[Any, list[tuple[Item, float | None]]] = {}
    for row, seconds in timed:
        found.setdefault(row.value(field), []).append((row, seconds))
    if set(found) <= {None}:
        return []
    order = {"train": 0, "val": 1, "test": 2}
    values = sorted((v for v in found if v is not None), key=lambda v: order.get(v, v))
    values += [None] if None in found else []
    people = {v: _values(found[v], "speaker") for v in values}
    places = Counter(speaker for value in values for speaker in people[value])
    classes = {row.label for row, _ in timed if row.label}
    return [
        {
            field: value,
            "items": len(found[value]),
            "speakers": len(people[value]),
            "shared_speakers": sum(places[speaker] > 1 for speaker in people[value]),
            "lacking": sorted(classes - {row.label for row, _ in found[value]}),
            "seconds": _total(seconds for _, seconds in found[value]),
        }
        for value in values
    ]


def lengths(timed: Timed) -> Row | None:
    """Return statistics and a histogram of the known lengths in seconds; None where none is known.

    Bin i of the histogram counts lengths from edge i up to, but not at, edge i + 1 (the last:
    and at it), for each corpus; its last bin may be wider than the others.
    """
    known = sorted(seconds for _, seconds in timed if seconds is not None)
    if not known:
        return None
    n = len(known)
    cuts = edges(known)
    by_corpus: dict[str, list[int]] = {}
    for row, seconds in timed:
        if seconds is not None:
            counts = by_corpus.setdefault(row.corpus or "", [0] * (len(cuts) - 1))
            counts[min(max(bisect_right(cuts, seconds) - 1, 0), len(counts) - 1)] += 1
    corpora = sorted(by_corpus)
    return {
        "known": n,
        "total": math.fsum(known),
        "mean": math.fsum(known) / n,
        "min": known[0],
        "median": math.fsum((known[(n - 1) // 2], known[n // 2])) / 2,
        "max": known[-1],
        "edges": cuts,
        "counts": [sum(column) for column in zip(*by_corpus.values(), strict=True)],
        "by_corpus": [{"corpus": c or None, "counts": by_corpus[c]} for c in corpora],
    }


def edges(known: Sequence[float]) -> list[float]:
    """Return the edges of at most `MOST_BINS` bins of a round width (1, 2 or 5 and zeros).

    `known` is sorted. Where the longest lies far out, one more bin reaches from there to it. Equal
    lengths (to a millisecond) get a single bin, from the shortest to the longest.
    """
    least, most = known[0], known[-1]
    if most - least < SHORTEST_BIN:
        return [least, most]
    usual = known[math.ceil(0.95 * len(known)) - 1]
    top = usual if most > FAR * usual and usual - least >= SHORTEST_BIN else most
    for exponent in range(-3, 10):
        for digit in (1, 2, 5):
            width = digit * 10.0**exponent
            first, last = math.floor(least / width), math.floor(top / width) + 1
            if last - first <= MOST_BINS:
                cuts = [round(i * width, 3) for i in range(first, last + 1)]
                return cuts if cuts[-1] >= most else [*cuts, most]
    raise ValueError(f"lengths of {most:g} seconds")
