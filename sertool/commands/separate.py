"""separate: mixtures of several sources to one recording per source."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sertool.core.errors import UsageError
from sertool.core.executors import PROCESSES, Executor
from sertool.core.options import (
    Argument,
    Command,
    FileOptions,
    Options,
    RunOptions,
    destination,
    executor,
    nested,
    shard,
    workers,
)
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.core.shard import Shard
from sertool.extras.options import KNOWN, SeparateOptions, Separation
from sertool.ui.console import Console


@dataclass(frozen=True)
class SeparateOutputs(Options):
    """How mixtures are separated, and where the result goes."""

    how: SeparateOptions = nested(SeparateOptions)
    mix: bool = option(
        False,
        "The inputs are single voices: mix them first (OUTDIR/microphone-1.wav …), then separate"
        " them and print the SI-SDR.",
        panel=KNOWN,
    )
    json: str | None = destination(
        None, "Write the result; - prints it instead of the table.", metavar="FILE"
    )
    shard: str | None = shard(
        "Separate the K-th of N parts of a folder alone, for one of N machines."
    )
    workers: int = workers()
    executor: str | Executor = executor()
    files: FileOptions = nested(FileOptions)

    def check(self) -> None:
        """Raise UsageError for a shard that is none."""
        Shard.read(self.shard)


def separate(
    mixtures: Annotated[
        list[Path],
        Argument(
            "MIXTURE",
            "One file of several channels, several mono files, equally long, or a folder, each file"
            " of which is separated by itself.",
        ),
    ],
    folder: Annotated[Path, Argument("OUTDIR", "The folder to write the sources to.")],
    options: SeparateOutputs = SeparateOutputs(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> Separation | list[Separation]:
    """Separate mixtures into a WAV file per source; return what was done: a list of a folder.

    Raises UsageError for options that contradict each other, InputError for mixtures that cannot
    be read or separated.
    """
    from sertool.extras import mixing, sources
    from sertool.formats.outputs import atomic, check_output, claim

    console = console or Console.silent()
    options.files.begin()
    how, name = options.how, None
    if options.shard is None and folder.parent.is_dir():
        claim(folder)
    if len(mixtures) == 1 and mixtures[0].is_dir():
        return _folder(mixtures[0], folder, options, run, console)
    if options.shard is not None or options.executor != PROCESSES:
        raise UsageError("--shard and --executor share out the recordings of a folder: name one")
    target = Path(options.json) if options.json not in (None, "-") else None
    if target is not None:
        check_output(target, run.force, run.resume, [*mixtures, *how.against])
    if options.mix:
        if how.against or run.resume:
            raise UsageError("--mix knows its sources and starts anew: no --against, --resume")
        mixtures, known = mixing.mix(mixtures, folder, how.seed, force=run.force, console=console)
        how, name = dataclasses.replace(how, against=tuple(known)), "separated"
    result = sources.separate(mixtures, folder, how, run, console, name)
    if target is not None:
        with atomic(target) as temporary:
            temporary.write_text(_text(result), encoding="utf-8")
    return result


def _folder(
    source: Path, folder: Path, options: SeparateOutputs, run: RunOptions, console: Console
) -> list[Separation]:
    """Separate each recording of a folder."""
    from sertool.extras import folders

    given = {"--mix": options.mix, "--against": options.how.against, "--json": options.json}
    for name, value in given.items():
        if value:
            raise UsageError(f"{name}: is of one recording, and {show(source)} is a folder")
    shard = Shard.read(options.shard)
    return folders.separate(
        source, folder, options.how, run, shard, options.workers, options.executor, console
    )


def _text(result: Separation) -> str:
    return json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _show(
    result: Separation | list[Separation], options: SeparateOutputs, console: Console
) -> None:
    """Print the ratios of known sources, or all as JSON."""
    if isinstance(result, list):
        return
    if options.json == "-":
        sys.stdout.write(_text(result))
    elif result.known:
        from sertool.ui.tables import render, table

        header = ("source", "found as", "SI-SDR dB", "best mixture dB", "gain dB")
        known = _short([one.reference for one in result.known])
        found = _short([one.output for one in result.known])
        rows = [
            [name, output, *map(_db, (one.si_sdr, one.mixture, one.gain))]
            for name, output, one in zip(known, found, result.known, strict=True)
        ]
        print(render(table(header, rows, words=2)))


def _short(paths: list[str]) -> list[str]:
    """Return paths without their folders, where that leaves no two alike."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else paths


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


COMMAND = Command(
    "separate",
    separate,
    """Writes OUTDIR/NAME-1.wav, NAME-2.wav …, one per source, the loudest first, each with its peak
    at 0.99. As many mixtures are needed as sources. Delays and echoes are not undone: this is for a
    mixing desk or microphones close together, not for a hall. An hour needs no more memory than a
    minute.

    One unmixing matrix is found for the whole recording. Where levels or places change, --block
    finds one per block and carries the order and sign of the sources from each to the next; every
    block should contain every source.

    sertool separate interview.wav voices/

    sertool separate left.wav right.wav voices/ --against anna.wav --against ben.wav

    sertool separate --mix anna.wav ben.wav demo/

    sertool separate calls/ voices/  # calls/a/1.wav becomes voices/a/1-1.wav, 1-2.wav …

    Exit codes: 0 done, 1 a file of a folder cannot be separated, 2 wrong usage, 3 a mixture cannot
    be read or separated.
    """,
    show=_show,
)
