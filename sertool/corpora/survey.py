"""The numbers of a corpus as its manifest's or store's columns give them: who, what, how long."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sertool.items import Item

Timed = Sequence[tuple[Item, float | None]]  # items with their lengths in seconds

FIELDS = ("label", "speaker", "gender", "text", "corpus", "language", "session")
CELL = ("corpus", "label", "gender")
MOST_BINS = 16  # of the histogram of lengths, and one for what is far longer
FAR = 2.0  # the longest utterance gets its own bin beyond this many 95th percentiles
SHORTEST_BIN = 0.001  # seconds


@dataclass(frozen=True)
class Tally:
    """What the items of one corpus, label and gender are; None: of any, or unknown.

    `speakers`, `texts` and `sessions` count different ones.
    """

    corpus: str | None
    label: str | None
    gender: str | None
    items: int
    speakers: int
    texts: int
    sessions: int
    seconds: float | None


@dataclass(frozen=True)
class Speaker:
    """A speaker; `gender` is None where unknown or where items disagree: `genders` has several."""

    corpus: str | None
    speaker: str
    gender: str | None
    genders: list[str]
    items: int


@dataclass(frozen=True)
class Fold:
    """A fold or part: `shared_speakers` are also in another, `lacking` are classes it has not."""

    name: int | str | None
    items: int
    speakers: int
    shared_speakers: int
    lacking: list[str]
    seconds: float | None


@dataclass(frozen=True)
class Histogram:
    """One corpus's items in each bin of `Lengths.edges`."""

    corpus: str | None
    counts: list[int]


@dataclass(frozen=True)
class Lengths:
    """Statistics and a histogram of the known lengths in seconds.

    Bin i of the histogram counts lengths from edge i up to, but not at, edge i + 1 (the last:
    and at it); its last bin may be wider than the others.
    """

    known: int
    total: float
    mean: float
    min: float
    median: float
    max: float
    edges: list[float]
    counts: list[int]
    by_corpus: list[Histogram]


@dataclass(frozen=True)
class Survey:
    """The summary of items; `unknown` counts those that lack a field."""

    items: int
    cells: list[Tally]
    classes: list[Tally]
    corpora: list[Tally]
    speakers: list[Speaker]
    unknown: dict[str, int]
    folds: list[Fold]
    parts: list[Fold]
    lengths: Lengths | None


def survey(rows: Sequence[Item], seconds: Sequence[float | None]) -> Survey:
    """Return the summary of items; unknown values are None.

    `rows` are items as a manifest or store has them, `seconds` (items,) their lengths, None where
    nobody knows. Nothing depends on the order of the items.
    """
    timed = list(zip(rows, seconds, strict=True))
    return Survey(
        len(rows),
        _tallies(timed, CELL),
        _tallies(timed, ("label",)),
        _tallies(timed, ("corpus",)),
        _speakers(rows),
        {name: sum(not row.value(name) for row in rows) for name in FIELDS},
        _folds(timed, "fold"),
        _folds(timed, "part"),
        lengths(timed),
    )


def _total(seconds: Iterable[float | None]) -> float | None:
    """Return the sum of what is known, in any order the same; None where nothing is."""
    known = [s for s in seconds if s is not None]
    return math.fsum(known) if known else None


def _values(timed: Timed, field: str) -> set[tuple[str, str]]:
    """Return the known values of a field, each with its corpus: only within one do they speak."""
    return {(row.corpus or "", str(row.value(field))) for row, _ in timed if row.value(field)}


def _tallies(timed: Timed, fields: tuple[str, ...]) -> list[Tally]:
    """Return a tally of every combination of the fields' values."""
    found: dict[tuple[str, ...], list[tuple[Item, float | None]]] = {}
    for row, seconds in timed:
        key = tuple(str(row.value(name) or "") if name in fields else "" for name in CELL)
        found.setdefault(key, []).append((row, seconds))
    return [
        Tally(
            corpus or None,
            label or None,
            gender or None,
            len(group),
            len(_values(group, "speaker")),
            len(_values(group, "text")),
            len(_values(group, "session")),
            _total(seconds for _, seconds in group),
        )
        for (corpus, label, gender), group in sorted(found.items())
    ]


def _speakers(rows: Sequence[Item]) -> list[Speaker]:
    """Return every known speaker."""
    genders: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        if row.speaker:
            speaker = (row.corpus or "", row.speaker)
            genders.setdefault(speaker, Counter())[row.gender or ""] += 1
    result = []
    for (corpus, name), found in sorted(genders.items()):
        known = sorted(set(found) - {""})
        gender = known[0] if len(known) == 1 else None
        result.append(Speaker(corpus or None, name, gender, known, found.total()))
    return result


def _folds(timed: Timed, field: str) -> list[Fold]:
    """Return each fold (or part); [] without any."""
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
        Fold(
            value,
            len(found[value]),
            len(people[value]),
            sum(places[speaker] > 1 for speaker in people[value]),
            sorted(classes - {row.label for row, _ in found[value]}),
            _total(seconds for _, seconds in found[value]),
        )
        for value in values
    ]


def lengths(timed: Timed) -> Lengths | None:
    """Return the statistics of the known lengths; None where none is known."""
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
    return Lengths(
        n,
        math.fsum(known),
        math.fsum(known) / n,
        known[0],
        math.fsum((known[(n - 1) // 2], known[n // 2])) / 2,
        known[-1],
        cuts,
        [sum(column) for column in zip(*by_corpus.values(), strict=True)],
        [Histogram(corpus or None, counts) for corpus, counts in sorted(by_corpus.items())],
    )


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
