"""How far a test can be trusted: facts computed from the items trained on and the items tested.

Whatever a model was fitted to or chosen by counts as trained on: training and validation part
alike. Each fact of `FACTS` is True, False, or None where it cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from sertool.evaluation.facts import FACTS
from sertool.evaluation.leaks import (
    Leak,
    Near,
    find,
    known,
    origin_of,
    speaker_of,
)
from sertool.evaluation.report import Protocol, States, all_hold
from sertool.formats.fitted import TRAINED_PARTS, fitted_before, seen
from sertool.items import Item

# each of these facts counts only what the stronger ones do not: who asks for it asks for them
STRONGER: dict[str, tuple[str, ...]] = {
    "audio_disjoint": ("origin_disjoint",),
    "near_disjoint": ("origin_disjoint", "audio_disjoint"),
}


def near(trained: Iterable[Item], tested: Iterable[Item]) -> Near:
    """Return which fingerprints of two lists of items are near-duplicates, compared once."""
    return Near(*((item.fingerprint for item in side) for side in (trained, tested)))


def states(leaks: dict[str, Leak]) -> tuple[States, dict[str, int]]:
    """Return (facts, shared): True, False or None for each fact, and how many values overlap."""
    facts = {name: leak.apart for name, leak in leaks.items()}
    return facts, {FACTS[name]: leak.shared for name, leak in leaks.items() if leak.comparable}


def compare(
    trained: Sequence[Item], tested: Sequence[Item], fitted: Sequence[Item] | None = ()
) -> tuple[States, dict[str, int]]:
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
    declared: dict[str, Any] | None = None,
) -> Protocol:
    """Return the protocol of one checkpoint, from its `items` and those it is `tested` on.

    The facts of `FACTS` against training and validation together, `shared` (how many values they
    have in common), the same against each part alone (`against`), `test_augmented` and
    `train_augmented`, and counts: items (`n_train`, `n_val`, `n_test`), recordings
    (`n_train_origins`, …), speakers (`n_train_speakers`, …). What the stages of `pipeline` were
    fitted to counts as trained on. compared: the fingerprints, where `near` has compared them.
    augment: how training pictures were changed as they were read, if they were; the copies that
    it `added` to an epoch are counted in `n_train`, though no item lists them. declared: what the
    checkpoint says of its split.
    """
    before = fitted_before(pipeline)
    rows = {name: [item for item in items if item.part == name] for name in TRAINED_PARTS}
    rest = [item for item in items if item.part not in TRAINED_PARTS]
    train, val, earlier, test, _ = known(*rows.values(), before or (), tested, rest)
    parts = {"train": train + earlier, "val": val}
    trained = [k for part in parts.values() for k in part]
    if compared is None:
        compared = near(seen(items, pipeline), tested)
    fitted = None if before is None else parts["train"]
    facts, shared = states(find(trained, test, fitted, compared))
    against = {
        name: facts
        if len(part) == len(trained)
        else states(find(part, test, fitted if name == "train" else (), compared))[0]
        for name, part in parts.items()
        if part
    }
    counted = {**rows, "test": tested}
    counts = {key: n for name, part in counted.items() for key, n in _counts(name, part).items()}
    counts["n_train"] += (augment or {}).get("added", 0)
    return Protocol(
        declared=declared or {},
        facts=facts,
        shared=shared,
        against=against,
        test_augmented=any(item.augmentation for item in tested),
        train_augmented=bool(augment) or any(k.copy for k in train + val),
        counts=counts,
    )


def combine(folds: Sequence[Protocol], tested: Sequence[Item]) -> Protocol:
    """Return the protocol of checkpoints pooled, from each one's own and all items `tested`.

    A disjointness holds if it holds for each checkpoint against its own test items; `shared` is
    the most that any of them shares; `declared` is what all of them declare. Training parts
    overlap between folds, so their counts are not added: `n_train…` and `n_val…` are the smallest
    of any checkpoint, `n_train_most` is the largest `n_train`.
    """
    first = folds[0]
    if len(folds) == 1:
        return replace(first, counts=first.counts | {"n_checkpoints": 1})
    names = [what for what in FACTS.values() if any(what in fold.shared for fold in folds)]
    counts = {
        name: min(fold.of(name) for fold in folds)
        for name in first.counts
        if name.startswith(("n_train", "n_val"))
    }
    counts |= _counts("test", tested)
    counts |= {"n_train_most": max(f.of("n_train") for f in folds), "n_checkpoints": len(folds)}
    return Protocol(
        declared={
            name: value
            for name, value in first.declared.items()
            if all(fold.declared.get(name) == value for fold in folds)
        },
        facts={name: all_hold(fold.facts[name] for fold in folds) for name in FACTS},
        shared={what: max(fold.shared.get(what, 0) for fold in folds) for what in names},
        against={
            part: {name: all_hold(states[name] for states in every) for name in FACTS}
            for part in TRAINED_PARTS
            if (every := [fold.against[part] for fold in folds if part in fold.against])
        },
        test_augmented=any(fold.test_augmented for fold in folds),
        train_augmented=any(fold.train_augmented for fold in folds),
        counts=counts,
    )
