"""merge: several feature stores to one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sertool.core.errors import UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.settings import option
from sertool.ui.console import Console


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
        list[Path], Argument("STORE", "Stores of one kind and pipeline, in the order of the items.")
    ],
    output: Annotated[Path, Argument("STORE", "The store to write.")],
    options: MergeOptions = MergeOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write every item of `stores` as the store `output`, in their order.

    Raises InputError for stores that do not go together, or that have an item in common.
    """
    from msgspec import convert

    from sertool.formats import gathering, lineage
    from sertool.formats.building import Run
    from sertool.formats.outputs import check_output
    from sertool.formats.store import Store

    if len(stores) < 2:
        raise UsageError("merges two stores or more; name them, and then the output")
    check_output(output, run.force, run.resume, stores)
    opened = [Store(path) for path in stores]
    source, root = gathering.together(opened)
    sources = [
        lineage.Source(
            one.path.name, one.sha256, "store", lineage=convert(one.lineage, list[lineage.Record])
        )
        for one in opened[1:]
    ]
    params = {
        "stores": [[one.path.name, one.sha256] for one in opened],
        "compress": options.compress,
    }
    first = opened[0]
    record = lineage.record("merge", params, first.path.name, first.sha256, sources=sources)
    building = Run(
        console or Console.silent(),
        resume=run.resume,
        compress=options.compress or first.compression,
    )
    gathering.write_store(source, root, record, output, building, run.force)


COMMAND = Command(
    "merge",
    merge,
    """An item keeps its fields, fold and part. Stores of different kinds or pipelines, an item that
    two stores have, and an utterance in two folds or parts are refused: exit 3.

    sertool merge ravdess.h5 emodb.h5 both.h5

    Exit codes: 0 done, 2 wrong usage, 3 stores that cannot be read or do not go together.
    """,
)
