"""What a store costs beside its data: an item written, a million opened, items read in any order.

`python benchmarks/stores.py` prints processor times (user and system): of writing items of one
small frame, so that what is fixed shows, alone and through a stage (`select`, with the parts by
which it resumes); of opening a store of `--items` items, in one file and in shards; and of reading
`--read` items of 26 kB in random order, beside reading the same bytes of the file with `pread`, in
turn; one by one, and in batches of 32, whose items are in memory together, as training reads them.
An item's first reading includes its checksum.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import measured
import numpy as np
from measured import Row

from sertool.core.shard import Shard
from sertool.formats import gathering, store_shards
from sertool.formats.building import Run
from sertool.formats.lineage import record
from sertool.formats.shard_frames import file_name
from sertool.formats.store import Store, StoreWriter
from sertool.items import Item
from sertool.ui.console import Console

SHARDS = 16
THROUGH = 100_000  # items that go through a stage
SMALL, USUAL = (1, 8), (100, 64)  # frames, values a frame
BATCH = 32  # items read together
ROUNDS = 3
ROWS: list[Row] = []
ATTRIBUTES = {
    "kind": "mel",
    "settings": {},
    "pipeline": [{"stage": "featurize", "kind": "mel", "settings": {}}],
    "sample_rate": 16000,
    "frame_rate": 100.0,
    "root": "/corpus",
    "lineage": [record("featurize", {}, "corpus", "", "folder")],
}


def made(first: int, last: int) -> Iterator[Item]:
    """Yield items with what a corpus knows of an utterance."""
    for i in range(first, last):
        name = f"corpus/speaker{i // 200:05}/{i:09}"
        yield Item(
            name, f"{name}.wav", corpus="corpus", speaker=f"{i // 200:05}", gender="female",
            language="de", text=f"{i % 50}", label=("anger", "fear", "neutral")[i % 3],
            fold=i // 200 % 10, origin=name, audio_hash=f"{i:032x}", fingerprint="k" * 64,
        )  # fmt: skip


def write(
    path: Path, first: int, last: int, size: tuple[int, int], shard: Shard | None = None
) -> None:
    """Write a store of items of one size."""
    frames = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    writer = StoreWriter(path, frames.shape[1:], "float32")
    for item in made(first, last):
        writer.append(frames, item)
    writer.finish(ATTRIBUTES, shard, "run" * bool(shard))


def cost(work: Callable[[], object]) -> float:
    """Return the processor time of some work in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def row(
    what: str,
    value: float,
    unit: str,
    ratio: float | None = None,
    most: float | None = None,
    least: float | None = None,
) -> None:
    """Print a row of the table, and keep it; `ratio`: beside `pread` of the same bytes."""
    beside = None if ratio is None else "the rate of pread"
    told = "" if ratio is None else f", {ratio:.2f} of the rate of pread"
    print(f"| {what} | {value:.4g} {unit}{told} |", flush=True)
    ROWS.append(Row(what, value, unit, beside, ratio, most, least))


def scale(folder: Path, items: int) -> None:
    """Print what items cost to write, and a store of them to open."""
    single, sharded, few = folder / "one.h5", folder / "s.h5", folder / "few.h5"
    taken = 1e3 * cost(lambda: write(single, 0, items, SMALL)) / items
    row("written", taken, "ms CPU an item", most=1)
    through = min(items, THROUGH)
    write(few, 0, through, SMALL)

    def select() -> None:
        with Store(few) as store:
            chosen = gathering.chosen(store, range(through))
            lineage = [*store.lineage, record("select", {}, "few.h5", store.sha256)]
            run = Run(Console.silent())
            gathering.write_store(chosen, store.root, lineage, folder / "out.h5", run, False)

    taken = 1e3 * cost(select) / through
    row("copied by `select`, with its parts", taken, "ms CPU an item", most=1)
    sharded.mkdir()
    for number in range(1, SHARDS + 1):
        shard = Shard(number, SHARDS)
        part = shard.part(items)
        write(sharded / file_name(shard), part.start, part.stop, SMALL, shard)
    seconds = cost(lambda: store_shards.complete(sharded, Console.silent()))
    row(f"index of {SHARDS} shards written", 1e3 * seconds / items, "ms CPU an item")
    for name, path in (("one file", single), (f"{SHARDS} shards", sharded)):
        taken = cost(lambda path=path: Store(path).close())
        row(f"{items:,} items opened, {name}", taken, "s CPU", most=1)
        with Store(path) as store:
            row(f"their columns checked, {name}", cost(store.check), "s CPU")
            row(f"all items read, {name}", cost(store.items), "s CPU")


def epochs(folder: Path, items: int) -> None:
    """Print what reading items in random order costs, relative to the bytes alone."""
    path, sharded = folder / "read.h5", folder / "r.h5"
    write(path, 0, items, USUAL)
    sharded.mkdir()
    for number in range(1, SHARDS + 1):
        shard = Shard(number, SHARDS)
        part = shard.part(items)
        write(sharded / file_name(shard), part.start, part.stop, USUAL, shard)
    store_shards.complete(sharded, Console.silent())
    size = 4 * USUAL[0] * USUAL[1]
    order = np.random.default_rng(1).permutation(items).tolist()
    descriptor = os.open(path, os.O_RDONLY)

    together = [order[at : at + BATCH] for at in range(0, items, BATCH)]

    def raw(i: int) -> np.ndarray:
        return np.frombuffer(os.pread(descriptor, size, i * size), np.float32)

    def raw_epoch() -> None:
        for i in order:
            raw(i)

    def raw_batches() -> None:
        for chosen in together:
            list(map(raw, chosen))

    peers = {"pread": raw_epoch, f"pread, batches of {BATCH}": raw_batches}
    jobs: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, work in peers.items():
            jobs.setdefault(name, []).append(cost(work))
        for name, place in (("one file", path), (f"{SHARDS} shards", sharded)):
            with Store(place) as store:
                store.items()

                def epoch(store: Store = store) -> None:
                    for i in order:
                        store.features(i)

                def batches(store: Store = store) -> None:
                    for chosen in together:
                        store.batch(chosen)

                jobs.setdefault(f"first epoch, {name}", []).append(cost(epoch))
                jobs.setdefault(f"another epoch, {name}", []).append(cost(epoch))
                jobs.setdefault(f"in batches of {BATCH}, {name}", []).append(cost(batches))
    os.close(descriptor)
    for name, found in jobs.items():
        batched = f"batches of {BATCH}" in name
        peer = jobs[f"pread, batches of {BATCH}" if batched else "pread"]
        ratio = None if name in peers else float(np.median(np.divide(peer, found)))
        least = 0.8 if batched and "one file" in name else None
        row(name, 1e3 * float(np.median(found)) / items, "ms CPU an item", ratio, None, least)


def main() -> int:
    """Print a table of all costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--read", type=int, default=10_000)
    measured.options(parser)
    given = parser.parse_args()
    print("| what | processor time |\n| --- | ---: |")
    with tempfile.TemporaryDirectory() as name:
        scale(Path(name), given.items)
    with tempfile.TemporaryDirectory() as name:
        epochs(Path(name), given.read)
    measured.write(given.json, ROWS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
