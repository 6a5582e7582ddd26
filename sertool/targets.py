"""What a model is trained to say of each item: class indices and weights, from item fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.items import Item

WITHIN_CORPUS = ("speaker", "session", "text")  # fields whose values are unique there alone

IGNORED = -100  # index of an item whose field is unknown: it adds nothing to that head's loss


@dataclass(frozen=True)
class Target:
    """One head's task: its field, its classes in the order of the logits, its weight in the loss.

    indices: (items,) int64, the class of every item of the store, IGNORED where unknown.
    class_weights: (classes,) float64, the weight of each class in the loss; `balanced` says that
        they are n / (classes · the class's items).
    item_weights: (items,) float64, the weight of each training item in the loss, its class's
        counted in; 0 where the index is IGNORED. None: the class weights alone.
    """

    field: str
    classes: list[str]
    weight: float
    indices: np.ndarray
    class_weights: np.ndarray
    balanced: bool = False
    item_weights: np.ndarray | None = None


def make_target(
    items: Sequence[Item],
    train: Sequence[int],
    field: str,
    weight: float = 1.0,
    class_weights: str = "none",
) -> Target:
    """Return the target of `field`, its classes and weights taken from the training items alone.

    Raises InputError where no training item has the field.
    """
    values = [_text(item.get(field)) for item in items]
    classes = sorted({value for i in train if (value := values[i]) is not None})
    if not classes:
        raise InputError(f"no training item has the field {field}, which the model learns too")
    number = {name: index for index, name in enumerate(classes)}
    indices = np.array([number.get(v or "", IGNORED) for v in values], np.int64)
    trained = indices[np.asarray(train, np.int64)]
    counts = np.bincount(trained[trained != IGNORED], minlength=len(classes))
    weights = np.ones(len(classes))
    if class_weights == "balanced":
        weights = counts.sum() / (len(classes) * counts)
    return Target(field, classes, weight, indices, weights, class_weights == "balanced")


def weigh_items(
    target: Target,
    items: Sequence[Item],
    train: Sequence[int],
    lengths: np.ndarray,
    length_weights: str,
) -> Target:
    """Return the target with a weight for each training item, of mean 1 over those it counts.

    lengths: (items,), the frames of each item. "inverse": w = (1 / T) · (n / (K · n_class)), the
    loss of Ma et al. (2018, section 4.2), without the second factor where classes are not
    balanced. "pieces": 1 / the number of training items of the same origin in the place of 1 / T;
    n counts recordings then, so that classes are balanced by recordings. "none": the class alone.
    """
    indices = target.indices[np.asarray(train, np.int64)]
    known = np.asarray(train, np.int64)[indices != IGNORED]
    votes = np.ones(len(known))
    if length_weights == "inverse":
        votes = 1 / lengths[known].astype(np.float64)
    elif length_weights == "pieces":
        origins = [items[i]["origin"] for i in known]
        number = Counter(origins)
        votes = np.array([1 / number[origin] for origin in origins])
    classes = target.indices[known]
    factors = target.class_weights
    if target.balanced and length_weights == "pieces":
        counts = np.bincount(classes, votes, minlength=len(target.classes))
        factors = counts.sum() / (len(counts) * counts)
    raw = votes * factors[classes]
    weights = np.zeros(len(target.indices))
    weights[known] = raw / raw.mean()
    return replace(target, item_weights=weights)


def relabel(items: Sequence[Item], target: str) -> Sequence[Item]:
    """Return the items with the field `target` in the place of their label.

    A speaker, session or sentence is that of its corpus: "corpus/value". Raises UsageError where
    no item has such a field.
    """
    if target == "label":
        return items
    return [
        item | {"label": value}
        for item, value in zip(items, known_values(items, target, "--target"), strict=True)
    ]


def known_values(items: Sequence[Item], field: str, option: str) -> list[str | None]:
    """Return each item's value of a field, see `value_of`.

    Raises UsageError, which names `option`, where no item has such a field.
    """
    values = [value_of(item, field) for item in items]
    if not any(values):
        known = sorted({name for item in items for name, v in item.items() if _text(v)})
        raise UsageError(f"{option} {field}: no item has it; fields: {', '.join(known)}")
    return values


def value_of(item: Mapping[str, Any], field: str) -> str | None:
    """Return an item's value of a field as text, None where it is unknown.

    A speaker, session or sentence is that of its corpus: "corpus/value".
    """
    value = _text(item.get(field))
    return f"{item.get('corpus') or ''}/{value}" if field in WITHIN_CORPUS and value else value


def _text(value: Any) -> str | None:
    """Return a field's value as a class name, None where it is unknown."""
    if value is None or value == "":
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)
