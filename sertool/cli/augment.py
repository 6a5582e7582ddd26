"""`sertool augment`: augmented copies beside their originals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sertool.cli import common


def command(
    source: Annotated[
        Path, typer.Argument(metavar="STORE", readable=False, help="A store of kind wave.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="STORE", readable=False, help="The store to write.")
    ],
    awgn: Annotated[
        str | None,
        typer.Option(
            "--awgn",
            metavar="LOW:HIGH",
            help="White Gaussian noise, signal-to-noise ratio in dB, uniform in LOW:HIGH.",
        ),
    ] = None,
    copies: Annotated[int, typer.Option("--copies", min=1, help="Copies of each original.")] = 1,
    only_copies: Annotated[
        bool, typer.Option("--only-copies", help="Leave the originals out.")
    ] = False,
    part: Annotated[
        str,
        typer.Option("--part", help="Of items with a part, copy those of: train, val or test."),
    ] = "train",
    compress: Annotated[str, typer.Option("--compress", help="none, lzf or gzip.")] = "none",
    seed: common.Seed = 0,
    force: common.Force = False,
    resume: common.Resume = False,
    workers: common.Workers = 0,
    log: common.Log = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Write a store of originals and augmented copies, each copy tied to its origin.

    A copy keeps its origin's label, speaker, fold and part; train uses it only where its origin
    is in training, and eval leaves it out.

    [bold]sertool augment --awgn 15:30 --copies 2 wave.h5 noisy.h5[/bold]

    Exit codes: 0 done, 2 wrong usage, 3 cannot start.
    """
    from sertool import workers as pool

    pool.single_thread()
    from sertool.manifest import PARTS
    from sertool.stages.augment import augment

    common.one_of("--compress", compress, ("none", "lzf", "gzip"))
    common.one_of("--part", part, PARTS)
    steps = {}
    if awgn is not None:
        steps["awgn"] = list(common.number_range("--awgn", awgn))
    with common.console("augment", quiet, verbose, log) as console:
        augment(
            source,
            output,
            steps,
            copies=copies,
            only_copies=only_copies,
            part=part,
            seed=seed,
            compress=compress,
            workers=workers,
            force=force,
            resume=resume,
            console=console,
        )
    raise typer.Exit(console.exit_code)
