"""What a test is worth as evidence: facts computed from the items trained on and the items tested.

Whatever a model was fitted to or chosen by counts as trained on: training and validation part
alike. Each fact of `FACTS` is True, False, or None where it cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sertool.evaluation.leaks import (
    FACTS,
    Leak,
    Near,
    find,
    known,
    origin_of,
    speaker_of,
)
from sertool.formats.fitted import TRAINED_PARTS, fitted_before, seen
from sertool.items import Item

# each of these facts counts only what the stronger ones do not: who asks for it asks for them
STRONGER: dict[str, tuple[str, ...]] = {
    "audio_disjoint": ("origin_disjoint",),
    "near_disjoint": ("origin_disjoint", "audio_disjoint"),
}


def near(trained: Iterable[Item], tested: Iterable[Item]) -> Near:
    """Return which fingerprints of two lists of items are near-duplicates, compared once."""
    sides = ((str(item.get("fingerprint") or "") for item in side) for side in (trained, tested))
    return Near(*sides)


def states(leaks: dict[str, Leak]) -> tuple[dict[str, Any], dict[str, int]]:
    """Return (facts, shared): True, False or None for each fact, and how many values overlap."""
    facts: dict[str, bool | None] = {name: leak.apart for name, leak in leaks.items()}
    return facts, {FACTS[name]: leak.shared for name, leak in leaks.items() if leak.comparable}


def compare(
    trained: Sequence[Item], tested: Sequence[Item], fitted: Sequence[Item] | None = ()
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return (facts, shared): each of `FACTS` for two lists of items, and how many values overlap.

    An overlap is False whatever else is unknown; no overlap is True only if every item's value
    is known, else None. fitted: what statistics or weights were fitted to, None if unknown.
    """
    left, right, before = known(trained, tested, fitted or ())
    return states(find(left, right, None if fitted is None else before))


def _counts(name: str, items: Sequence[Item]) -> dict[str, int]:
    """Return how many items, recordings and speakers a part has, and items of unknown speaker."""
    return {
        f"n_{name}": len(items),
        f"n_{name}_origins": len({origin_of(item) for item in items} - {None}),
        f"n_{name}_speakers": len({speaker_of(item) for item in items} - {None}),
        f"n_{name}_unknown_speaker": sum(speaker_of(item) is None for item in items),
    }


def protocol(
    items: Sequence[Item],
    tested: Sequence[Item],
    pipeline: Sequence[dict[str, Any]] = (),
    compared: Near | None = None,
    augment: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the protocol of one checkpoint, from its `items` and those it is `tested` on.

    The facts of `FACTS` against training and validation together, `shared` (how many values they
    have in common), the same against each part alone (`against`), `test_augmented` and
    `train_augmented`, and counts: items (`n_train`, `n_val`, `n_test`), recordings
    (`n_train_origins`, …), speakers (`n_train_speakers`, …). What the stages of `pipeline` were
    fitted to counts as trained on. compared: the fingerprints, where `near` has compared them.
    augment: how training pictures were changed as they were read, if they were; the copies that
    it `added` to an epoch are counted in `n_train`, though no item lists them.
    """
    before = fitted_before(pipeline)
    rows = {name: [item for item in items if item.get("part") == name] for name in TRAINED_PARTS}
    rest = [item for item in items if item.get("part") not in TRAINED_PARTS]
    train, val, earlier, test, _ = known(*rows.values(), before or (), tested, rest)
    parts = {"train": train + earlier, "val": val}
    trained = [k for part in parts.values() for k in part]
    if compared is None:
        compared = near(seen(items, pipeline), tested)
    fitted = None if before is None else parts["train"]
    whole = states(find(trained, test, fitted, compared))
    facts, shared = {**whole[0]}, whole[1]
    facts["test_augmented"] = any(item.get("augmentation") for item in tested)
    facts["train_augmented"] = bool(augment) or any(k.copy for k in train + val)
    against = {
        name: whole[0]
        if len(part) == len(trained)
        else states(find(part, test, fitted if name == "train" else (), compared))[0]
        for name, part in parts.items()
        if part
    }
    counted = {**rows, "test": tested}
    counts = {key: n for name, part in counted.items() for key, n in _counts(name, part).items()}
    counts["n_train"] += (augment or {}).get("added", 0)
    return {**facts, "shared": shared, "against": against, **counts}


def _all(values: Iterable[bool | None]) -> bool | None:
    """AND that keeps the unknown: False if any is, else None if any is, else True."""
    seen = set(values)
    return False if False in seen else (None if None in seen else True)


def combine(folds: Sequence[dict[str, Any]], tested: Sequence[Item]) -> dict[str, Any]:
    """Return the protocol of checkpoints pooled, from each one's own and all items `tested`.

    A disjointness holds if it holds for each checkpoint against its own test items; `shared` is
    the most that any of them shares. Training parts overlap between folds, so their counts are
    not added: `n_train…` and `n_val…` are the smallest of any checkpoint, `n_train_most` is the
    largest `n_train`.
    """
    if len(folds) == 1:
        return {**folds[0], "n_checkpoints": 1}
    result: dict[str, Any] = {name: _all(fold[name] for fold in folds) for name in FACTS}
    for name in ("test_augmented", "train_augmented"):
        result[name] = any(fold[name] for fold in folds)
    names = [what for what in FACTS.values() if any(what in fold["shared"] for fold in folds)]
    result["shared"] = {what: max(fold["shared"].get(what, 0) for fold in folds) for what in names}
    result["against"] = {
        part: {name: _all(facts[name] for facts in every) for name in FACTS}
        for part in TRAINED_PARTS
        if (every := [fold["against"][part] for fold in folds if part in fold["against"]])
    }
    for name in folds[0]:
        if name.startswith(("n_train", "n_val")):
            result[name] = min(fold[name] for fold in folds)
    result |= _counts("test", tested)
    result["n_train_most"] = max(fold["n_train"] for fold in folds)
    result["n_checkpoints"] = len(folds)
    return result
