"""eval: test checkpoints on the items that they held out, and report the results."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sertool.core.errors import UsageError
from sertool.core.options import Argument, Command, Options, RunOptions, destination, nested
from sertool.evaluation.options import EvalOptions, PageOptions
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.evaluation.report import AnyReport


@dataclass(frozen=True)
class EvalOutputs(Options):
    """What `eval` tests, and where its report and figures go."""

    test: EvalOptions = nested(EvalOptions)
    json: str | None = destination(
        None, "Write the report; - prints it instead of the tables.", metavar="FILE"
    )
    figures: Path | None = destination(None, "Draw figures into this folder.", metavar="DIR")
    page: PageOptions = nested(PageOptions)
    cost: tuple[Path, ...] = destination(
        (),
        "Keep in the report how many CPU seconds stages took by this log of theirs (--log), and"
        " scoring; repeatable.",
        metavar="LOG",
    )

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""
        if self.page.audio is not None and self.test.summary:
            raise UsageError("--audio: is of the items, which --summary leaves out")


def evaluate(
    checkpoints: Annotated[
        list[Path], Argument("CHECKPOINT", "Checkpoints; several are pooled as folds.")
    ],
    store: Annotated[Path, Argument("STORE", "The store with the test items.")],
    options: EvalOutputs = EvalOutputs(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> AnyReport:
    """Test checkpoints, write the report and its figures where asked for, and return it.

    Raises UsageError for options that make no sense together, InputError where checkpoints and
    store do not belong together, nothing is held out, or a required fact does not hold.
    """
    from sertool.evaluation import testing
    from sertool.evaluation.report import write
    from sertool.formats.figures import check_folder
    from sertool.formats.outputs import atomic, check_output
    from sertool.formats.pages import check_page

    console = console or Console.silent()
    target = Path(options.json) if options.json not in (None, "-") else None
    if target is not None:
        check_output(target, run.force, run.resume, [*checkpoints, store])
    if options.figures is not None:
        check_folder(options.figures, testing.FIGURES, run.force or run.resume)
    page = options.page
    if page.html is not None:
        replace, given = run.force or run.resume, [*checkpoints, store]
        check_page(page.html, replace, given, page.beside)
    finished = target if run.resume and not run.force else None
    report = testing.evaluate(checkpoints, store, options.test, console, finished, options.cost)
    if target is not None:
        with atomic(target) as temporary:
            write(report, temporary)
    if options.figures is not None:
        from sertool.evaluation.figures import draw

        for path in draw(report, options.figures, keep=run.resume and not run.force):
            console.note(f"{path}")
    if page.html is not None:
        _write_page(report, store, page.html, page.audio, console)
    if target is not None:
        console.note(f"{target}: the report")
    return report


def _write_page(
    report: AnyReport, store: Path, path: Path, audio: str | None, console: Console
) -> None:
    """Write the report as a page, with the sound of its items where that is asked for."""
    from sertool.commands.retrace import of_file
    from sertool.evaluation import page as pages
    from sertool.evaluation import page_sound
    from sertool.evaluation.report import Report
    from sertool.ui.page.document import Page

    listed = pages.listed(report)
    places = page_sound.of_store(store) if audio is not None else {}
    parts = pages.sections(report, of_file(report.lineage, "report.json"), pages.sound_said(audio))
    page_sound.write(
        path,
        Page(pages.title(report), pages.about(report), parts),
        report.classes if isinstance(report, Report) else (),
        listed,
        audio,
        lambda i: page_sound.of_item(places, listed[i].id),
        console=console,
    )


def _show(report: AnyReport, options: EvalOutputs, console: Console) -> None:
    """Print the tables, or the report with the tables on standard error."""
    from rich.console import Console as RichConsole

    from sertool.evaluation.report import dumps
    from sertool.evaluation.terminal import render
    from sertool.ui.tables import steadied

    file = sys.stdout
    if options.json == "-":
        sys.stdout.write(dumps(report))
        if console.quiet:
            return
        file = sys.stderr
    rich = RichConsole(file=file, highlight=False)
    steadied(rich)
    with rich.capture() as captured:
        rich.print(render(report, rich.width))
    # in a pipe, no line ends in spaces
    file.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")
    file.flush()


COMMAND = Command(
    "eval",
    evaluate,
    """sertool eval model.ckpt features.h5 --json report.json --figures figures/

    sertool eval model.0.ckpt model.1.ckpt features.h5 --require speaker-disjoint

    Exit codes: 0 done, 2 wrong usage, 3 cannot test, or a required fact does not hold.
    """,
    show=_show,
)
