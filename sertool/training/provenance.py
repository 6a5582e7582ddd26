"""The items that a checkpoint lists: what its weights have seen, and what was held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sertool.core.errors import InputError
from sertool.items import PARTS, Item
from sertool.splits.division import Division

if TYPE_CHECKING:
    from sertool.training.networks import Plan


def listed(items: Sequence[Item], division: Division, plan: Plan | None) -> list[Item]:
    """Return the items that were trained on, validated and held out, in the store's order.

    They are followed by what `--init` and `--init-unlabelled` have seen. Raises InputError where
    these have seen a recording that is held out here.
    """
    part = {i: name for name in PARTS for i in division.part(name)}
    own = [items[i].replace(part=part[i]) for i in sorted(part)]
    init = plan.init.items if plan and plan.init else None
    more = plan.unlabelled.items if plan and plan.unlabelled else ()
    first_stage = [item.replace(part="train") for item in more]
    return [
        *own,
        *_inherited("--init", init or (), own),
        *_inherited("--init-unlabelled", first_stage, own),
    ]


def _inherited(option: str, seen: Sequence[Item], own: Sequence[Item]) -> list[Item]:
    """Return the items that `option` has seen and that are not listed yet."""
    held = {_recording(item) for item in own if item.part == "test"}
    both = {_recording(item) for item in seen} & held
    if both:
        raise InputError(f"{option}: uses {len(both)} of the recordings held out here")
    ids = {item.id for item in own if item.part != "test"}
    return [item for item in seen if item.id not in ids]


def _recording(item: Item) -> tuple[str, str]:
    return item.corpus or "", item.origin
