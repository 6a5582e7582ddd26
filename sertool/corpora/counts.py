"""Found against published counts, as lines for people."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sertool.corpora import Published
from sertool.items import Item
from sertool.ui.words import plural

WIDTH = 60  # columns


def table(name: str, found: Sequence[Item], published: Published | None) -> str:
    """Return a table of classes and lines about speakers, at most `WIDTH` columns wide."""
    classes = Counter(utterance.label or "(no label)" for utterance in found)
    speakers = Counter(utterance.speaker for utterance in found if utterance.speaker)
    lines = [f"{name}: {plural(len(found), 'utterance')}{_genders(found)}"]
    known = published.classes if published else {}
    width = max(len("class"), *map(len, [*classes, *known]))
    heads = f"  {'class':{width}} {'found':>7}"
    lines.append(f"{heads} {'published':>9}" if published else heads)
    rows = [(label, classes[label], known.get(label, 0)) for label in sorted({*classes, *known})]
    for label, n, expected in [*rows, ("all", len(found), sum(known.values()))]:
        line = f"  {label:{width}} {n:7d}"
        if published:
            line += f" {expected:9d}" + (f" {n - expected:+7d}" if n != expected else "")
        lines.append(line)
    text = _speakers(speakers, published.speakers if published else {})
    lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _genders(found: Sequence[Item]) -> str:
    """Return ", 10 speakers (5 female, 5 male)"."""
    people = {u.speaker: u.gender for u in found if u.speaker}
    if not people:
        return ""
    genders = Counter(gender for gender in people.values() if gender)
    words = ", ".join(f"{n} {gender}" for gender, n in sorted(genders.items()))
    return f", {plural(len(people), 'speaker')}" + (f" ({words})" if words else "")


def _speakers(found: Mapping[str, int], known: Mapping[str, int]) -> str:
    """Return one sentence about the counts per speaker."""
    if not found:
        return "speakers unknown"
    if not known:
        return f"speakers: {spread(found.values())} utterances each"
    if dict(found) == dict(known):
        return f"speakers: all {len(known)} as published, {spread(known.values())} each"
    wrong = [s for s in sorted({*found, *known}) if found.get(s, 0) != known.get(s, 0)]
    counts = ", ".join(f"{s}:{found.get(s, 0)}/{known.get(s, 0)}" for s in wrong)
    rest = "" if len(wrong) == len({*found, *known}) else "; the others as published"
    return f"speakers, found/published: {counts}{rest}"


def spread(counts: Iterable[int]) -> str:
    """Return "60", or "35 to 71" where counts differ."""
    numbers = sorted(counts)
    return f"{numbers[0]}" if numbers[0] == numbers[-1] else f"{numbers[0]} to {numbers[-1]}"


def difference(found: Sequence[Item], published: Published | None) -> str:
    """Return how the found counts differ from the published ones in one line; "" if they agree."""
    if published is None:
        return ""
    classes = Counter(utterance.label or "(no label)" for utterance in found)
    wrong = [
        f"{label} {classes[label]}/{published.classes.get(label, 0)}"
        for label in sorted({*classes, *published.classes})
        if classes[label] != published.classes.get(label, 0)
    ]
    return f"found/published: {', '.join(wrong)}" if wrong else ""
