"""Which items a pipeline or checkpoint was fitted to, as far as its stages say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sertool.items import Item

TRAINED_PARTS = ("train", "val")
FITTED = "fitted"  # the part of items that an earlier stage was fitted to
FITTED_KINDS = ("embedding",)  # kinds of features that a fitted model computes
_ENDING = re.compile(r"(?:#\d+|~\d+)+$")  # of an id: segment and copy


def fitted_before(pipeline: Sequence[dict[str, Any]]) -> list[Item] | None:
    """Return the items that the stages of a pipeline were fitted to, None where they are unknown.

    A stage keeps them as `fitted_on`: ids, or items with their fields. A stage of one of
    `FITTED_KINDS` that does not was fitted to items that nobody knows.
    """
    items: list[Item] = []
    for stage in filter(lambda stage: isinstance(stage, dict), pipeline):
        rows = stage.get("fitted_on")
        if isinstance(rows, list):
            items += [_fitted_item(row) for row in rows]
        elif rows is not None or stage.get("kind") in FITTED_KINDS:
            return None
    return items


def _fitted_item(row: Any) -> Item:
    """Return an item that was fitted to from its fields, or from no more than its id."""
    item = {**row} if isinstance(row, dict) else {"id": str(row)}
    name = str(item.get("id"))
    guessed = {"origin": _ENDING.sub("", name), "corpus": name.partition("/")[0]}
    return Item.from_row({**guessed, **item, "part": FITTED})


def seen(items: Sequence[Item], pipeline: Sequence[dict[str, Any]]) -> list[Item]:
    """Return a checkpoint's items and those that its pipeline is known to be fitted to."""
    return [*items, *(fitted_before(pipeline) or ())]
