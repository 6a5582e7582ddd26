"""Recordings without labels, from further stores, for a network's first stage."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import convert

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.formats.lineage import Record, Source
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import Examples, speaker_store, speakers

SAME = ("kind", "settings", "shape", "sample_rate", "frame_rate")  # of all stores


@dataclass(frozen=True)
class Unlabelled:
    """Items of further stores: `examples` reads them, `items` says what is known of each.

    records: each store's name, content hash and number of items, for the lineage; sources: the
    same, with how they were made.
    """

    examples: Examples
    items: list[Item]
    records: list[dict[str, Any]]
    paths: list[Path]
    sources: list[Source]


def load(
    paths: Sequence[Path], store: Store, by_speaker: bool, stack: ExitStack
) -> Unlabelled | None:
    """Return all original items of the stores at `paths`, None where there are no paths.

    by_speaker: their features are normalised by their own speakers. The stores stay open until
    `stack` closes. Raises InputError for a store whose features were not made as those of `store`,
    and for an item that is in two of them.
    """
    if not paths:
        return None
    found: dict[str, tuple[Store, int]] = {}
    items, records, lengths, sources = [], [], [], []
    for path in paths:
        other = stack.enter_context(speaker_store.opened(path, by_speaker))
        for name in SAME:
            if getattr(other, name) != getattr(store, name):
                raise InputError(
                    f"{show(path)}: its {name.replace('_', ' ')} differs from that of the training"
                    " store; featurize both alike"
                )
        own = [i for i, item in enumerate(other.items()) if not item.augmentation]
        if by_speaker:
            speakers.check(other.items(), own, path)
        for i in own:
            item = other.items()[i]
            if item.id in found:
                raise InputError(f"{show(path)}: {show(item.id)} is also in an earlier store")
            found[item.id] = (other, i)
            items.append(item)
        lengths.append(other.lengths()[own])
        made = convert(other.lineage, list[Record])
        sources.append(Source(path.name, other.sha256, "store", "--init-unlabelled", made))
        records.append({"name": path.name, "sha256": other.sha256, "items": len(own)})
    where = list(found.values())

    def read(i: int) -> np.ndarray:
        source, place = where[i]
        return source.features(place).astype(np.float32)

    examples = Examples(np.concatenate(lengths), read, tuple(found))
    return Unlabelled(examples, items, records, list(paths), sources)
