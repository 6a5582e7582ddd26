"""select: some items of a feature store as a store of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sertool.commands.merge import compress
from sertool.core.errors import InputError, UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.paths import show, text_of
from sertool.core.settings import option
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.formats.lineage import Source
    from sertool.items import Item


@dataclass(frozen=True)
class SelectOptions(Options):
    """Which items are kept: those that fulfil every condition."""

    where: tuple[str, ...] = option(
        (), "Keep only these: field=value, field!=value, field in a,b; repeatable.", metavar="EXPR"
    )
    ids: Path | None = option(
        None,
        "Keep only those that FILE lists: ids, one a line, or JSON Lines with an id (a manifest,"
        " info --items). An utterance's id stands for its segments and copies, too.",
        metavar="FILE",
    )
    compress: str | None = compress()

    def check(self) -> None:
        """Raise UsageError where nothing is chosen."""
        if not self.where and self.ids is None:
            raise UsageError("which items? --where EXPR or --ids FILE")


def select(
    source: Annotated[Path, Argument("STORE", "A feature store.")],
    output: Annotated[Path, Argument("STORE", "The store to write.")],
    options: SelectOptions,
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write the chosen items of `source` as the store `output`, in their order.

    Raises UsageError for a condition that is none, InputError where no item fulfils all of them, or
    a listed id is not there.
    """
    from sertool.corpora import where
    from sertool.formats import gathering, lineage
    from sertool.formats.building import Run
    from sertool.formats.outputs import check_output
    from sertool.formats.store import Store

    listed = [options.ids] if options.ids else []
    check_output(output, run.force, run.resume, [source, *listed])
    store = Store(source)
    items = store.items()
    kept = {item.id for item in where.select(items, options.where)}
    if options.ids is not None:
        kept &= _listed(options.ids, items, show(source))
    positions = [i for i, item in enumerate(items) if item.id in kept]
    if not positions:
        raise InputError(f"{show(source)}: no item fulfils all conditions")
    params = {
        "where": list(options.where),
        "ids": options.ids.name if options.ids else None,
        "compress": options.compress,
    }
    record = lineage.record(
        "select", params, source.name, store.sha256, sources=_sources(options.ids)
    )
    building = Run(
        console or Console.silent(),
        resume=run.resume,
        compress=options.compress or store.compression,
    )
    gathering.write_store(
        gathering.chosen(store, positions),
        store.root,
        [*store.lineage, record],
        output,
        building,
        run.force,
    )


def _listed(path: Path, items: Sequence[Item], source: str) -> set[str]:
    """Return the ids of the items that a file lists; InputError for an id that is none of theirs.

    An utterance's id stands for all that was made from it.
    """
    wanted = _ids(path)
    missing = wanted - {item.id for item in items} - {item.origin for item in items}
    if missing:
        more = f", and {len(missing) - 1} more" * (len(missing) > 1)
        raise InputError(f"{show(path)}: {source} has no item {show(min(missing))}{more}")
    return {item.id for item in items if item.id in wanted or item.origin in wanted}


def _ids(path: Path) -> set[str]:
    """Return the ids that a file lists; InputError where it cannot be read."""
    found = set()
    try:
        lines = text_of(path).splitlines()
    except OSError as error:
        raise InputError(f"--ids {show(path)}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--ids {show(path)}: is not UTF-8 text") from error
    for number, line in enumerate(lines, 1):
        name = _id(line.strip())
        if name is None:
            raise InputError(f"--ids {show(path)}: line {number}: JSON without an id")
        found.add(name)
    found.discard("")
    if not found:
        raise InputError(f"--ids {show(path)}: lists no id")
    return found


def _id(text: str) -> str | None:
    """Return the id of a line, which is that or JSON with it; None where it is not there."""
    if not text.startswith("{"):
        return text
    try:
        name = json.loads(text)["id"]
    except (ValueError, KeyError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def _sources(path: Path | None) -> list[Source]:
    """Return the list of ids as the lineage keeps it."""
    from sertool.formats.lineage import Source, file_sha256

    return [] if path is None else [Source(path.name, file_sha256(path), "list", "--ids")]


COMMAND = Command(
    "select",
    select,
    """An item keeps its fields, fold and part; a copy may go without its original.

    sertool select features.h5 two.h5 --where 'speaker in spk01,spk02' --where label!=neutral

    sertool info --items features.h5 | head -10 > ten.jsonl

    sertool select features.h5 ten.h5 --ids ten.jsonl

    Exit codes: 0 done, 2 wrong usage, 3 a file that cannot be read, or no such item.
    """,
)
