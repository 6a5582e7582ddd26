"""Sharded stores: a folder of stores that one run each wrote, and an index that makes them one.

`shard-KKKKK-of-NNNNN.h5` is a store of the K-th part of the items, in their order. Beside what any
store has, it names its number and the run (root attributes `shard`, `shards`, `run`), and has the
SHA-256 of each item's frames, `item_sha256` (items, 32). `index.h5`, written by whichever run finds
all shards there, is a store without `features`: every item's fields, offset and CRC-32, `shards`
(N,), the checksum of each shard, and `shard_items` (N,), how many items it has. Its own `sha256` is
that of the same store in one file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.core.shard import Piece, Shard
from sertool.formats.building import Run, is_there
from sertool.formats.lineage import canonical, items_sha256
from sertool.formats.outputs import atomic, check_output, same_file
from sertool.formats.shard_frames import (
    INDEX,
    NAME,
    Frames,
    file_name,
    is_sharded,
    lacking_in,
    shards_in,
)
from sertool.formats.store import Store, describe, written
from sertool.items import Item
from sertool.ui.console import Console


@dataclass(frozen=True)
class Target:
    """Where a run writes: a store in one file, or a shard in a folder."""

    output: Path
    shard: Shard | None
    force: bool

    @classmethod
    def at(
        cls,
        output: Path,
        shard: Shard | None,
        force: bool,
        resume: bool,
        inputs: Sequence[str | Path],
    ) -> Target:
        """Return the target, after `check_output`; InputError for a folder of something else."""
        made = cls(output, shard, force)
        if shard is None:
            if not is_sharded(output):
                check_output(output, force, resume, inputs)
                return made
            raise InputError(f"{output}: is a folder of shards; name a file, or give --shard K/N")
        if any(same_file(output, source) for source in inputs):
            raise UsageError(f"{output}: input and output are the same folder")
        if not output.is_dir():
            check_output(output, force, resume, inputs, alone=False)  # other shards come at once
            if os.path.lexists(output):
                raise InputError(f"{output}: is not a folder of shards; name another")
            return made
        for name in sorted(os.listdir(output)):
            if not (name.startswith(".") or name == INDEX or NAME.fullmatch(name)):
                raise InputError(f"{output}: is a folder with other files ({show(name)})")
        check_output(made.path, force, resume, inputs)
        return made

    @property
    def path(self) -> Path:
        """The file that the run writes."""
        return self.output if self.shard is None else self.output / file_name(self.shard)

    def part(self, total: int) -> slice:
        """Return which of all items the run makes."""
        if self.shard is None:
            return slice(None)
        part = self.shard.part(total)
        return slice(part.start, part.stop)

    def piece(
        self, stage: str, params: dict[str, Any], items: Sequence[Item], content: str = ""
    ) -> Piece | None:
        """Return the shard as part of a run, None without one, and make its folder.

        items: all that shards share out; content: of what they are read from, where it is known.
        Raises InputError for shards of other runs in the folder; with `force`, removes them.
        """
        if self.shard is None:
            return None
        digest = hashlib.sha256(canonical([stage, params, content]).encode("utf-8"))
        for item in items:
            digest.update(canonical(item.manifest_row()).encode("utf-8") + b"\n")
        piece = Piece(self.shard, digest.hexdigest())
        self.output.mkdir(exist_ok=True)
        _check_others(self.output, piece, self.force)
        return piece

    def is_there(
        self, record: dict[str, Any], job: dict[str, Any], origins: Iterable[str], run: Run
    ) -> bool:
        """Return whether the file is there, complete; see `building.is_there`."""
        found = is_there(self.path, record, job, origins, run, self.force)
        if found:
            self.done(run.console)
        return found

    def done(self, console: Console) -> None:
        """Write the index where the run was the last of all shards."""
        if self.shard is not None:
            complete(self.output, console)


def _check_others(folder: Path, piece: Piece, force: bool) -> None:
    """Raise InputError where shards of another run are in the folder; with `force`, remove them.

    Without it one other is looked at: all are when the last of them has been written.
    """
    for one in shards_in(folder):
        if one == piece.shard:
            continue
        path = folder / file_name(one)
        same = one.of == piece.shard.of and _run(path) == piece.run
        if not force and not same:
            raise InputError(
                f"{show(path)}: is of another run (settings, input or number of shards);"
                " --force removes such shards"
            )
        if not force:
            return
        if not same:
            (folder / INDEX).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _run(path: Path) -> str:
    try:
        with Store(path) as store:
            return store.run
    except InputError:
        return ""


def complete(folder: Path, console: Console) -> None:
    """Write the index if all shards are there and it is not yet, and say how many there are.

    Raises InputError where a shard is of another run.
    """
    there = shards_in(folder)
    if lacking := lacking_in(there):
        console.note(f"{show(folder)}: {lacking}")
        return
    shards = [_closed(folder / file_name(one)) for one in there]
    if not _is_current(folder, shards):
        _check_one_run(shards)
        with atomic(folder / INDEX) as temporary:
            _write_index(temporary, shards)
    console.note(f"{show(folder)}: all {len(shards)} shards, {sum(map(len, shards))} items")


def _closed(path: Path) -> Store:
    """Return a store of which the header was read; there may be more than can be open at once."""
    with Store(path) as store:
        return store


def _is_current(folder: Path, shards: Sequence[Store]) -> bool:
    """Return whether the index is that of these shards."""
    try:
        with Store(folder) as store:
            store.check()
            return store.shards == [shard.sha256 for shard in shards]
    except InputError:
        return False


def are_whole_run(stores: Sequence[Store]) -> bool:
    """Return whether stores are the shards 1 to N of one run, in their order."""
    return not _stranger(stores)


def _check_one_run(shards: Sequence[Store]) -> None:
    """Raise InputError where stores are not the shards 1 to N of one run, in their order."""
    if differs := _stranger(shards):
        raise InputError(f"{differs}; make it again with --force")


def _stranger(shards: Sequence[Store]) -> str:
    """Return which store is not the shard of its place in one run, and why; "" for none."""
    first = next((shard for shard in shards if len(shard)), shards[0])
    wanted = _known(first)
    for number, shard in enumerate(shards, 1):
        own = _known(shard)
        differs = next((name for name in wanted if own[name] != wanted[name]), "")
        if len(shard) and (shard.shape, shard.dtype) != (first.shape, first.dtype):
            differs = differs or "shape"
        if shard.piece != Shard(number, len(shards)):
            differs = "number"
        if differs:
            return (
                f"{show(shard.path)}: is not shard {number} of {len(shards)} of the run that made"
                f" {show(first.path.name)} (its {differs} differs)"
            )
    return ""


def _known(shard: Store) -> dict[str, Any]:
    """Return what all shards of a run have in common."""
    *before, last = [*shard.lineage] or [{}]
    plain = {**last, "input": {**last.get("input", {}), "sha256": ""}}
    names = ("run", "kind", "settings", "pipeline", "sample_rate", "frame_rate", "root")
    return {name: getattr(shard, name) for name in names} | {"lineage": [*before, plain]}


def lineage_of_run(shards: Sequence[Store], items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return the lineage of the store that the shards of a run are in one file.

    Each shard of recordings without a manifest has the checksum of its own; they make that of all.
    """
    *before, last = shards[0].lineage
    if any(shard.lineage[-1] != last for shard in shards):
        sha256 = items_sha256((item.id, item.audio_hash) for item in items)
        last = {**last, "input": {**last["input"], "sha256": sha256}}
    return [*before, last]


def _write_index(path: Path, shards: Sequence[Store]) -> None:
    items: list[Item] = []
    digests, sums, packed = [], [], "none"
    for shard in shards:
        with shard:
            items += shard.items()
            digests.append(shard.item_sha256())
            sums.append(shard.sums())
            packed = shard.compression if len(shard) else packed
    if not items:
        raise InputError(f"{show(path.parent)}: nothing could be read by any of its shards")
    first = next(shard for shard in shards if len(shard))
    attributes = {
        "kind": first.kind,
        "settings": first.settings,
        "pipeline": first.pipeline,
        "sample_rate": first.sample_rate,
        "frame_rate": first.frame_rate,
        "root": first.root,
        "lineage": lineage_of_run(shards, items),
    }
    lengths = np.concatenate([shard.lengths() for shard in shards])
    with written(path), h5py.File(path, "w", libver="earliest", locking=False) as file:
        table = file.create_dataset("shards", data=np.array([s.sha256 for s in shards], "S64"))
        file.create_dataset("shard_items", data=np.array(list(map(len, shards)), np.int64))
        table.attrs["shape"] = "x".join(map(str, first.shape))
        table.attrs["dtype"] = first.dtype.str
        table.attrs["compression"] = packed
        sha256 = table.attrs["sha256"] = hashlib.sha256(b"".join(digests)).hexdigest()
        frames = Frames(path.parent, file, int(lengths.sum()), Store)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        every = np.concatenate(sums).tolist()
        describe(file, frames, sha256, items, offsets, every, attributes)
