"""merge: several feature stores to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from sertool.core.errors import UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.settings import option
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.formats.store import Store
    from sertool.items import Item


def compress() -> str | None:
    """Return the field of `--compress`."""
    found: str | None = option(
        None,
        "Compression of the store (default: that of the first store read).",
        choices=("none", "lzf", "gzip"),
    )
    return found


@dataclass(frozen=True)
class MergeOptions(Options):
    """How the store is written."""

    compress: str | None = compress()


def merge(
    stores: Annotated[
        list[Path],
        Argument("STORE", "Stores of one kind and pipeline, in the order of the items; or shards."),
    ],
    output: Annotated[Path, Argument("STORE", "The store to write.")],
    options: MergeOptions = MergeOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write every item of `stores` as the store `output`, in their order.

    All shards of a run give the store that it is in one file. Raises InputError for stores that do
    not go together, or that have an item in common.
    """
    from sertool.formats import gathering
    from sertool.formats.building import Run
    from sertool.formats.outputs import check_output
    from sertool.formats.store import Store

    check_output(output, run.force, run.resume, stores)
    opened = [Store(path) for path in stores]
    first = opened[0]
    source, root = gathering.together(opened)
    compress = options.compress or first.compression
    made = _of_run(opened, source.items)
    if not made and len(stores) < 2:
        raise UsageError("merges two stores or more; name them, and then the output")
    if made and compress != first.compression:
        raise UsageError(f"--compress {compress}: shards of one run keep theirs")
    building = Run(console or Console.silent(), resume=run.resume, compress=compress)
    lineage = made or [*first.lineage, _record(opened, options)]
    gathering.write_store(source, root, lineage, output, building, run.force)


def _of_run(stores: Sequence[Store], items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return the lineage of the store of which these are all shards, or the folder; [] for none."""
    from sertool.formats.store_shards import are_whole_run, lineage_of_run

    if len(stores) == 1 and stores[0].shards:
        return stores[0].lineage
    return lineage_of_run(stores, items) if are_whole_run(stores) else []


def _record(stores: Sequence[Store], options: MergeOptions) -> dict[str, Any]:
    from msgspec import convert

    from sertool.formats import lineage

    sources = [
        lineage.Source(
            one.path.name, one.sha256, "store", lineage=convert(one.lineage, list[lineage.Record])
        )
        for one in stores[1:]
    ]
    params = {
        "stores": [[one.path.name, one.sha256] for one in stores],
        "compress": options.compress,
    }
    first = stores[0]
    return lineage.record("merge", params, first.path.name, first.sha256, sources=sources)


COMMAND = Command(
    "merge",
    merge,
    """An item keeps its fields, fold and part. Stores of different kinds or pipelines, an item that
    two stores have, and an utterance in two folds or parts are refused: exit 3.

    sertool merge ravdess.h5 emodb.h5 both.h5

    sertool merge sharded.h5 single.h5  # the folder of featurize --shard as one file

    Exit codes: 0 done, 2 wrong usage, 3 stores that cannot be read or do not go together.
    """,
)
