"""`augment`: a store of waveforms into one with copies, each tied to its origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool import lineage
from sertool.audio import to_float, to_int16
from sertool.augment import AUGMENTATIONS, GROUP
from sertool.console import Console
from sertool.errors import InputError, UsageError
from sertool.lineage import canonical
from sertool.outputs import check_output
from sertool.plugins import lookup
from sertool.seeds import rng
from sertool.stages.blocks import Made, Run, build_store
from sertool.stages.common import whole
from sertool.store import Store


@dataclass
class CopySource:
    """Items of a store of waveforms, each with the copies made of it.

    `chosen[i]` says whether item `i` is copied; copy `k` of an item draws from (seed, id, k).
    """

    store: Store
    items: list[dict[str, Any]]
    chosen: list[bool]
    steps: dict[str, list[float]]
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
        samples, fields = self.store.features(i), self.items[i]
        made = Made([] if self.only_copies else [(fields, samples)])
        if self.chosen[i]:
            signal = to_float(samples)
            for k in range(1, self.copies + 1):
                made.items.append(self._copy(signal, samples.dtype, fields, k, made.notes))
        return made

    def _copy(
        self, signal: np.ndarray, dtype: np.dtype, fields: dict[str, Any], k: int, notes: list[str]
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Return the fields and samples of copy `k`."""
        random = rng(self.seed, fields["id"], k)
        drawn: dict[str, Any] = {}
        for name, values in self.steps.items():
            signal, drawn[name] = lookup(AUGMENTATIONS, GROUP, name)(*values)(signal, random)
            if drawn[name].get("snr_db", 0) is None:
                notes.append("no_noise")
        if dtype == np.int16:
            signal = to_int16(signal)
        copy = fields | {"id": f"{fields['id']}~{k}", "augmentation": canonical(drawn)}
        # its samples are its own, but it sounds like its origin: the fingerprint stays
        return copy | {"audio_hash": ""}, signal.astype(dtype, copy=False)


def augment(
    source: Path,
    output: Path,
    steps: dict[str, list[float]],
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

    `steps` maps an augmentation's name to its parameters, applied in their order. Of items with
    a `part` those of `part` are copied, of the others all. Raises InputError where `source` is
    no store of waveforms or holds copies already.
    """
    console = console or Console.silent()
    if not steps:
        raise UsageError("nothing to do: name an augmentation, e.g. --awgn 15:30")
    for name, values in steps.items():
        lookup(AUGMENTATIONS, GROUP, name)(*values)  # wrong values are told before any work
    check_output(output, force, resume, [source])
    store = Store(source)
    if store.kind != "wave":
        raise InputError(
            f"{source}: a store of kind {store.kind}; augment works on waveforms"
            " (featurize --kind wave first, and the features after)"
        )
    items = store.items()
    if any(item["augmentation"] for item in items):
        raise InputError(f"{source}: holds copies already; augment the store it came from")
    chosen = [item["part"] is None or item["part"] == part for item in items]
    params = {
        "steps": [[name, values] for name, values in steps.items()],
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
        CopySource(store, items, chosen, steps, copies, only_copies, seed),
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
