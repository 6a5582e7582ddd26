"""report: reports pooled over folds and seeds, next to a paper's tables, or compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sertool.core.errors import UsageError
from sertool.core.options import Argument, Command, Options, RunOptions, destination
from sertool.core.settings import option
from sertool.core.texts import json_text, visible
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.papers.reporting import Comparison
    from sertool.papers.study import Study


FORMATS = ("table", "markdown", "json")


@dataclass(frozen=True)
class ReportOptions(Options):
    """What is put together, and how it is shown."""

    paper: str | None = option(
        None, "Show this paper's published tables beside the results.", metavar="NAME|FILE.toml"
    )
    headlines: bool = option(False, "Only the numbers that the --paper is known for.")
    compare: bool = option(
        False, "Compare two systems, paired by speaker; a single one with its baselines."
    )
    figures: Path | None = destination(None, "Plot the training curves into DIR.", metavar="DIR")
    html: Path | None = destination(
        None, "Write a page to look at in a browser, one file without a network.", metavar="FILE"
    )
    pack: Path | None = destination(
        None,
        "Write the reports into one file, one per line; .xz compresses.",
        metavar="RUNS.jsonl[.xz]",
    )
    round: int | None = destination(
        None, "With --pack: keep N significant digits of posteriors.", metavar="N"
    )
    recount: bool = option(
        False, "Count every figure again from the items; exit 3 where one differs."
    )
    format: str = destination(
        "table", "Format of the output.", choices=("table", "markdown", "json")
    )

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""
        if self.compare and self.paper:
            raise UsageError("--compare: takes reports, and no --paper")
        if self.headlines and not self.paper:
            raise UsageError("--headlines: of which paper? name it with --paper")
        others = self.paper or self.compare or self.figures or self.recount or self.html
        if self.pack is not None and others:
            raise UsageError("--pack: takes reports, and no other option but --round")
        if self.round is not None and (self.pack is None or self.round < 1):
            raise UsageError("--round: a number of digits, with --pack")
        if self.figures is not None and self.compare:
            raise UsageError("--figures: takes reports, and no --compare")


def report(
    reports: Annotated[
        list[Path], Argument("EVAL.json|RUNS.jsonl", "Reports that eval --json wrote.")
    ] = [],  # noqa: B006 (never changed)
    options: ReportOptions = ReportOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> Study | list[Comparison] | None:
    """Return what reports show together, or with `compare` one system against another.

    With `pack` they are only written into one file, and nothing is returned.

    Raises UsageError for options that contradict each other, InputError where a report cannot
    serve, or contradicts another one or its tags.
    """
    from sertool.formats.figures import check_folder
    from sertool.formats.pages import check_page
    from sertool.papers import reporting

    console = console or Console.silent()
    paths = reports or []
    if options.pack is not None:
        if not paths:
            raise UsageError("--pack: name the reports")
        reporting.pack(paths, options.pack, run.force, console, options.round)
        return None
    if options.html is not None:
        check_page(options.html, run.force or run.resume, paths)
    if options.compare:
        if not paths:
            raise UsageError("--compare: takes reports, and no --paper")
        pairs = reporting.compare(paths, console, options.recount)
        if options.html is not None:
            _write_page(pairs, options.html, console)
        return pairs
    if options.figures is not None:
        if not paths:
            raise UsageError("--figures: takes reports, and no --compare")
        check_folder(options.figures, [reporting.FIGURE], run.force or run.resume)
    study = reporting.report(paths, options.paper, console, options.recount)
    if options.figures is not None:
        reporting.draw_figures(study, options.figures, console)
    if options.html is not None:
        _write_page(study, options.html, console)
    return study


def _write_page(found: Study | list[Comparison], path: Path, console: Console) -> None:
    """Write what reports show together as a page."""
    from sertool.commands.retrace import of_file
    from sertool.evaluation import page_sound
    from sertool.papers import web

    if isinstance(found, list):
        page_sound.write(path, web.compared(found), (), (), None, console=console)
    else:
        page, classes, recordings = web.page(found, lambda one: of_file(one.lineage, "report.json"))
        page_sound.write(path, page, classes, recordings, None, console=console)


def _show(found: Study | list[Comparison] | None, options: ReportOptions, console: Console) -> None:
    """Print tables, Markdown or JSON."""
    if found is None:
        return
    from sertool.papers import comparison, headlines, pages, study_json
    from sertool.ui import tables
    from sertool.ui.tables import render

    if isinstance(found, list):
        page, values = comparison.page(found), comparison.json_values(found)
    elif options.headlines:
        page, values = headlines.page(found), {"headlines": headlines.json_values(found)}
    else:
        page = pages.page(found)
        values = study_json.json_values(found) if options.format == "json" else {}
    if options.format == "json":
        print(json_text(values, indent=1))
    elif options.format == "markdown":
        print(visible(tables.markdown(page)), end="")
    else:
        print(render(*tables.terminal(page)))


COMMAND = Command(
    "report",
    report,
    """sertool report out/*.json

    sertool report --paper sundharam out/results/*.json --format markdown

    sertool report --paper sundharam --headlines out/results/*.json

    sertool report --compare cnn.json linear.json

    sertool report out/*.json --figures out/figures/

    sertool report out/*.json --pack runs.jsonl

    sertool report --recount out/results/*.json

    Reports whose tags (eval --tag) are equal except for fold and seed are one system: folds are
    pooled, numbers are means over seeds, and intervals come from a bootstrap over speakers and,
    where there are several, seeds.

    Exit codes: 0 done, 2 wrong usage, 3 a report cannot be used, or contradicts its tags.
    """,
    show=_show,
)
