"""Raters' votes on an item: how many chose which class, what most of them chose, and the shares.

An item's field `votes` is {class: how many}, `choices` the classes by rater that it counts,
`ratings` the numbers by rater: {rater: {field: number}}.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping

from sertool.items import Item

VOTES, CHOICES, RATINGS = "votes", "choices", "ratings"
SOFT = "soft"  # in a checkpoint's protocol: it learned shares of votes
NO_MAJORITY = "no majority"  # stands for the class of an item with votes and without a label


def count(choices: Mapping[str, Iterable[str]]) -> dict[str, int] | None:
    """Return {class: votes}, sorted, of classes by rater; None where nobody chose one.

    A rater's every choice is one vote, so that one who chose two classes gives two (as Ando et al.
    2018, Soft-target training with ambiguous emotional utterances, section 2, count IEMOCAP's).

    >>> count({"r1": ["anger"], "r2": ["sadness", "anger"], "r3": []})
    {'anger': 2, 'sadness': 1}
    """
    votes = Counter(name for chosen in choices.values() for name in chosen)
    return dict(sorted(votes.items())) or None


def majority(votes: Mapping[str, float] | None) -> str | None:
    """Return the class with more votes than any other; None for a tie, and without votes.

    >>> majority({"anger": 2, "neutral": 1, "sadness": 1}), majority({"anger": 1, "neutral": 1})
    ('anger', None)
    """
    most = max(votes.values(), default=0) if votes else 0
    leading = [name for name, n in (votes or {}).items() if n == most]
    return leading[0] if len(leading) == 1 else None


def votes_of(item: Item) -> dict[str, float] | None:
    """Return an item's votes by class, None where it has none.

    In a store they are JSON text. What is there by this name and is no count of votes is none.

    >>> votes_of(Item("a", extra={"votes": '{"anger": 2, "neutral": 0}'}))
    {'anger': 2}
    """
    found = {name: _amount(n) for name, n in table(item, VOTES).items()}
    if None in found.values():
        return None
    return {name: n for name, n in found.items() if n} or None


def table(item: Item, field: str) -> Mapping[str, object]:
    """Return the table that an item has in a field, {} where it has none."""
    value: object = item.value(field)
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _amount(value: object) -> float | None:
    """Return a number from 0, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and value >= 0 else None


def vote_classes(found: Iterable[Mapping[str, float] | None]) -> list[str]:
    """Return every class that has a vote, sorted."""
    return sorted({name for votes in found for name in votes or ()})
