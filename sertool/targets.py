"""What a model learns to predict of an item: its class in a field, or numbers in several fields.

Which of the two a target is, `number_fields` decides from the data; `Target` and `Numbers` are what
is learned then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.items import Item, Value, number
from sertool.votes import vote_classes

WITHIN_CORPUS = ("speaker", "session", "text")  # fields whose values are unique there alone

MOST_CLASSES = 20  # whole numbers of more different values are amounts, and not names of classes

NUMBERED = "numbers"  # stands for the class of an item whose numbers are known

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
    shares: (items, classes) float64, each class's share of the raters' votes, 0 where there is
        none, which is learned in place of the class; None: the class is.

    """

    field: str
    classes: list[str]
    weight: float
    indices: np.ndarray
    class_weights: np.ndarray
    balanced: bool = False
    item_weights: np.ndarray | None = None
    shares: np.ndarray | None = None

    @property
    def outputs(self) -> int:
        """The number of the model's outputs that are this target's."""
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """What the outputs are called."""
        return self.classes

    def known(self, positions: np.ndarray) -> np.ndarray:
        """Return which items have a class, or votes where their shares are learned."""
        if self.shares is not None:
            found: np.ndarray = self.shares[positions].any(1)
            return found
        return self.indices[positions] != IGNORED

    def tilted(self, positions: np.ndarray) -> np.ndarray:
        """Return shares (positions, classes) by class weights, of sum 1; their loss is weighted."""
        assert self.shares is not None
        weighted = self.shares[positions] * self.class_weights
        total = weighted.sum(1, keepdims=True)
        return np.divide(weighted, total, out=np.zeros_like(weighted), where=total > 0)


@dataclass(frozen=True)
class Numbers:
    """What a group of outputs learns where items have numbers: one output for each of the fields.

    fields: of the items. values: (items, fields) float64, NaN where unknown. mean, sd: (fields,),
    over the training items; a network says deviations from that mean, in units of that deviation.
    loss: "ccc" or "mse" (see `training.heads`).
    """

    fields: list[str]
    values: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    loss: str = "ccc"
    weight: float = 1.0
    item_weights: None = None

    @property
    def field(self) -> str:
        """The fields as `--target` has them."""
        return ",".join(self.fields)

    @property
    def outputs(self) -> int:
        """The number of the model's outputs that are this target's."""
        return len(self.fields)

    @property
    def names(self) -> list[str]:
        """What the outputs are called."""
        return self.fields

    def known(self, positions: np.ndarray) -> np.ndarray:
        """Return which items have all numbers."""
        return ~np.isnan(self.values[positions]).any(1)

    def z(self, positions: np.ndarray) -> np.ndarray:
        """Return the values (positions, fields) less the mean, over the deviation."""
        scaled: np.ndarray = (self.values[positions] - self.mean) / self.sd
        return scaled


def make_numbers(
    fields: list[str], values: np.ndarray, train: Sequence[int], loss: str = "ccc"
) -> Numbers:
    """Return the target of `fields`, mean and deviation taken from the training items alone.

    values: (items, fields), see `numbers`. Raises InputError where all training items have one
    and the same number.
    """
    mine = values[np.asarray(train, np.int64)]
    mean, sd = mine.mean(0), mine.std(0)
    for name, deviation, value in zip(fields, sd, mean, strict=True):
        if not deviation > 1e-12 * max(1.0, abs(value)):
            raise InputError(f"{name} is {value:g} of every training item: nothing to learn")
    return Numbers(fields, values, mean, sd, loss)


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


def check_classes(items: Sequence[Item], field: str, option: str) -> None:
    """Raise UsageError where a field is of numbers (`is_numbers`); option: what named it."""
    if is_numbers(items, field):
        numbers = sorted(n for item in items if (n := number(item.value(field))) is not None)
        raise UsageError(
            f"{option} {field}: its values are numbers ({numbers[0]:g} to {numbers[-1]:g},"
            f" {len(set(numbers))} different ones), not classes; --as-classes makes a class of each"
        )


def is_numbers(items: Sequence[Item], field: str) -> bool:
    """Return whether the values of a field are numbers, and not names of classes.

    They are where all are numbers and one is not whole, or more than `MOST_CLASSES` differ.
    Speakers, sessions and sentences are names, whatever they look like.
    """
    known = {value for item in items if (value := _hashable(item.value(field))) is not None}
    found = [number(value) for value in known]
    numbers = {value for value in found if value is not None}
    if field in WITHIN_CORPUS or not numbers or None in found:
        return False
    return len(numbers) > MOST_CLASSES or any(not value.is_integer() for value in numbers)


def number_fields(
    items: Sequence[Item], target: str, as_classes: bool, as_numbers: bool
) -> list[str]:
    """Return the fields of `--target A,B,…` where they are numbers, [] where it is of classes.

    Several fields are numbers; one is what `is_numbers` says, unless the user says it. Raises
    UsageError where what ought to be numbers is none.
    """
    fields = [name.strip() for name in target.split(",")]
    if len(fields) == 1 and (as_classes or not (as_numbers or is_numbers(items, target))):
        return []
    if as_classes:
        raise UsageError(f"--as-classes: --target {target} names several fields, which are numbers")
    if len(set(fields)) < len(fields):
        raise UsageError(f"--target {target}: names a field twice")
    for name in fields:
        class_names(items, name, "--target")  # says so where no item has it
        for item in items:
            value = _hashable(item.value(name))
            if value is not None and number(value) is None:
                raise UsageError(f"--target {target}: {name} is {value!r} of an item, not a number")
    return fields


def numbers(items: Sequence[Item], fields: Sequence[str]) -> np.ndarray:
    """Return the numbers (items, fields) float64 of items, NaN where one is unknown or none.

    >>> numbers([Item("a", extra={"arousal": 2.5}), Item("b")], ["arousal"]).tolist()
    [[2.5], [nan]]
    """
    rows = [[number(item.value(name)) for name in fields] for item in items]
    return np.array(rows, np.float64).reshape(len(rows), len(fields))


def _hashable(value: Value) -> str | int | float | bool | None:
    return None if value == "" else str(value) if isinstance(value, list | dict) else value


def class_name(item: Item, field: str) -> str | None:
    """Return an item's value of a field as the name of a class, None where it is unknown.

    A speaker, session or sentence is that of its corpus: "corpus/value".
    """
    name = _text(item.value(field))
    return f"{item.corpus or ''}/{name}" if field in WITHIN_CORPUS and name else name


def _text(value: Value) -> str | None:
    if value is None or value == "":
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def known_numbers(values: np.ndarray) -> list[str | None]:
    """Return NUMBERED for each item of which all `numbers` (items, fields) are known, else None."""
    return [None if unknown else NUMBERED for unknown in np.isnan(values).any(1).tolist()]


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


def make_shares(
    votes: Sequence[Mapping[str, float] | None],
    names: Sequence[str | None],
    train: Sequence[int],
    class_weights: str = "none",
) -> Target:
    """Return the target of the label that learns shares of votes, of the classes in training.

    votes: of every item, None where unknown; names: its class. A balanced class weight is that of
    a class's share of all votes. Raises InputError where the training items have votes for one
    class alone.
    """
    trained = np.asarray(train, np.int64)
    classes = vote_classes(votes[i] for i in train)
    if len(classes) < 2:
        raise InputError(f"--soft: training needs votes for two classes, and has {len(classes)}")
    table = shares(votes, classes)
    place = {name: index for index, name in enumerate(classes)}
    indices = np.array([place.get(name or "", IGNORED) for name in names], np.int64)
    weights = np.ones(len(classes))
    if class_weights == "balanced":
        counts = table[trained].sum(0)
        weights = counts.sum() / (len(classes) * counts)
    balanced = class_weights == "balanced"
    return Target("label", classes, 1.0, indices, weights, balanced, table @ weights, table)


def shares(found: Sequence[Mapping[str, float] | None], classes: Sequence[str]) -> np.ndarray:
    """Return each item's shares of the votes (items, classes) float64, each row of sum 1.

    Votes for other classes do not count; a row without any vote is 0.

    >>> shares([{"anger": 3, "sadness": 1}, None], ["anger", "neutral", "sadness"]).tolist()
    [[0.75, 0.0, 0.25], [0.0, 0.0, 0.0]]
    """
    place = {name: i for i, name in enumerate(classes)}
    counts = np.zeros((len(found), len(classes)))
    for i, votes in enumerate(found):
        for name, n in (votes or {}).items():
            if name in place:
                counts[i, place[name]] = n
    total = counts.sum(1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


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
    trained = np.asarray(train, np.int64)
    known = trained[target.known(trained)]
    votes = np.ones(len(known))
    if length_weights == "inverse":
        votes = 1 / lengths[known].astype(np.float64)
    elif length_weights == "pieces":
        origins = [items[i].origin for i in known]
        number = Counter(origins)
        votes = np.array([1 / number[origin] for origin in origins])
    classes = target.indices[known]
    mine = None if target.shares is None else target.shares[known]
    factors = target.class_weights
    if target.balanced and length_weights == "pieces":
        counts = np.bincount(classes, votes, len(target.classes)) if mine is None else votes @ mine
        factors = counts.sum() / (len(counts) * counts)
    raw = votes * (factors[classes] if mine is None else mine @ factors)
    weights = np.zeros(len(target.indices))
    weights[known] = raw / raw.mean()
    return replace(target, item_weights=weights, class_weights=factors)
