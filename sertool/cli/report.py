"""`sertool report`: reports together, beside a paper's tables, or one against another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sertool.cli import common

FORMATS = ("table", "markdown", "json")


def command(
    reports: Annotated[
        list[Path] | None,
        typer.Argument(metavar="EVAL.json...", readable=False, help="Reports of eval --json."),
    ] = None,
    paper: Annotated[
        str | None,
        typer.Option(
            "--paper", metavar="NAME|FILE.toml", help="Beside this paper's published tables."
        ),
    ] = None,
    headlines: Annotated[
        bool,
        typer.Option("--headlines", help="Of the paper, only the numbers that it is known for."),
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Two systems, paired by speaker; one: with its baselines."),
    ] = False,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="Draw how each training went into DIR."),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="table, markdown or json.")] = "table",
    force: common.Force = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Pool folds and seeds, set a paper's table beside, compare two systems.

    [bold]sertool report out/*.json[/bold]

    [bold]sertool report --paper sundharam out/results/*.json --format markdown[/bold]

    [bold]sertool report --paper sundharam --headlines out/results/*.json[/bold]

    [bold]sertool report --compare cnn.json linear.json[/bold]

    [bold]sertool report out/*.json --figures out/figures/[/bold]

    Reports that are equal in all tags (eval --tag) but fold and seed are one system: folds are
    pooled, figures are means over seeds, and intervals come from a bootstrap over speakers.

    Exit codes: 0 done, 2 wrong usage, 3 a report cannot serve, or contradicts its tags.
    """
    import json

    common.one_of("--format", format_, FORMATS)
    from sertool.commands.report import FIGURE, draw_figures, report
    from sertool.commands.report import compare as compared
    from sertool.core.errors import UsageError
    from sertool.formats.figures import check_folder
    from sertool.papers import comparison, pages, study_json
    from sertool.papers import headlines as known_for
    from sertool.ui import blocks
    from sertool.ui.tables import render

    if compare and (paper or not reports):
        raise UsageError("--compare: takes reports, and no --paper")
    if headlines and not paper:
        raise UsageError("--headlines: of which paper? name it with --paper")
    if figures is not None and (compare or not reports):
        raise UsageError("--figures: takes reports, and no --compare")
    with common.console("report", quiet, verbose, None) as console:
        if compare:
            pairs = compared(reports or [], console)
            page, values = comparison.page(pairs), comparison.json_values(pairs)
        else:
            if figures is not None:
                check_folder(figures, [FIGURE], force)
            study = report(reports or [], paper, console)
            page = [known_for.grid(study)] if headlines else pages.page(study)
            values = {}
            if format_ == "json":
                values = study_json.json_values(study)
                if headlines:
                    values = {"headlines": known_for.json_values(study)}
            if figures is not None:
                draw_figures(study, figures, console)
    if format_ == "json":
        print(json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1))
    elif format_ == "markdown":
        print(blocks.markdown(page), end="")
    else:
        print(render(*blocks.terminal(page)))
