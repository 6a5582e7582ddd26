"""What a model learns to predict of an item: its class in a field, and its weight in the loss."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.items import Item, Value

WITHIN_CORPUS = ("speaker", "session", "text")  # fields whose values are unique there alone

NUMBER = re.compile(r"[+-]?(0|[1-9]\d*|(0|[1-9]\d*)?\.\d+|\d+\.)([eE][+-]?\d+)?")
MOST_CLASSES = 20  # different integers that may be codes of classes
IGNORED = -100  # index of an item whose class is unknown: it adds nothing to that target's loss


@dataclass(frozen=True)
class Target:
    """What a group of a model's outputs learns: a class of every item, and how much it counts.

    field: of the items. classes: their names, in the order of the logits. weight: of the target in
        the loss.
    indices: (items,) int64, the class of every item of the store, IGNORED where unknown.
    class_weights: (classes,) float64, the weight of each class in the loss; `balanced` says that
        they are n / (classes · the class's items).
    item_weights: (items,) float64, the weight of each training item in the loss, its class's
        counted in; 0 where the index is IGNORED. None: the class weights alone.

    Another kind of target, of numbers, would share `field`, `weight` and `outputs`.
    """

    field: str
    classes: list[str]
    weight: float
    indices: np.ndarray
    class_weights: np.ndarray
    balanced: bool = False
    item_weights: np.ndarray | None = None

    @property
    def outputs(self) -> int:
        """The number of the model's outputs that are this target's."""
        return len(self.classes)


def class_names(items: Sequence[Item], field: str, option: str | None = None) -> list[str | None]:
    """Return the class of each item under a field, None where it is unknown (see `class_name`).

    option: what named the field; UsageError says so where no item has it.

    >>> class_names([Item("a", corpus="x", speaker="1"), Item("b")], "speaker")
    ['x/1', None]
    """
    names = [class_name(item, field) for item in items]
    if option and field != "label" and not any(names):
        known = sorted({name for i in items for name in i.columns() if _text(i.value(name))})
        raise UsageError(f"{option} {field}: no item has it; fields: {', '.join(known)}")
    return names


def class_name(item: Item, field: str) -> str | None:
    """Return an item's value of a field as the name of a class, None where it is unknown.

    A speaker, session or sentence is that of its corpus: "corpus/value".
    """
    name = _text(item.value(field))
    return f"{item.corpus or ''}/{name}" if field in WITHIN_CORPUS and name else name


def refuse_numbers(items: Sequence[Item], field: str) -> None:
    """Raise UsageError where a field holds numbers that are no classes.

    Those are numbers throughout, of which one is no integer, or more than `MOST_CLASSES` differ.
    Names of speakers, sessions and sentences, and what begins with a 0 (`03`), are no numbers.
    """
    if field in WITHIN_CORPUS:
        return
    names = {name for item in items if (name := class_name(item, field)) is not None}
    if not names or not all(map(NUMBER.fullmatch, names)):
        return
    if len(names) > MOST_CLASSES or not all(float(name).is_integer() for name in names):
        low, high = min(map(float, names)), max(map(float, names))
        raise UsageError(
            f"--target {field} holds {len(names)} different numbers from {low:g} to {high:g}: they"
            " are not classes (--as-classes makes a class of each)"
        )


def _text(value: Value) -> str | None:
    if value is None or value == "":
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def make_target(
    names: Sequence[str | None],
    train: Sequence[int],
    field: str,
    weight: float = 1.0,
    class_weights: str = "none",
) -> Target:
    """Return the target of `field`, its classes and weights taken from the training items alone.

    names: the class of every item, None where it is unknown (see `class_names`). Raises
    InputError where no training item has one.
    """
    classes = sorted({name for i in train if (name := names[i]) is not None})
    if not classes:
        raise InputError(f"no training item has the field {field}, which the model learns too")
    number = {name: index for index, name in enumerate(classes)}
    indices = np.array([number.get(name or "", IGNORED) for name in names], np.int64)
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
    balanced. "pieces": 1 / the number of training items of the same origin in place of 1 / T;
    n counts recordings then, so that classes are balanced by recordings. "none": the class alone.
    """
    indices = target.indices[np.asarray(train, np.int64)]
    known = np.asarray(train, np.int64)[indices != IGNORED]
    votes = np.ones(len(known))
    if length_weights == "inverse":
        votes = 1 / lengths[known].astype(np.float64)
    elif length_weights == "pieces":
        origins = [items[i].origin for i in known]
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
