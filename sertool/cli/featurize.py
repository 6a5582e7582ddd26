"""`sertool featurize`: audio into a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sertool.cli import common

CUT = "Cutting"


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Folder, manifest, store of waveforms, audio file, or - (a list of them).",
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="STORE", readable=False, help="The store to write (.h5).")
    ],
    kind: Annotated[
        str, typer.Option("--kind", help="Kind of feature (sertool list kinds).")
    ] = "mel",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A kind's setting (sertool list kinds --kind mel)."
        ),
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            "--sample-rate", min=1, help="Resample to this rate, Hz. \\[default: the commonest]"
        ),
    ] = None,
    channel: Annotated[str, typer.Option("--channel", help="mix, left or right.")] = "mix",
    offset: Annotated[
        float, typer.Option("--offset", min=0, help="Skip S seconds.", rich_help_panel=CUT)
    ] = 0.0,
    duration: Annotated[
        float | None,
        typer.Option("--duration", min=0, help="Length in seconds.", rich_help_panel=CUT),
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            "--fit",
            help="With --duration: pad the shorter, crop the longer, or both.",
            rich_help_panel=CUT,
        ),
    ] = "both",
    segment: Annotated[
        float | None,
        typer.Option("--segment", min=0, help="Segments of S seconds.", rich_help_panel=CUT),
    ] = None,
    segment_hop: Annotated[
        float | None,
        typer.Option(
            "--segment-hop",
            min=0,
            help="Seconds between segments. \\[default: --segment]",
            rich_help_panel=CUT,
        ),
    ] = None,
    segment_tail: Annotated[
        str,
        typer.Option("--segment-tail", help="The rest: align, pad or drop.", rich_help_panel=CUT),
    ] = "align",
    segment_max: Annotated[
        float | None,
        typer.Option(
            "--segment-max",
            min=0,
            help="Equal parts of at most S seconds.",
            rich_help_panel=CUT,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="float32, float16, or int16 (waveforms); pictures are uint8."),
    ] = None,
    compress: Annotated[str, typer.Option("--compress", help="none, lzf or gzip.")] = "none",
    corpus: Annotated[
        str, typer.Option("--corpus", help="For folders: auto or a name (sertool list corpora).")
    ] = "auto",
    strict: common.Strict = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    resume: common.Resume = False,
    workers: common.Workers = 0,
    log: common.Log = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Turn audio into a feature store (HDF5), with every label and speaker that is known.

    [bold]sertool featurize --kind mel corpus/ features.h5[/bold]

    [bold]sertool featurize --kind mfcc --set n_mfcc=13 --duration 3 manifest.jsonl mfcc.h5[/bold]

    Exit codes: 0 done, 1 done but a file could not be read, 2 wrong usage, 3 cannot start.
    """
    from sertool.core import workers as pool

    pool.single_thread()
    from sertool.commands.featurize import featurize, kind_settings
    from sertool.features.pipeline import FeaturizeSpec

    common.one_of("--compress", compress, ("none", "lzf", "gzip"))
    spec = FeaturizeSpec(
        kind=kind,
        settings=kind_settings(kind, set_ or []),
        sample_rate=sample_rate,
        channel=channel,
        offset=offset,
        duration=duration,
        fit=fit,
        segment=segment,
        segment_hop=segment_hop,
        segment_tail=segment_tail,
        segment_max=segment_max,
        dtype=dtype,
    )
    with common.console("featurize", quiet, verbose, log) as console:
        featurize(
            source,
            output,
            spec,
            corpus=corpus,
            compress=compress,
            seed=seed,
            workers=workers,
            force=force,
            resume=resume,
            strict=strict,
            console=console,
        )
    raise typer.Exit(console.exit_code)
