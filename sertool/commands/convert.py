"""convert: a feature store as other tools read it, and back again."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sertool.core.errors import InputError, UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.formats.store import Store

FORMATS = ("parquet", "npz", "webdataset", "datasets", "lhotse")


@dataclass(frozen=True)
class ConvertOptions(Options):
    """What is written."""

    to: str | None = option(
        None,
        "Of a store: a file, by its suffix .parquet or .npz; or a folder: webdataset, datasets"
        " (Hugging Face) or lhotse.",
        choices=FORMATS,
        unset="the output's suffix",
    )


def convert(
    source: Annotated[
        Path, Argument("INPUT", "A store; or what convert wrote: .parquet, .npz, webdataset.")
    ],
    output: Annotated[Path, Argument("OUTPUT", "What to write; of anything but a store, a store.")],
    options: ConvertOptions = ConvertOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write a store as `output` for another tool, or what was written so as the store `output`.

    All items keep their fields and features, bit for bit. Raises UsageError for a format that is
    not known, InputError for an input that cannot be read, and for one that was not written so.
    """
    from sertool.formats import doors
    from sertool.formats.store import Store, is_store

    console = console or Console.silent()
    found = doors.format_of(source)
    if found is not None and not is_store(source):
        if options.to:
            raise UsageError(f"--to {options.to}: of a store; from {found} comes a store")
        _back(source, found, output, run, console)
        return
    with Store(source) as store:
        _forth(store, options.to or _by_suffix(output), output, run, console)


def _by_suffix(output: Path) -> str:
    from sertool.formats import doors

    found = doors.FILES.get(output.suffix.lower())
    if found is None:
        raise UsageError(f"{show(output)}: which format? .parquet, .npz, or --to a folder's")
    return found


def _forth(store: Store, to: str, output: Path, run: RunOptions, console: Console) -> None:
    """Write a store in a format; say what was written."""
    from sertool.formats import doors
    from sertool.formats.outputs import atomic, atomic_folder, check_output

    folder = to in doors.FOLDERS
    if not folder and doors.FILES.get(output.suffix.lower()) != to:
        raise UsageError(f"{show(output)}: --to {to} is a file with the suffix .{to}")
    there = _there(output) if folder else output.exists()
    if not there or not folder:
        check_output(output, run.force, run.resume, [store.path])
    if there and run.resume and not run.force:
        if _made_of(output, to) != store.sha256:
            raise InputError(f"{show(output)}: exists, made of another store; --force replaces it")
        console.note(f"{show(output)}: already complete")
        return
    if there and not run.force:
        raise InputError(f"{show(output)}: exists already; --force replaces it")
    with (atomic_folder if folder else atomic)(output) as target:
        doors.door(to).write(store, target, to)
    console.note(f"{show(output)}: {len(store)} items of kind {store.kind}, {to}")


def _there(folder: Path) -> bool:
    """Return whether a folder of ours is there; InputError where another thing is."""
    from sertool.formats import doors

    if not folder.is_dir() or not any(folder.iterdir()):
        if folder.is_dir():
            folder.rmdir()
        return False
    if not (folder / doors.INDEX).is_file() or folder.resolve() == Path.cwd().resolve():
        raise InputError(f"{show(folder)}: holds something else; name a folder that is not there")
    if not os.access(folder.parent, os.W_OK):
        raise InputError(f"{show(folder)}: no permission to write in {show(folder.parent)}")
    return True


def _made_of(output: Path, to: str) -> str:
    """Return the SHA-256 of the store that an output was made of, "" where it does not say."""
    from sertool.formats import doors

    if to not in doors.FOLDERS:
        return doors.door(to).read(output).description.store
    try:
        return str(json.loads((output / doors.INDEX).read_text("utf-8")).get("store"))
    except (OSError, ValueError, AttributeError):
        return ""


def _back(source: Path, to: str, output: Path, run: RunOptions, console: Console) -> None:
    """Write what `_forth` wrote as a store."""
    from sertool.formats import doors, lineage
    from sertool.formats.building import Run, build_store, is_there
    from sertool.formats.outputs import check_output

    check_output(output, run.force, run.resume, [source])
    table = doors.door(to).read(source)
    content = source / doors.INDEX if source.is_dir() else source
    record = lineage.record("convert", {}, source.name, lineage.file_sha256(content), to)
    values = doors.attributes(table.description)
    values["lineage"] = [*values["lineage"], record]
    building = Run(console, resume=run.resume)
    job = {"stage": "convert", "params": {}, "input": record["input"]["sha256"]}
    origins = (item.origin for item in table.items)
    if is_there(output, record, job, origins, building, run.force):
        return
    built = build_store(table, output, job, lambda _: values, building, "items")
    console.note(f"{show(output)}: {built.items} items of kind {table.description.kind}")


COMMAND = Command(
    "convert",
    convert,
    """sertool convert features.h5 features.npz  # or .parquet

    sertool convert features.npz again.h5  # the same items

    sertool convert features.h5 shards/ --to webdataset

    Exit codes: 0 done, 2 wrong usage, 3 an input that cannot be read, or an output that is there.
    """,
)
