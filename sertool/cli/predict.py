"""`sertool predict`: labels for recordings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import common

if TYPE_CHECKING:
    from sertool.commands.predict import Options, Predictor
    from sertool.ui.console import Console

HEARD = "What is heard"
OUTPUT = "Output"


def command(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", readable=False, help="The model.")
    ],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Audio files, folders, or - (paths or manifest lines on standard input).",
        ),
    ],
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="A,B,...", help="Keep these classes, mask the others."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="NAME=VALUE",
            help="Known of all recordings: chooses one of the models of train --per NAME.",
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            "--window", metavar="S", help="A line for every S seconds.", rich_help_panel=HEARD
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            "--hop",
            metavar="S",
            help="Seconds between windows. \\[default: --window]",
            rich_help_panel=HEARD,
        ),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="- is 16-bit PCM or WAV; a line once a window is heard.",
            rich_help_panel=HEARD,
        ),
    ] = False,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            "--sample-rate",
            metavar="HZ",
            min=1,
            help="Rate of a raw stream.",
            rich_help_panel=HEARD,
        ),
    ] = None,
    null: Annotated[
        bool,
        typer.Option("--null", help="Names on - end in NUL.", rich_help_panel=HEARD),
    ] = False,
    format_: Annotated[
        str,
        typer.Option("--format", help="jsonl, csv, tsv or table.", rich_help_panel=OUTPUT),
    ] = "jsonl",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here.", rich_help_panel=OUTPUT),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain",
            metavar="DIR",
            help="Draw what the model saw and computed in each file into DIR.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    strict: common.Strict = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", min=1, help="Recordings scored together."),
    ] = 1,
    seed: common.Seed = 0,
    force: common.Force = False,
    resume: common.Resume = False,
    workers: common.Workers = 1,
    log: common.Log = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Predict the emotion of recordings: one JSON line each, in their order.

    [bold]sertool predict model.ckpt recordings/ one.wav > predictions.jsonl[/bold]

    [bold]sertool predict model.ckpt one.wav --explain figures/[/bold]

    [bold]find . -name '*.wav' -print0 | sertool predict model.ckpt - --null[/bold]

    Exit codes: 0 done, 1 done but a file could not be read, 2 wrong usage, 3 cannot start.
    """
    from sertool.core import workers as pool

    pool.single_thread()
    from sertool.commands.predict import Options
    from sertool.evaluation.predictions import FORMATS
    from sertool.formats.outputs import check_output

    common.one_of("--format", format_, FORMATS)
    options = Options(
        only=_classes(only),
        window=window,
        hop=hop,
        fields=tuple(common.key_values("--field", field or [])),
        batch_size=batch_size,
        workers=workers or pool.cores(),
        device=device,
        strict=strict,
        explain=explain,
        replace=force or resume,
    )
    _check_stream(paths, stream, sample_rate, explain)
    with common.console("predict", quiet, verbose, log) as console:
        if output is not None:
            check_output(output, force, resume, [checkpoint, *paths])
            if resume and output.exists():
                console.note(f"{output}: whole already")
                raise typer.Exit(0)
        _run(checkpoint, paths, options, sample_rate, null, stream, format_, output, console)
    raise typer.Exit(console.exit_code)


def _classes(only: str | None) -> tuple[str, ...]:
    from sertool.core.errors import UsageError

    words = tuple(word.strip() for word in (only or "").split(",") if word.strip())
    if only is not None and not words:
        raise UsageError(f"--only {only!r}: names no class")
    return words


def _check_stream(
    paths: list[str], stream: bool, sample_rate: int | None, explain: Path | None
) -> None:
    from sertool.core.errors import UsageError

    if stream and paths != ["-"]:
        raise UsageError("--stream reads sound from standard input: name - and nothing else")
    if stream and explain is not None:
        raise UsageError("--explain draws files: --stream has none")
    if sample_rate is not None and not stream:
        raise UsageError("--sample-rate is the rate of a --stream; files know their own")


def _run(
    checkpoint: Path,
    paths: list[str],
    options: Options,
    sample_rate: int | None,
    null: bool,
    stream: bool,
    format_: str,
    output: Path | None,
    console: Console,
) -> None:
    from sertool.commands.predict import open_checkpoint, predict, predict_stream
    from sertool.commands.recordings import check_arguments, refuse_terminal, sources
    from sertool.evaluation.predictions import formatter

    if stream:
        refuse_terminal("arecord -f S16_LE -r 16000 | sertool predict MODEL.ckpt - --stream")
    else:
        check_arguments(paths)
    predictor: Predictor = open_checkpoint(checkpoint, options)
    if options.explain is not None:
        from sertool.extras import explain

        explain.check(options.explain, paths, options.replace)
    header, text = formatter(format_, predictor.classes, predictor.further)
    with _opened(output) as write:
        write(header)

        def sink(row: dict[str, Any]) -> None:
            write(text(row))

        if stream:
            predict_stream(predictor, sys.stdin.buffer, sample_rate, sink, console)
        else:
            bar = output is not None or not sys.stdout.isatty()
            predict(predictor, sources(paths, null, console), sink, console, bar)


@contextmanager
def _opened(output: Path | None) -> Iterator[Callable[[str], None]]:
    """Yield a function that writes text at once: to standard output, or to a file kept if whole."""

    def writer(file: IO[str]) -> Callable[[str], None]:
        def write(text: str) -> None:
            file.write(text)
            file.flush()

        return write

    if output is None:
        yield writer(sys.stdout)  # as it is now: a progress bar may stand in for it later
        return
    from sertool.formats.outputs import atomic

    with atomic(output) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        yield writer(file)
