"""`sertool separate`: a recording of each source from as many mixtures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sertool.cli import common

KNOWN = "Where the sources are known"


def command(
    mixtures: Annotated[
        list[Path],
        typer.Argument(
            metavar="MIXTURE...",
            readable=False,
            help="A file of several channels, or several files of one, equally long.",
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="OUTDIR", readable=False, help="Where the sources go.")
    ],
    sources: Annotated[
        int | None,
        typer.Option("--sources", metavar="K", help="How many. \\[default: as many as mixtures]"),
    ] = None,
    block: Annotated[
        float | None,
        typer.Option(
            "--block",
            metavar="S",
            help="Mixtures change: find them anew every S/2 seconds, from S seconds."
            " \\[default: once, for the whole recording]",
        ),
    ] = None,
    algorithm: Annotated[
        str,
        typer.Option(
            "--algorithm", help="parallel (all sources together) or deflation (one by one)."
        ),
    ] = "parallel",
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            metavar="SOURCE",
            readable=False,
            help="A known source, or several in one file's channels: print the SI-SDR. Repeatable.",
            rich_help_panel=KNOWN,
        ),
    ] = None,
    mix: Annotated[
        bool,
        typer.Option(
            "--mix",
            help="What is given are single voices: mix them first (OUTDIR/microphone-1.wav …), then"
            " part them and print the SI-SDR.",
            rich_help_panel=KNOWN,
        ),
    ] = False,
    json_: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write what came out; - prints it instead of the table.",
            rich_help_panel=KNOWN,
        ),
    ] = None,
    seed: common.Seed = 0,
    force: common.Force = False,
    resume: common.Resume = False,
    workers: common.Workers = 1,
    log: common.Log = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Part sources that several microphones heard in other proportions (FastICA).

    Writes OUTDIR/NAME-1.wav, NAME-2.wav …, one a source, the loudest first, \
each with its peak at 0.99. As many mixtures are needed as sources. Delays \
and echoes are not undone: this is for a mixing desk or microphones close \
together, not for a hall. An hour needs no more memory than a minute.

    One unmixing matrix is found for the whole recording. Where levels or \
places change, --block finds one a block and carries order and sign of the \
sources from each to the next; every block should hold every source.

    [bold]sertool separate interview.wav parts/[/bold]

    [bold]sertool separate left.wav right.wav parts/ --against anna.wav --against ben.wav[/bold]

    [bold]sertool separate --mix anna.wav ben.wav demo/[/bold]

    Exit codes: 0 done, 2 wrong usage, 3 a mixture cannot be read or separated.
    """
    from sertool.core import workers as pool

    pool.single_thread()
    from dataclasses import replace

    from sertool.commands.separate import Options, separate
    from sertool.core.errors import UsageError
    from sertool.extras import mixing
    from sertool.extras.separation import ALGORITHMS

    common.one_of("--algorithm", algorithm, ALGORITHMS)
    options = Options(sources, block, algorithm, tuple(against or ()), seed)
    with common.console("separate", quiet, verbose, log) as console:
        from sertool.formats.outputs import check_output

        target = Path(json_) if json_ not in (None, "-") else None
        if target is not None:
            check_output(target, force, resume, [*mixtures, *options.against])
        if mix:
            if against or resume:
                raise UsageError("--mix: knows its sources and begins anew: no --against, --resume")
            made = mixing.mix(mixtures, folder, seed, force=force, console=console)
            mixtures, options = made[0], replace(options, against=tuple(made[1]), name="separated")
        result = separate(mixtures, folder, options, force=force, resume=resume, console=console)
        _give(result, target, json_ == "-")
    raise typer.Exit(console.exit_code)


def _give(result: dict[str, Any], target: Path | None, as_json: bool) -> None:
    """Write and print what came out."""
    import json

    from sertool.formats.outputs import atomic

    text = json.dumps(result, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    if target is not None:
        with atomic(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if as_json:
        sys.stdout.write(text)
    elif "sources" in result:
        from sertool.ui.tables import render, table

        header = ("source", "found as", "SI-SDR dB", "best mixture dB", "gain dB")
        found = result["sources"]
        known, heard = (_short([row[key] for row in found]) for key in ("reference", "output"))
        rows = [
            [name, output, *(_db(row[key]) for key in ("si_sdr", "mixture", "gain"))]
            for name, output, row in zip(known, heard, found, strict=True)
        ]
        print(render(table(header, rows, words=2)))


def _short(paths: list[str]) -> list[str]:
    """Return paths without their folders, where that leaves no two alike."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else paths


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
