"""convert: a feature store as other tools read it, and back again; predictions, too."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sertool.core.errors import InputError, UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.ui.console import Console
from sertool.ui.words import plural

FORMATS = ("parquet", "npz", "webdataset", "datasets", "lhotse", "audformat")


@dataclass(frozen=True)
class ConvertOptions(Options):
    """What is written."""

    to: str | None = option(
        None,
        "Of a store: a file, by its suffix .parquet or .npz; or a folder: webdataset, datasets"
        " (Hugging Face), lhotse or audformat. Of predictions: audformat.",
        choices=FORMATS,
        unset="the output's suffix",
    )


def convert(
    source: Annotated[
        Path,
        Argument(
            "INPUT",
            "A store; what convert wrote: .parquet, .npz, webdataset; or predict's JSON Lines.",
        ),
    ],
    output: Annotated[Path, Argument("OUTPUT", "What to write; of anything but a store, a store.")],
    options: ConvertOptions = ConvertOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write a store as `output` for another tool, or what was written so as the store `output`.

    All items keep their fields and features, bit for bit. Predictions become audformat's tables.
    Raises UsageError for a format that is not known, InputError for an input that cannot be read,
    and for one that was not written so.
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
    to = options.to or _by_suffix(output)
    if to == doors.AUDFORMAT and source.is_file() and not is_store(source):
        _predictions(source, output, run, console)
        return
    with Store(source) as store:

        def write(target: Path) -> str:
            doors.door(to).write(store, target, to)
            return f"{len(store)} items of kind {store.kind}, {to}"

        _forth(store.path, store.sha256, write, to, output, run, console)


def _by_suffix(output: Path) -> str:
    from sertool.formats import doors

    found = doors.FILES.get(output.suffix.lower())
    if found is None:
        raise UsageError(f"{show(output)}: which format? .parquet, .npz, or --to a folder's")
    return found


def _predictions(source: Path, output: Path, run: RunOptions, console: Console) -> None:
    """Write what `predict` said as audformat's tables."""
    from sertool.core.texts import json_text
    from sertool.evaluation import prediction_tables
    from sertool.formats import doors
    from sertool.formats.lineage import file_sha256

    sha256 = file_sha256(source)

    def write(target: Path) -> str:
        count = prediction_tables.write(source, target)
        made = {"format": "sertool-predictions", "version": 1, "made_of": sha256}
        (target / doors.INDEX).write_text(json_text(made) + "\n", "utf-8")
        return f"{plural(count, 'prediction')}, {doors.AUDFORMAT}"

    _forth(source, sha256, write, doors.AUDFORMAT, output, run, console)


def _forth(
    source: Path,
    sha256: str,
    write: Callable[[Path], str],
    to: str,
    output: Path,
    run: RunOptions,
    console: Console,
) -> None:
    """Have an input written in a format, and say what was written, as `write` returns it."""
    from sertool.formats import doors
    from sertool.formats.outputs import atomic, atomic_folder, check_output, claim

    folder = to in doors.FOLDERS
    if not folder and doors.FILES.get(output.suffix.lower()) != to:
        raise UsageError(f"{show(output)}: --to {to} is a file with the suffix .{to}")
    there = _there(output) if folder else output.exists()
    if not there or not folder:
        check_output(output, run.force, run.resume, [source])
    claim(output)
    if there and run.resume and not run.force:
        if _made_of(output, to) != sha256:
            raise InputError(f"{show(output)}: exists, made of another input; --force replaces it")
        console.note(f"{show(output)}: already complete")
        return
    if there and not run.force:
        raise InputError(f"{show(output)}: exists already; --force replaces it")
    with (atomic_folder if folder else atomic)(output) as target:
        told = write(target)
    console.note(f"{show(output)}: {told}")


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
    """Return the SHA-256 of what an output was made of, "" where it does not say.

    Raises InputError for one that is damaged, where it has checksums.
    """
    from sertool.formats import doors

    if doors.format_of(output) == to:
        table = doors.door(to).read(output)
        table.check()
        return table.description.store
    try:
        made = json.loads((output / doors.INDEX).read_text("utf-8"))
        return str(made.get("store") or made.get("made_of"))
    except (OSError, ValueError, AttributeError):
        return ""


def _back(source: Path, to: str, output: Path, run: RunOptions, console: Console) -> None:
    """Write what `_forth` wrote as a store."""
    from sertool.formats import doors, lineage
    from sertool.formats.building import Run, build_store, is_there
    from sertool.formats.outputs import check_output

    check_output(output, run.force, run.resume, [source])
    table = doors.door(to).read(source)
    for doubt in table.doubts():
        console.warn(doubt)
    record = lineage.record("convert", {}, source.name, table.sha256, to)
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

    sertool convert rows.jsonl predictions/ --to audformat  # of predict

    Exit codes: 0 done, 2 wrong usage, 3 an input that cannot be read, or an output that is there.
    """,
)
