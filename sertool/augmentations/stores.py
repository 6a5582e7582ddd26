"""How a store of originals and augmented copies is made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.augmentations import Augmentation, Steps, family_of, parts
from sertool.augmentations.copies import of_item
from sertool.core.errors import InputError
from sertool.core.seeds import rng
from sertool.core.shard import Shard
from sertool.formats import lineage
from sertool.formats.building import Made, Run, Source, build_store
from sertool.formats.lineage import canonical
from sertool.formats.store import Store
from sertool.formats.store_shards import Target
from sertool.items import Item
from sertool.ui.console import Console

COPY = "copy"  # a note of each copy, to count them by
NOTES = {  # the messages on copies, after their number
    "no_noise": "copies got no noise: they, or the noise, are silent",
    "clipped": "copies exceed full scale and are clipped",
}


@dataclass(frozen=True)
class Copying:
    """How many copies are made of which items."""

    copies: int = 1
    only_copies: bool = False
    part: str = "train"
    seed: int = 0

    def takes(self, item: Item) -> bool:
        """Return whether an item is copied."""
        return item.part is None or item.part == self.part


@dataclass
class CopySource(Source):
    """Items of a store, each with the copies made of it.

    Copy `k` of an item draws from (seed, id, k). first: the position of the first of the items in
    the store.
    """

    store: Store
    items: list[Item]
    parts: dict[str, Augmentation]
    copying: Copying
    family: str
    first: int

    def make(self, i: int) -> Made:
        """Return item `i` (unless only copies are wanted) and its copies."""
        features, item = self.store.features(self.first + i), self.items[i]
        rows = [] if self.copying.only_copies else [(item, features)]
        notes: list[str] = []
        if not self.copying.takes(item):
            return Made(rows)
        randoms = [rng(self.copying.seed, item.id, k) for k in range(1, self.copying.copies + 1)]
        copies = of_item(self.family, features, self.store.sample_rate, self.parts, randoms)
        for k, (array, drawn, remarks) in enumerate(copies, 1):
            # its samples are its own, but it sounds like its origin: the fingerprint stays
            changes = {"augmentation": canonical(drawn), "audio_hash": ""}
            rows.append((item.replace(id=f"{item.id}~{k}", **changes), array))
            notes += [COPY, *remarks]
        return Made(rows, notes)


def write_store(
    source: Path,
    output: Path,
    steps: Steps,
    copying: Copying,
    run: Run,
    force: bool,
    shard: Shard | None = None,
) -> Path:
    """Write the items of `source`, and the copies that `copying` and `steps` ask for, to `output`.

    Returns the file written. shard: which part of the items it has, for a folder of shards.
    `steps` maps an augmentation's name to its values; they are applied in the order of the table
    `AUGMENTATIONS`. Raises UsageError for an augmentation of something else than `source` holds,
    InputError where nothing changes that or it holds copies already.
    """
    target = Target.at(output, shard, force, run.resume, [source])
    store = Store(source)
    family = _family(store)
    made = {
        name: part.prepared(store.sample_rate, run.console.failed)
        for name, part in parts(family, steps).items()
    }
    items = store.items()
    if not any(map(copying.takes, items)):
        there = ", ".join(f"{n} {name}" for name, n in Counter(i.part for i in items).items())
        raise InputError(
            f"{store.path}: no items of part {copying.part} to copy; there are {there}"
        )
    params = {
        "steps": [[name, part.recorded] for name, part in made.items()],
        "copies": copying.copies,
        "only_copies": copying.only_copies,
        "part": copying.part,
        "seed": copying.seed,
        "compress": run.compress,
    }
    attributes = _attributes(store, params)
    job = {"stage": "augment", "params": params, "input": store.sha256}
    part = target.part(len(items))
    items = items[part]
    piece = target.piece("augment", params, (), store.sha256)
    origins = (item.origin for item in items)
    if target.is_there(attributes["lineage"][-1], job, origins, run):
        return target.path
    store.close()  # workers open it for themselves
    origin = CopySource(store, items, made, copying, family, part.start or 0)
    built = build_store(origin, target.path, job, lambda built: attributes, run, "items", piece)
    _summary(built.items, built.notes, target.path, run.console)
    target.done(run.console)
    return target.path


def _family(store: Store) -> str:
    """Return the family of what `store` holds; InputError where it cannot be augmented."""
    family = family_of(store.kind, store.shape, store.frame_rate)
    if family is None:
        raise InputError(
            f"{store.path}: a store of kind {store.kind}, without a time axis; augment takes"
            " waveforms (featurize --kind wave first, and the features afterwards), pictures"
            " (--kind image) and features over time (mel, mfcc, …)"
        )
    if any(item.augmentation for item in store.items()):
        raise InputError(f"{store.path}: holds copies already; augment the store it came from")
    return family


def _attributes(store: Store, params: dict[str, Any]) -> dict[str, Any]:
    """Return the root attributes of the store that `params` make of `store`."""
    record = lineage.record("augment", params, store.path.name, store.sha256)
    return {
        "kind": store.kind,
        "settings": store.settings,
        "pipeline": [*store.pipeline, {"stage": "augment", **params}],
        "sample_rate": store.sample_rate,
        "frame_rate": store.frame_rate,
        "root": store.root,
        "lineage": [*store.lineage, record],
    }


def _summary(items: int, notes: Counter[str], output: Path, console: Console) -> None:
    """Report what is in the store, and what was unusual about the copies."""
    for name, text in NOTES.items():
        if notes[name]:
            console.note(f"{notes[name]} {text}")
    console.note(f"{output}: {items - notes[COPY]} originals, {notes[COPY]} copies")
