"""Raters in a table: a column for each of them, or a line for each file and rater.

What they chose becomes votes and the label that most of them chose, numbers become their mean; see
`sertool.votes` for the fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from sertool.core.errors import UsageError
from sertool.corpora import Skipped, labels
from sertool.items import Item, Value, number
from sertool.votes import CHOICES, RATINGS, VOTES, count, majority

LABEL = "label"
# what is of the recording, and not of who rates it
OF_RECORDINGS = ("corpus", "speaker", "gender", "language", "text", "session", "fold", "part")
_BETWEEN = re.compile(r"[;,|]")  # several choices of one rater


def parse(texts: Sequence[str]) -> dict[str | None, tuple[str, ...]]:
    """Return {field: names of columns} of "[FIELD=]NAME,..."; None for a field that is not named.

    Raises UsageError where a text names no column, or a field comes twice.

    >>> parse(["r1,r2", "arousal=a*"])
    {None: ('r1', 'r2'), 'arousal': ('a*',)}
    """
    found: dict[str | None, tuple[str, ...]] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        of = name.strip() if equals else None
        parts = (rest if equals else text).split(",")
        columns = tuple(one for part in parts if (one := part.strip()))
        if not columns or of == "":
            raise UsageError(f"--raters {text}: write NAME,NAME,... or FIELD=NAME,NAME,...")
        if of in found or (of in (None, LABEL) and found.keys() & {None, LABEL}):
            raise UsageError(f"--raters {text}: the raters of {of or LABEL} are given twice")
        found[of] = columns
    return found


def matching(header: Sequence[str], pattern: str) -> list[str]:
    """Return the columns that a pattern such as "rater*" means, in any case of letters."""
    return [name for name in header if name and fnmatchcase(name.casefold(), pattern.casefold())]


def chosen(cell: str | None) -> list[str]:
    """Return the classes in a cell, once each: "Happy; excited" is two.

    >>> chosen("Happy; excited"), chosen(None)
    (['happiness', 'excitement'], [])
    """
    words = (word.strip() for word in _BETWEEN.split(cell or ""))
    return list(dict.fromkeys(labels.noun(word) for word in words if word))


def wide(cells: Mapping[str, Mapping[str, str | None]]) -> tuple[str | None, dict[str, Value]]:
    """Return (the label that most chose, further fields) of a line: {field: {rater: cell}}.

    Raises ValueError for a cell that is no number where a field other than the label is rated.
    """
    extra: dict[str, Value] = {}
    label = None
    numbers: dict[str, dict[str, float]] = {}
    for name, given in cells.items():
        if name == LABEL:
            choices = {rater: classes for rater, cell in given.items() if (classes := chosen(cell))}
            extra |= {VOTES: count(choices), CHOICES: dict(choices) or None}
            label = majority(count(choices))
            continue
        for rater, cell in given.items():
            if cell is not None:
                value = number(cell.replace(",", "."))
                if value is None:
                    raise ValueError(f"{name} by {rater} is {cell!r}, not a number")
                numbers.setdefault(rater, {})[name] = value
        extra[name] = _mean([of[name] for of in numbers.values() if name in of])
    if cells.keys() - {LABEL}:
        extra[RATINGS] = dict(numbers) or None
    return label, extra


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


@dataclass
class _Rated:
    """A recording, and what each rater's line says of it: choices, and further columns."""

    item: Item
    lines: dict[str, tuple[list[str], dict[str, Value]]] = field(default_factory=dict)


class Gathered:
    """The lines of a table with one for each recording and rater, brought together."""

    def __init__(self, classes: bool) -> None:
        """classes: whether raters choose classes."""
        self._classes = classes
        self._rated: dict[tuple[str, float | None, float | None], _Rated] = {}

    def add(self, where: str, rater: str | None, cell: str | None, item: Item) -> Skipped | None:
        """Take a line in: who rates, the classes' cell, and the item as this line has it.

        Returns what is wrong with it, if something is.
        """
        if rater is None:
            return Skipped(where, "names no rater")
        own = self._rated.setdefault((item.path, item.start, item.end), _Rated(item))
        for name in OF_RECORDINGS:
            mine, before = getattr(item, name), getattr(own.item, name)
            if mine != before:
                return Skipped(where, f"its {name} is {mine!r}, and {before!r} in a line before")
        if rater in own.lines:
            return Skipped(where, f"a second line of rater {rater!r} for the same recording")
        own.lines[rater] = chosen(cell), item.extra
        return None

    def items(self) -> Iterator[Item]:
        """Yield an item for each recording, in the order in which they came."""
        rated = self.rated()
        for own in self._rated.values():
            extra: dict[str, Value] = {}
            numbers: dict[str, dict[str, float]] = {}
            for name in own.item.extra:
                given = {r: v for r, (_, row) in own.lines.items() if (v := row[name]) is not None}
                if name not in rated:
                    extra[name] = next(iter(given.values()), None)
                elif rated[name]:
                    amounts = {r: n for r, v in given.items() if (n := number(v)) is not None}
                    extra[name] = _mean(list(amounts.values()))
                    for rater, amount in amounts.items():
                        numbers.setdefault(rater, {})[name] = amount
            if self._classes:
                choices = {rater: classes for rater, (classes, _) in own.lines.items() if classes}
                extra |= {VOTES: count(choices), CHOICES: dict(choices) or None}
            if any(rated.values()):
                extra[RATINGS] = dict(numbers) or None
            label = majority(count(choices)) if self._classes else None
            yield own.item.replace(label=label, raw_label=None, extra=extra)

    def rated(self) -> dict[str, bool]:
        """Return {column that raters of one recording fill differently: whether it is numbers}."""
        found: dict[str, bool] = {}
        for own in self._rated.values():
            for name in own.item.extra:
                values = {v for _, row in own.lines.values() if (v := row[name]) is not None}
                if len(values) > 1:
                    found[name] = all(isinstance(value, int | float) for value in values)
        return found
