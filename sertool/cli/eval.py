"""`sertool eval`: what a checkpoint makes of what it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import common

if TYPE_CHECKING:
    from sertool.commands.evaluate import Options

TESTED = "What is tested"
OUTPUT = "Output"


def command(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT...", readable=False, help="Several are folds, pooled."),
    ],
    store: Annotated[
        Path, typer.Argument(metavar="STORE", readable=False, help="The store with the test items.")
    ],
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Test every item (another corpus), not those held out.",
            rich_help_panel=TESTED,
        ),
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="EXPR",
            help="Test only what fulfils it, such as gender=female; may be repeated.",
            rich_help_panel=TESTED,
        ),
    ] = None,
    copies: Annotated[
        bool,
        typer.Option("--copies", help="Test augmented copies too.", rich_help_panel=TESTED),
    ] = False,
    by: Annotated[
        str,
        typer.Option("--by", help="What counts: file or item (segment).", rich_help_panel=TESTED),
    ] = "file",
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            help="Segments of a file become one by mean, max or vote.",
            rich_help_panel=TESTED,
        ),
    ] = "mean",
    noise_snr: Annotated[
        float | None,
        typer.Option(
            "--noise-snr",
            metavar="DB",
            help="White noise on the decoded recordings, at this signal-to-noise ratio.",
            rich_help_panel=TESTED,
        ),
    ] = None,
    channel_rate: Annotated[
        int | None,
        typer.Option(
            "--channel-rate",
            metavar="HZ",
            help="Recordings through a channel of this sample rate.",
            rich_help_panel=TESTED,
        ),
    ] = None,
    choose: Annotated[
        bool,
        typer.Option(
            "--choose",
            help="Of the models of train --per, take the chooser's, whatever the store says.",
            rich_help_panel=TESTED,
        ),
    ] = False,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="FACT,...",
            help="Stop (exit 3) unless speaker-disjoint, origin-disjoint, … holds.",
            rich_help_panel=TESTED,
        ),
    ] = None,
    ci: Annotated[
        float, typer.Option("--ci", help="Level of the intervals, bootstrapped over speakers.")
    ] = 0.95,
    json_: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write the report; - prints it instead of the tables.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="Leave the items out of it.", rich_help_panel=OUTPUT),
    ] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag", metavar="KEY=VALUE", help="Kept in the report.", rich_help_panel=OUTPUT
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            metavar="DIR",
            help="Draw figures into this folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Items scored at a time.")
    ] = 64,
    seed: common.Seed = 0,
    force: common.Force = False,
    resume: common.Resume = False,
    workers: common.Workers = 1,
    log: common.Log = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Test checkpoints on the items that they held out, beside their baselines.

    [bold]sertool eval model.ckpt features.h5 --json report.json --figures figures/[/bold]

    [bold]sertool eval model.0.ckpt model.1.ckpt features.h5 --require speaker-disjoint[/bold]

    Exit codes: 0 done, 2 wrong usage, 3 cannot test, or a required fact does not hold.
    """
    from sertool.core.workers import single_thread

    single_thread()
    from sertool.commands.evaluate import Options

    options = Options(
        every=every,
        where=tuple(where or ()),
        by=by,
        pool=pool,
        copies=copies,
        ci=ci,
        summary=summary,
        tags=dict(sorted(common.key_values("--tag", tag or []))),
        require=tuple(n.strip().replace("-", "_") for r in require or [] for n in r.split(",")),
        noise_snr=noise_snr,
        channel_rate=channel_rate,
        choose=choose,
        device=device,
        batch_size=batch_size,
        seed=seed,
    )
    with common.console("eval", quiet, verbose, log) as console:
        _run(checkpoints, store, options, json_, figures, force, resume, console)
    raise typer.Exit(console.exit_code)


def _run(
    checkpoints: list[Path],
    store: Path,
    options: Options,
    json_: str | None,
    figures: Path | None,
    force: bool,
    resume: bool,
    console: Any,
) -> None:
    """Check the outputs, test, write, and print."""
    import sys

    from sertool.commands.evaluate import FIGURES, evaluate
    from sertool.evaluation import results
    from sertool.formats.figures import check_folder
    from sertool.formats.outputs import atomic, check_output

    target = Path(json_) if json_ not in (None, "-") else None
    if target is not None:
        check_output(target, force, resume, [*checkpoints, store])
    if figures is not None:
        check_folder(figures, FIGURES, force or resume)
    report = evaluate(checkpoints, store, options, console, target if resume else None)
    text = results.dumps(report)
    if target is not None:
        with atomic(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if json_ == "-":
        sys.stdout.write(text)
    if json_ != "-" or not console.quiet:
        _print_tables(report, sys.stderr if json_ == "-" else sys.stdout)
    if figures is not None:
        from sertool.evaluation.figures import draw

        for path in draw(report, figures):
            console.note(f"{path}")
    if target is not None:
        console.note(f"{target}: the report")


def _print_tables(report: dict[str, Any], file: Any) -> None:
    """Print the tables; a pipe gets them without colour, and no line ends in spaces."""
    from rich.console import Console

    from sertool.evaluation.terminal import render

    console = Console(file=file, highlight=False)
    with console.capture() as captured:
        console.print(render(report, console.width))
    file.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")
    file.flush()
