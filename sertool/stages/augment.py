"""`augment`: a store of waveforms or pictures into one with copies, each tied to its origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool import augment as augmentations
from sertool import lineage
from sertool.augment import Steps
from sertool.augment.copies import COPIES
from sertool.console import Console
from sertool.errors import InputError, UsageError
from sertool.lineage import canonical
from sertool.outputs import check_output
from sertool.seeds import rng
from sertool.stages.blocks import Made, Run, build_store
from sertool.stages.common import whole
from sertool.store import Store


@dataclass
class CopySource:
    """Items of a store, each with the copies made of it.

    `chosen[i]` says whether item `i` is copied; copy `k` of an item draws from (seed, id, k).
    """

    store: Store
    items: list[dict[str, Any]]
    chosen: list[bool]
    parts: dict[str, Any]  # augmentations by name
    copies: int
    only_copies: bool
    seed: int

    @property
    def count(self) -> int:
        """The number of items."""
        return len(self.items)

    def name(self, i: int) -> str:
        """Return the id of item `i`."""
        return str(self.items[i]["id"])

    def make(self, i: int) -> Made:
        """Return item `i` (unless only copies are wanted) and its copies."""
        features, fields = self.store.features(i), self.items[i]
        made = Made([] if self.only_copies else [(fields, features)])
        if not self.chosen[i]:
            return made
        randoms = [rng(self.seed, fields["id"], k) for k in range(1, self.copies + 1)]
        copies = COPIES[self.store.kind](features, self.parts, randoms)
        for k, (array, drawn) in enumerate(copies, 1):
            if drawn.get("awgn", {}).get("snr_db", 0) is None:
                made.notes.append("no_noise")
            copy = fields | {"id": f"{fields['id']}~{k}", "augmentation": canonical(drawn)}
            # its samples are its own, but it sounds like its origin: the fingerprint stays
            made.items.append((copy | {"audio_hash": ""}, array))
        return made


def augment(
    source: Path,
    output: Path,
    steps: Steps,
    *,
    copies: int = 1,
    only_copies: bool = False,
    part: str = "train",
    seed: int = 0,
    compress: str = "none",
    workers: int = 1,
    force: bool = False,
    resume: bool = False,
    console: Console | None = None,
) -> None:
    """Write `source`'s items and `copies` augmented copies of each chosen item to `output`.

    `steps` maps an augmentation's name to its parameters; they are applied in the order of the
    table `AUGMENTATIONS`. Of items with a `part` those of `part` are copied, of the others all.
    Raises UsageError for an augmentation of something else than `source` holds, InputError where
    that is neither waveforms nor pictures or holds copies already.
    """
    console = console or Console.silent()
    if not steps:
        raise UsageError("nothing to do: name an augmentation, e.g. --awgn 15:30")
    check_output(output, force, resume, [source])
    store = Store(source)
    if store.kind not in COPIES:
        raise InputError(
            f"{source}: a store of kind {store.kind}; augment works on waveforms"
            " (featurize --kind wave first, and the features after) and on pictures (--kind image)"
        )
    parts = augmentations.parts(store.kind, steps)
    items = store.items()
    if any(item["augmentation"] for item in items):
        raise InputError(f"{source}: holds copies already; augment the store it came from")
    chosen = [item["part"] is None or item["part"] == part for item in items]
    params = {
        "steps": [[name, list(steps[name])] for name in parts],
        "copies": copies,
        "only_copies": only_copies,
        "part": part,
        "seed": seed,
        "compress": compress,
    }
    ids = (item["origin"] for item in items)
    if resume and not force and whole(output, params, source.name, store.sha256, ids, console):
        return
    record = lineage.record("augment", params, source.name, store.sha256)
    attributes = {
        "kind": store.kind,
        "settings": store.settings,
        "pipeline": [*store.pipeline, {"stage": "augment", **params}],
        "sample_rate": store.sample_rate,
        "frame_rate": store.frame_rate,
        "root": store.root,
        "lineage": [*store.lineage, record],
    }
    store.close()  # workers open it for themselves
    built = build_store(
        CopySource(store, items, chosen, parts, copies, only_copies, seed),
        output,
        {"stage": "augment", "params": params, "input": store.sha256},
        lambda built: attributes,
        Run(console, workers, resume, compress=compress),
        "items",
    )
    if built.notes["no_noise"]:
        console.note(f"{built.notes['no_noise']} silent copies got no noise")
    made = sum(chosen) * copies
    console.note(f"{output}: {built.items - made} originals, {made} copies")
