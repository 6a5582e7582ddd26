"""Conditions on utterances: `field=value`, `field!=value`, `field in a,b`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from sertool.core.errors import UsageError
from sertool.core.paths import show, to_text
from sertool.corpora import labels
from sertool.items import FIELDS, STORE_FIELDS, Item

_EXPRESSION = re.compile(
    r"\s*(?P<field>[\w.-]+?)\s*(?:(?P<op>!=|==?)|\s(?P<set>(?:not\s+)?in)\s)(?P<value>.*)", re.S
)
_GENDERS = {"m": "male", "f": "female"}
_SHOWN = 12  # values that an error message lists at most


@dataclass(frozen=True)
class Condition:
    """One parsed expression; call it with an item to learn whether the item fulfils it."""

    text: str
    field: str
    values: frozenset[str | None]
    negated: bool

    def __call__(self, item: Item) -> bool:
        """Return whether the item's field has one of the values (or, negated, none of them)."""
        value = item.value(self.field)
        text = _text(self.field, value)
        found = text in self.values
        if not found and isinstance(value, Real):
            found = text in {_number(word) for word in self.values}
        return found != self.negated


def parse(expression: str) -> Condition:
    """Return the condition of an expression; raises UsageError where it is none.

    The value `null` (or nothing at all) means unknown. A label or gender may be given by any of
    its usual words; a number is compared as `%g` writes it, all else letter by letter.
    """
    if to_text(expression) != expression:
        raise UsageError(f"condition {show(expression)}: not in UTF-8")
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise UsageError(
            f"condition {expression!r}: write 'field=value', 'field!=value' or 'field in a,b'"
        )
    field, operator, many = match["field"], match["op"] or "", match["set"] or ""
    words = match["value"].split(",") if many else [match["value"]]
    values = frozenset(_value(field, word) for word in words)
    return Condition(expression, field, values, operator == "!=" or many.startswith("not"))


def _value(field: str, word: str) -> str | None:
    """Return the value that a word of an expression stands for."""
    bare = word.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"":
        return _text(field, bare[1:-1])
    return None if bare in ("", "null", "none", "None") else _text(field, bare)


def _text(field: str, value: Any) -> str | None:
    """Return a field's value as it is compared; None where it is unknown."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Real):
        return None if math.isnan(value) else f"{float(value):g}"
    text = str(value)
    if field == "label":
        return labels.noun(text)
    if field == "gender":
        return _GENDERS.get(text.lower(), text.lower())
    return text


def _number(word: str | None) -> str | None:
    """Return a word as `%g` writes its number: "1.50" and "1.5" are the same number."""
    try:
        return word if word is None else f"{float(word):g}"
    except ValueError:
        return word


def select(items: Sequence[Item], expressions: Iterable[str | Condition]) -> list[Item]:
    """Return the items that fulfil every expression, in their order.

    Raises UsageError for an expression that is none, and for a field that no item has, with the
    fields seen.
    """
    conditions = [parse(e) if isinstance(e, str) else e for e in expressions]
    if not conditions:
        return list(items)
    stored = any(item.origin for item in items)
    seen = dict.fromkeys(STORE_FIELDS if stored else FIELDS)
    for item in items:
        seen.update(dict.fromkeys(item.extra))
    for condition in conditions:
        if items and condition.field not in seen:
            raise UsageError(
                f"condition {condition.text!r}: there is no field {condition.field!r}; "
                f"there are {', '.join(seen)}"
            )
    return [item for item in items if all(condition(item) for condition in conditions)]


def values_seen(items: Iterable[Item], field: str) -> str:
    """Return the values that a field has, for a message: "anger, fear, null"."""
    found = {_text(field, item.value(field)) for item in items}
    shown = sorted(value for value in found if value is not None)
    more = [f"… ({len(shown)} in all)"] if len(shown) > _SHOWN else []
    return ", ".join([*shown[:_SHOWN], *more, *(["null"] if None in found else [])])
