"""Folds that share no value of a second field either, and the utterances that this leaves out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sertool.core.errors import InputError, UsageError
from sertool.core.seeds import derive
from sertool.items import Item
from sertool.splits.balance import Group
from sertool.splits.protocols import Place, group_of

FIELDS = ("speaker", "session", "text")


def also_disjoint(
    items: Sequence[Item], places: Mapping[str, Place], field: str, seed: int = 0
) -> dict[str, Place]:
    """Return the places of the items that can stay when no two folds may share a value of `field`.

    Each value is given to one fold, and an item stays where that fold is its own. A value that only
    one fold has costs nothing; the others are dealt so that most items stay, each fold with as many
    values as any other, give or take one (Kuhn's assignment). Raises UsageError for a field that
    does not group items or a split without folds, InputError where values are unknown or too few.
    """
    if field not in FIELDS:
        raise UsageError(f"--also-disjoint {field}: choose one of {', '.join(FIELDS)}")
    folds = sorted({place.fold for place in places.values() if place.fold is not None})
    if len(folds) < 2 or any(place.fold is None for place in places.values()):
        raise UsageError(f"--also-disjoint {field}: needs a --split that makes folds of groups")
    counts: defaultdict[Group, Counter[int]] = defaultdict(Counter)
    missing = 0
    for item in items:
        missing += not item.value(field)
        counts[group_of(item, field)][places[item.id].fold or 0] += 1
    if missing:
        raise InputError(
            f"--also-disjoint {field}: {missing} of {len(items)} utterances have no {field}, so"
            " they may share one unseen"
        )
    homes = _homes(counts, folds, seed)
    kept = {
        item.id: places[item.id]
        for item in items
        if homes.get(group_of(item, field)) == places[item.id].fold
    }
    empty = set(folds) - {place.fold for place in kept.values()}
    if empty:
        raise InputError(
            f"--also-disjoint {field}: {len(counts)} values of {field} leave {len(empty)} of the"
            f" {len(folds)} folds empty; make fewer folds"
        )
    return kept


def _homes(
    counts: Mapping[Group, Mapping[int, int]], folds: Sequence[int], seed: int
) -> dict[Group, int]:
    """Return {value: the fold that it is given to}."""
    homes = {key: next(iter(found)) for key, found in counts.items() if len(found) == 1}
    crossing = sorted(
        (key for key in counts if key not in homes),
        key=lambda key: (derive(seed, "disjoint", *key), key),
    )
    if not crossing:
        return homes
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    rounds = -(-len(crossing) // len(folds))
    slots = [fold for _ in range(rounds) for fold in folds]
    kept = np.array([[counts[key].get(fold, 0) for fold in slots] for key in crossing])
    # the slots that every fold must fill are worth more than all items together
    kept[:, : len(crossing) // len(folds) * len(folds)] += kept.sum() + 1
    chosen, places = linear_sum_assignment(kept, maximize=True)
    return homes | {crossing[i]: slots[slot] for i, slot in zip(chosen, places, strict=True)}
