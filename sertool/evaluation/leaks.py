"""What two lists of items share: speakers, recordings, sentences, sound under two names.

Speakers, recordings and sentences are compared by (corpus, value), because names are unique
within a corpus only; sound is compared whatever the corpus. Of one name in a corpus and where no
corpus is known, nobody can say whether it is the same: that is unknown, and not apart.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from sertool.formats.fitted import FITTED
from sertool.items import Item

Key = tuple[str, str]
Span = tuple[float, float]  # first and last second
EVER: Span = (0.0, math.inf)

_CUT = re.compile(r"(.+)@(\d{1,12})-(\d{0,12})", re.DOTALL)  # how ids of cuts end: ms


def by_corpus(field: str) -> Callable[[Item], Key | None]:
    """Return a function from an item to its (corpus, value), or None where the value is unknown."""

    def key(item: Item) -> Key | None:
        value = item.value(field)
        return None if value in (None, "") else (item.corpus or "", str(value))

    return key


speaker_of, origin_of, text_of = by_corpus("speaker"), by_corpus("origin"), by_corpus("text")


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What an item can be recognised by, None or "" where that is unknown.

    places: where its sound lies in its recording, and in its file where the item says which
    (`file`, an absolute path). sound, print: hash and fingerprint of its recording.
    """

    item: Item
    id: str
    copy: bool
    speaker: Key | None
    recording: Key | None
    text: Key | None
    places: tuple[tuple[Key, Span], ...]
    sound: str
    print: str


Names = Callable[[Known], Iterable[tuple[Key, Span]]]  # what an item has, by (corpus, name)


def known(*sides: Iterable[Item]) -> list[list[Known]]:
    """Return each side's items as what they can be recognised by, in the order of their ids.

    A copy has no audio of its own: hash and fingerprint are those of its origin, if any side
    knows that.
    """
    rows = [sorted(side, key=lambda item: item.id) for side in sides]
    copied = {origin_of(item) for side in rows for item in side if item.augmentation}
    sounds: dict[tuple[str, Key | None], str] = {}
    for item in chain.from_iterable(rows) if copied else ():
        if not item.augmentation and (origin := origin_of(item)) in copied:
            for name in ("audio_hash", "fingerprint"):
                value = str(item.value(name) or "")
                if value and value < sounds.get((name, origin), value + "\0"):
                    sounds[name, origin] = value
    return [[_known(item, sounds) for item in side] for side in rows]


def _known(item: Item, sounds: dict[tuple[str, Key | None], str]) -> Known:
    copy, origin, file = bool(item.augmentation), origin_of(item), item.value("file")

    def sound(name: str) -> str:
        own = str(item.value(name) or "")
        return own or (sounds.get((name, origin), "") if copy and origin else "")

    return Known(
        item,
        item.id,
        copy,
        speaker_of(item),
        origin or (("", str(file)) if file else None),
        text_of(item),
        tuple(_places(item, origin)),
        sound("audio_hash"),
        sound("fingerprint"),
    )


def _places(item: Item, origin: Key | None) -> Iterable[tuple[Key, Span]]:
    """Yield where the item's sound lies: a cut's name says it, and so do its file's times."""
    if origin is not None:
        cut = _CUT.fullmatch(origin[1]) if "@" in origin[1] else None
        first = int(cut[2]) / 1000 if cut else 0.0
        last = int(cut[3]) / 1000 if cut and cut[3] else math.inf
        if cut and first < last:
            yield (origin[0], cut[1]), (first, last)
        else:
            yield origin, EVER
    if file := item.value("file"):
        yield ("file", str(file)), (item.start or 0.0, math.inf if item.end is None else item.end)


def _overlap(a: Span, b: Span) -> bool:
    """Return whether two spans share at least half of the shorter one.

    The turns of a dialogue run into each other by less.
    """
    common = min(a[1], b[1]) - max(a[0], b[0])
    return a == b or (common > 0 and common >= min(a[1] - a[0], b[1] - b[0]) / 2)


def one_source(a: Known, b: Known) -> bool:
    """Return whether two items are of one recording, as far as names show."""
    return any(
        name == other and _overlap(span, theirs)
        for name, span in a.places
        for other, theirs in b.places
    )


class Near:
    """Which fingerprints are near-duplicates: compared once, then asked about many lists.

    left, right: the fingerprints of all trained and of all tested items. apart: pairs of
    recordings (trained, tested) that a closer look has shown to be different.
    """

    def __init__(self, left: Iterable[str], right: Iterable[str]) -> None:
        self._like: defaultdict[str, list[str]] = defaultdict(list)
        self.apart: set[tuple[Key | None, Key | None]] = set()
        ours, theirs = sorted({*left} - {""}), sorted({*right} - {""})
        if ours and theirs:
            from sertool.audio.fingerprint import near

            for i, j in near(ours, theirs):
                self._like[theirs[j]].append(ours[i])

    def like(self, right: str) -> list[str]:
        """Return the left fingerprints that are near-duplicates of one on the right."""
        return self._like.get(right, [])


class Link(NamedTuple):
    """A test item, and one trained item that has the same value."""

    value: object
    trained: Known
    tested: Known


@dataclass
class Leak:
    """What is known of one fact.

    links: one for each test item that shares something. unknown: how many trained and how many
    tested items have no value. comparable: whether each side has some.
    """

    links: list[Link] = field(default_factory=list)
    unknown: tuple[int, int] = (0, 0)
    comparable: bool = True

    @property
    def apart(self) -> bool | None:
        """False where anything is shared, whatever else is unknown; None where it may be."""
        return False if self.links else (None if any(self.unknown) else True)

    @property
    def shared(self) -> int:
        """How many values are shared."""
        return len({link.value for link in self.links})


def find(
    trained: Sequence[Known],
    tested: Sequence[Known],
    fitted: Sequence[Known] | None = (),
    near: Near | None = None,
) -> dict[str, Leak]:
    """Return what each of `FACTS` is for two lists of items.

    fitted: the items that statistics or weights were fitted to, None where they are unknown.
    near: their fingerprints compared before; else they are compared here.
    """
    if near is None:
        near = Near((k.print for k in trained), (k.print for k in tested))

    def leak(value: str, links: Iterable[Link], names: Names | None = None) -> Leak:
        left, right = (sum(not getattr(k, value) for k in side) for side in (trained, tested))
        comparable = left < len(trained) and right < len(tested)
        if names is not None:
            left += _homonyms(trained, tested, names)
            right += _homonyms(tested, trained, names)
        return Leak(list(links), (left, right), comparable)

    def speakers(k: Known) -> Iterable[tuple[Key, Span]]:
        return [] if k.speaker is None else [(k.speaker, EVER)]

    def texts(k: Known) -> Iterable[tuple[Key, Span]]:
        return [] if k.text is None else [(k.text, EVER)]

    return {
        "speaker_disjoint": leak("speaker", _equal(trained, tested, lambda k: k.speaker), speakers),
        "origin_disjoint": leak("recording", _sources(trained, tested), lambda k: k.places),
        "text_disjoint": leak("text", _equal(trained, tested, lambda k: k.text), texts),
        "audio_disjoint": leak("sound", _identical(trained, tested)),
        "near_disjoint": leak("print", _nearest(alike(trained, tested, near))),
        "fit_disjoint": Leak([], (1, 0), False)
        if fitted is None
        else Leak(list(_refitted(fitted, tested))),
    }


def _homonyms(side: Iterable[Known], others: Iterable[Known], names: Names) -> int:
    """Return how many items of a side share a name with others, and one's corpus is not known."""
    known: defaultdict[str, set[tuple[str, Span]]] = defaultdict(set)
    for k in others:
        for (corpus, name), span in names(k):
            known[name].add((corpus, span))

    def unsure(k: Known) -> bool:
        return any(
            theirs != corpus and not (theirs and corpus) and _overlap(span, other)
            for (corpus, name), span in names(k)
            for theirs, other in known.get(name, ())
        )

    return sum(map(unsure, side))


def _equal(
    trained: Iterable[Known], tested: Iterable[Known], value: Callable[[Known], Key | None]
) -> Iterable[Link]:
    first: dict[Key, Known] = {}
    for k in trained:
        if (key := value(k)) is not None:
            first.setdefault(key, k)
    for t in tested:
        if (key := value(t)) is not None and key in first:
            yield Link(key, first[key], t)


def _sources(trained: Iterable[Known], tested: Iterable[Known]) -> Iterable[Link]:
    """Link items of one recording, be they segments, copies or overlapping cuts of it."""
    found: defaultdict[Key, dict[Span, Known]] = defaultdict(dict)
    for k in trained:
        for name, span in k.places:
            found[name].setdefault(span, k)
    cuts = {name: sorted(spans) for name, spans in found.items()}
    longest = {name: max(last - first for first, last in spans) for name, spans in cuts.items()}
    for t in tested:
        for name, span in t.places:
            if name not in cuts:
                continue
            # a file may have thousands of cuts: try those that can reach this one
            begin = bisect_left(cuts[name], (span[0] - longest[name], 0.0))
            end = bisect_right(cuts[name], (span[1], math.inf))
            match = next((s for s in cuts[name][begin:end] if _overlap(s, span)), None)
            if match is not None:
                yield Link(t.recording, found[name][match], t)
                break


def _identical(trained: Iterable[Known], tested: Iterable[Known]) -> Iterable[Link]:
    """Link recordings of equal samples under two names."""
    first: defaultdict[str, dict[Key | None, Known]] = defaultdict(dict)
    for k in trained:
        if k.sound:
            first[k.sound].setdefault(k.recording, k)
    for t in tested:
        others = (k for k in first.get(t.sound, {}).values() if not one_source(k, t))
        if (match := next(others, None)) is not None:
            yield Link(t.sound, match, t)


def alike(trained: Iterable[Known], tested: Iterable[Known], near: Near) -> Iterable[Link]:
    """Link all recordings of near-duplicate fingerprints, not of one source nor equal samples."""
    first: defaultdict[str, dict[Key | None, Known]] = defaultdict(dict)
    for k in trained:
        if k.print:
            first[k.print].setdefault(k.recording, k)
    for t in tested:
        for left in near.like(t.print):
            for k in first.get(left, {}).values():
                same = one_source(k, t) or (k.sound and k.sound == t.sound)
                if not same and (k.recording, t.recording) not in near.apart:
                    yield Link(t.recording or t.id, k, t)


def _nearest(links: Iterable[Link]) -> list[Link]:
    """Return one link for each tested item: to the trained item whose id comes first."""
    found: dict[int, Link] = {}
    for link in links:
        best = found.setdefault(id(link.tested), link)
        if link.trained.id < best.trained.id:
            found[id(link.tested)] = link
    return list(found.values())


def _refitted(fitted: Iterable[Known], tested: Iterable[Known]) -> Iterable[Link]:
    """Link test items to the same items, and to all of an earlier stage that are its recording.

    An earlier stage may have cut the recordings otherwise, and so have other ids for the same.
    """
    items: dict[str, Known] = {}
    recordings: dict[Key, Known] = {}
    for k in fitted:
        items.setdefault(k.id, k)
        if k.item.part == FITTED and k.recording is not None:
            recordings.setdefault(k.recording, k)
    for t in tested:
        match = items.get(t.id)
        if match is None and t.recording is not None:
            match = recordings.get(t.recording)
        if match is not None:
            yield Link(t.id, match, t)
