"""What a test is worth as evidence: facts computed from the items trained on and the items tested.

Whatever a model was fitted to or chosen by counts as trained on: training and validation part
alike. Each fact is True, False, or None where it cannot be known. Speakers, recordings and
sentences are compared by (corpus, value), because names are unique within a corpus only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Item = dict[str, Any]
Key = tuple[str, str]

TRAINED_PARTS = ("train", "val")


def by_corpus(field: str) -> Callable[[Item], Key | None]:
    """Return a function from an item to its (corpus, value), or None where the value is unknown."""

    def key(item: Item) -> Key | None:
        value = item.get(field)
        return None if value in (None, "") else (item.get("corpus") or "", str(value))

    return key


def _audio(item: Item) -> Key | None:
    """Equal recordings are equal in whatever corpus they lie."""
    return ("", item["audio_hash"]) if item.get("audio_hash") else None


# fact -> (what two items may not share, what a shared value is called)
FACTS: dict[str, tuple[Callable[[Item], Key | None], str]] = {
    "speaker_disjoint": (by_corpus("speaker"), "speakers"),
    "origin_disjoint": (by_corpus("origin"), "recordings"),
    "text_disjoint": (by_corpus("text"), "sentences"),
    "audio_disjoint": (_audio, "identical recordings"),
}


def _values(items: Iterable[Item], key: Callable[[Item], Key | None]) -> tuple[set[Key], bool]:
    """Return (the known values, whether every item has one).

    A copy has no audio of its own: its origin's recording stands for it, by `origin_disjoint`.
    """
    known: set[Key] = set()
    complete = True
    for item in items:
        value = key(item)
        if value is not None:
            known.add(value)
        elif not (key is _audio and item.get("augmentation")):
            complete = False
    return known, complete


def compare(
    trained: Sequence[Item], tested: Sequence[Item]
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return (facts, shared): each of `FACTS` for two lists of items, and how many values overlap.

    An overlap is False whatever else is unknown; no overlap is True only if every item's value
    is known, else None.
    """
    facts: dict[str, bool | None] = {}
    shared: dict[str, int] = {}
    for name, (key, what) in FACTS.items():
        left, left_complete = _values(trained, key)
        right, right_complete = _values(tested, key)
        common = len(left & right)
        complete = left_complete and right_complete
        facts[name] = False if common else (True if complete else None)
        if left and right:
            shared[what] = common
    return facts, shared


def _counts(name: str, items: Sequence[Item]) -> dict[str, int]:
    """Return how many items, recordings and speakers a part has, and items of unknown speaker."""
    origin, speaker = FACTS["origin_disjoint"][0], FACTS["speaker_disjoint"][0]
    return {
        f"n_{name}": len(items),
        f"n_{name}_origins": len(_values(items, origin)[0]),
        f"n_{name}_speakers": len(_values(items, speaker)[0]),
        f"n_{name}_unknown_speaker": sum(speaker(item) is None for item in items),
    }


def protocol(items: Sequence[Item], tested: Sequence[Item]) -> dict[str, Any]:
    """Return the protocol of one checkpoint, from its `items` and those it is `tested` on.

    The facts of `FACTS` against training and validation together, `shared` (how many values they
    have in common), the same against each part alone (`against`), `test_augmented` and
    `train_augmented`, and counts: items (`n_train`, `n_val`, `n_test`), recordings
    (`n_train_origins`, …), speakers (`n_train_speakers`, …).
    """
    parts = {name: [item for item in items if item.get("part") == name] for name in TRAINED_PARTS}
    trained = [item for part in parts.values() for item in part]
    facts, shared = compare(trained, tested)
    facts["test_augmented"] = any(item.get("augmentation") for item in tested)
    facts["train_augmented"] = any(item.get("augmentation") for item in trained)
    counted = {**parts, "test": tested}
    counts = {key: n for name, part in counted.items() for key, n in _counts(name, part).items()}
    against = {name: compare(part, tested)[0] for name, part in parts.items() if part}
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
    names = [what for _, what in FACTS.values() if any(what in fold["shared"] for fold in folds)]
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
