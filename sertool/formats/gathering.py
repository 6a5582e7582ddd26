"""How items of stores become one store: all of several (`merge`), or some of one (`select`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.formats.building import Built, Made, Run, Source, build_store, is_there
from sertool.formats.store import Store
from sertool.items import Item, Value


@dataclass
class StoredItems(Source):
    """Items that lie in stores: `places[i]` is where item `i` does, (store, position)."""

    stores: Sequence[Store]
    items: list[Item]
    places: Sequence[tuple[int, int]]

    def make(self, i: int) -> Made:
        """Return item `i` as it is; InputError where its features are not what was written."""
        store, position = self.places[i]
        return Made([(self.items[i], self.stores[store].parts(position))])


def together(stores: Sequence[Store]) -> tuple[StoredItems, str]:
    """Return every item of the stores, in their order and each in its own, and the common root.

    Raises InputError where the stores do not go together: in kind or pipeline, an item that two of
    them have, or an utterance whose segments and copies are in two folds or parts.
    """
    for other in stores[1:]:
        _check_alike(stores[0], other)
    roots = [store.root for store in stores]
    root = _common_root(roots)
    items, places = [], []
    for number, store in enumerate(stores):
        for position, item in enumerate(store.items()):
            items.append(item if root == roots[number] else _moved(item, roots[number], root))
            places.append((number, position))
    names = [show(store.path) for store in stores]
    _check_apart(items, [names[number] for number, _ in places])
    return StoredItems(stores, _columns_alike(items), places), root


def chosen(store: Store, positions: Sequence[int]) -> StoredItems:
    """Return the items of a store at some positions."""
    items = store.items()
    return StoredItems([store], [items[i] for i in positions], [(0, i) for i in positions])


def write_store(
    source: StoredItems,
    root: str,
    lineage: list[dict[str, Any]],
    output: Path,
    run: Run,
    force: bool,
) -> Built | None:
    """Write items as the store `output`, with its lineage; None where it is there already."""
    first, record = source.stores[0], lineage[-1]
    stage, params = record["stage"], record["params"]
    job = {"stage": stage, "params": params, "input": record["input"]["sha256"]}
    origins = (item.origin for item in source.items)
    if is_there(output, record, job, origins, run, force):
        return None
    attributes = {
        "kind": first.kind,
        "settings": first.settings,
        "pipeline": first.pipeline,
        "sample_rate": first.sample_rate,
        "frame_rate": first.frame_rate,
        "root": root,
        "lineage": lineage,
    }
    built = build_store(source, output, job, lambda _: attributes, run, "items")
    run.console.note(f"{show(output)}: {built.items} items of kind {first.kind}")
    return built


# --- what goes together ---


def _check_alike(first: Store, other: Store) -> None:
    """Raise InputError where two stores differ in what they hold, or in how it was computed."""
    differs = (
        _one("kind", first.kind, other.kind)
        or _among("setting ", first.settings, other.settings)
        or _stages(first.pipeline, other.pipeline)
        or _one("sample_rate", first.sample_rate, other.sample_rate)
        or _one("frame_rate", first.frame_rate, other.frame_rate)
    )
    if len(first) and len(other):  # a shard of nothing but failures has neither
        differs = (
            differs
            or _one("dtype", first.dtype, other.dtype)
            or _one("shape of a frame", first.shape, other.shape)
        )
    if differs:
        raise InputError(f"{show(other.path)}: does not go with {show(first.path)}: {differs}")


def _one(what: str, first: Any, other: Any) -> str:
    return f"its {what} is {other}, not {first}" if first != other else ""


def _among(what: str, first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return in which value by name two tables differ, "" for none."""
    names = sorted({*first, *other})
    return next(filter(None, (_one(what + n, first.get(n), other.get(n)) for n in names)), "")


def _stages(first: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> str:
    """Return in what two pipelines differ, "" for nothing."""
    names = [" and ".join(str(one.get("stage")) for one in stages) for stages in (first, other)]
    if names[0] != names[1]:
        return f"it was made by {names[1]}, not by {names[0]}"
    pairs = enumerate(zip(first, other, strict=True), 1)
    return next(filter(None, (_among(f"stage {n}'s ", *pair) for n, pair in pairs)), "")


def _check_apart(items: Sequence[Item], names: Sequence[str]) -> None:
    """Raise InputError for an item that is there twice, or an utterance in two folds or parts.

    names: the store that each item is from.
    """
    seen: dict[str, str] = {}
    placed: dict[str, tuple[int | None, str | None, str]] = {}
    for item, name in zip(items, names, strict=True):
        if item.id in seen:
            raise InputError(f"{name}: has the item {show(item.id)}, and so has {seen[item.id]}")
        seen[item.id] = name
        fold, part, where = placed.setdefault(item.origin, (item.fold, item.part, name))
        if where != name and (fold, part) != (item.fold, item.part):
            raise InputError(
                f"{name}: has {show(item.origin)} in {_place(item.fold, item.part)}, and"
                f" {where} in {_place(fold, part)}"
            )


def _place(fold: int | None, part: str | None) -> str:
    known = [f"part {part}"] * bool(part) + [f"fold {fold}"] * (fold is not None)
    return " and ".join(known) or "no fold"


# --- where the recordings lie, and further columns ---


def _common_root(roots: Sequence[str]) -> str:
    """Return the deepest folder above all roots; "" where one of them is unknown."""
    if len(set(roots)) == 1:
        return roots[0]
    if not all(map(os.path.isabs, roots)):
        return ""
    return os.path.commonpath(roots)


def _moved(item: Item, before: str, root: str) -> Item:
    """Return an item with its path below another root, or absolute without one."""
    path = os.path.join(before, item.path)
    return item.replace(path=os.path.relpath(path, root) if root else path)


def _columns_alike(items: list[Item]) -> list[Item]:
    """Return the items, further fields that are numbers in some stores and texts in others as text.

    A column of a store holds either; a store keeps whole numbers as floating-point ones, too.
    """
    kinds: dict[str, set[bool]] = {}
    for item in items:
        for name, value in item.extra.items():
            if value is not None:
                kinds.setdefault(name, set()).add(isinstance(value, str))
    mixed = {name for name, found in kinds.items() if len(found) > 1}
    if not mixed:
        return items
    return [
        item.replace(extra={n: _text(v) if n in mixed else v for n, v in item.extra.items()})
        for item in items
    ]


def _text(value: Value) -> Value:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if value is None else str(value)
