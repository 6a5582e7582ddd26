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
    from sertool.papers.comparing import Compared
    from sertool.papers.study import Study


FORMATS = ("table", "markdown", "latex", "json")


@dataclass(frozen=True)
class ReportOptions(Options):
    """What is put together, and how it is shown."""

    paper: str | None = option(
        None, "Show this paper's published tables beside the results.", metavar="NAME|FILE.toml"
    )
    headlines: bool = option(False, "Only the numbers that the --paper is known for.")
    compare: bool = option(
        False, "Compare systems, paired by speaker; a single one with its baselines."
    )
    figures: Path | None = destination(
        None, "Plot training curves, or with --compare mean ranks, into DIR.", metavar="DIR"
    )
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
        "table", "Format of the output; latex needs the package booktabs.", choices=FORMATS
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


def report(
    reports: Annotated[
        list[Path], Argument("EVAL.json|RUNS.jsonl", "Reports that eval --json wrote.")
    ] = [],  # noqa: B006 (never changed)
    options: ReportOptions = ReportOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> Study | Compared | None:
    """Return what reports show together, or with `compare` systems against each other.

    With `pack` they are only written into one file, and nothing is returned.

    Raises UsageError for options that contradict each other, InputError where a report cannot
    serve, or contradicts another one or its tags.
    """
    from sertool.formats.figures import check_folder
    from sertool.formats.pages import check_page
    from sertool.papers import comparing, reporting

    console = console or Console.silent()
    paths = reports or []
    for flag in ("pack", "compare", "figures"):
        if getattr(options, flag) and not paths:
            raise UsageError(f"--{flag}: name the reports")
    if options.pack is not None:
        reporting.pack(paths, options.pack, run.force, console, options.round)
        return None
    replace = run.force or run.resume
    if options.html is not None:
        check_page(options.html, replace, paths)
    if options.figures is not None:
        name = comparing.FIGURE if options.compare else reporting.FIGURE
        check_folder(options.figures, [name], replace)
    found: Study | Compared
    if options.compare:
        found = comparing.compare(paths, console, options.recount)
    else:
        found = reporting.report(paths, options.paper, console, options.recount)
    if options.figures is not None:
        _draw(found, options.figures, console)
    if options.html is not None:
        _write_page(found, options.html, console)
    return found


def _draw(found: Study | Compared, folder: Path, console: Console) -> None:
    from sertool.papers import comparing, reporting

    if isinstance(found, comparing.Compared):
        comparing.draw_figure(found, folder, console)
    else:
        reporting.draw_figures(found, folder, console)


def _write_page(found: Study | Compared, path: Path, console: Console) -> None:
    """Write what reports show together as a page."""
    from sertool.commands.retrace import of_file
    from sertool.evaluation import page_sound
    from sertool.papers import comparing, web

    if isinstance(found, comparing.Compared):
        page_sound.write(path, web.compared(found), (), (), None, console=console)
    else:
        page, classes, recordings = web.page(found, lambda one: of_file(one.lineage, "report.json"))
        page_sound.write(path, page, classes, recordings, None, console=console)


def _show(found: Study | Compared | None, options: ReportOptions, console: Console) -> None:
    """Print tables, Markdown or JSON."""
    if found is None:
        return
    from sertool.papers import comparison, headlines, pages, study_json
    from sertool.papers.comparing import Compared
    from sertool.ui import tables
    from sertool.ui.tables import render

    if isinstance(found, Compared):
        page, values = comparison.page(found), comparison.json_values(found)
    elif options.headlines:
        page, values = headlines.page(found), {"headlines": headlines.json_values(found)}
    else:
        page = pages.page(found)
        values = study_json.json_values(found) if options.format == "json" else {}
    if options.format == "json":
        print(json_text(values, indent=1))
    elif options.format in ("markdown", "latex"):
        write = tables.markdown if options.format == "markdown" else tables.latex
        print(visible(write(page)), end="")
    else:
        print(render(*tables.terminal(page)))


COMMAND = Command(
    "report",
    report,
    """sertool report out/*.json

    sertool report --paper sundharam out/results/*.json --format markdown

    sertool report --paper sundharam --headlines out/results/*.json

    sertool report --compare cnn.json linear.json

    sertool report --compare cnn.json linear.json svm.json --figures ranks/ --format latex

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
