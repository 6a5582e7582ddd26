"""`sertool augment`: augmented copies beside their originals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sertool.cli import common

PICTURES = "What is done to pictures (together one bilinear resampling)"


def command(
    source: Annotated[
        Path, typer.Argument(metavar="STORE", readable=False, help="A store of kind wave or image.")
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
            rich_help_panel="What is done to waveforms",
        ),
    ] = None,
    shift: Annotated[
        float | None,
        typer.Option(
            "--shift",
            metavar="F",
            help="Move by -F to F of height and of width, uniform; the edge's pixels fill up.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    zoom: Annotated[
        float | None,
        typer.Option(
            "--zoom",
            metavar="F",
            help="Scale height and width, each by its own factor from 1-F to 1+F, uniform.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    flip: Annotated[
        bool,
        typer.Option(
            "--flip",
            help="Change left and right over in every second copy, as FSER did: it plays speech"
            " backwards.",
            rich_help_panel=PICTURES,
        ),
    ] = False,
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
    is in training, and eval leaves it out. What was drawn is in its field augmentation.
    For pictures train --augment makes the same copies as it goes, and stores none.

    [bold]sertool augment --awgn 15:30 --copies 2 wave.h5 noisy.h5[/bold]

    [bold]sertool augment --shift 0.1 --zoom 0.1 --flip --copies 20 pictures.h5 more.h5[/bold]

    Exit codes: 0 done, 2 wrong usage, 3 cannot start.
    """
    from sertool import workers as pool

    pool.single_thread()
    from sertool.manifest import PARTS
    from sertool.stages.augment import augment

    common.one_of("--compress", compress, ("none", "lzf", "gzip"))
    common.one_of("--part", part, PARTS)
    steps: dict[str, list[float]] = {}
    if awgn is not None:
        steps["awgn"] = list(common.number_range("--awgn", awgn))
    if shift is not None:
        steps["shift"] = [shift]
    if zoom is not None:
        steps["zoom"] = [zoom]
    if flip:
        steps["flip"] = []
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
