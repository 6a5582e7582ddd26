"""Reports pooled over folds and seeds, next to a paper's tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sertool.core.errors import UsageError
from sertool.core.paths import show
from sertool.evaluation import pooling, recount
from sertool.evaluation.pooling import Pooled, Result
from sertool.evaluation.report import doubt, dumps, load, packed, parse
from sertool.formats.outputs import atomic, check_output
from sertool.papers.papers import paper
from sertool.papers.study import Study, study
from sertool.ui.console import Console
from sertool.ui.words import plural

FIGURE = "curves.png"


def report(
    paths: Sequence[Path], paper_name: str | None, console: Console, again: bool = False
) -> Study:
    """Return what reports say together; `paper_name` sets a paper's numbers beside.

    again: count every figure again from the items. Raises UsageError for no report and no paper,
    InputError where a report is none or contradicts its items, another one, or the protocol that it
    is tagged for.
    """
    known = paper(paper_name) if paper_name else None
    if not paths and known is None:
        raise UsageError("name a report of eval --json, or a paper with --paper")
    results = pooling.load(paths, console.warn)
    if again:
        recount_all(results, console)
    made = study(results, known)
    for system in made.systems:
        for run in system.runs.values():
            warn(run, console)
    return made


def recount_all(results: Sequence[Result], console: Console) -> None:
    """Raise InputError where a figure is not that of its report's items; note how many were."""
    for each in results:
        recount.check(each.report, each.name)
    items = sum(each.report.figures.n for each in results)
    reports = f"{plural(len(results), 'report')} of {plural(items, 'item')}"
    console.note(f"counted again: {reports}; the figures are theirs")


def warn(run: Pooled, console: Console) -> None:
    """Warn of a system whose seeds have different folds, or whose runs were trained otherwise."""
    name = " ".join(f"{key}={value}" for key, value in run.tags.items()) or "untagged reports"
    if len({tuple(folds) for folds in run.folds}) > 1:
        console.warn(f"{name}: its seeds have different folds")
    differing = pooling.differences(run)
    if differing:
        console.warn(f"{name}: pooled, though trained with different {', '.join(differing)}")


def draw_figures(made: Study, folder: Path, console: Console) -> None:
    """Plot the training curves into `folder`, made if it is missing; note what was written.

    Warns where no report knows it: a model fitted whole, or a report of an older sertool.
    """
    from sertool.papers.curve_figures import draw

    if draw(made, folder / FIGURE):
        console.note(show(folder / FIGURE))
    else:
        console.warn("no report has training curves: no figure")


def pack(
    paths: Sequence[Path], target: Path, force: bool, console: Console, digits: int | None = None
) -> None:
    """Write the reports of files into one file of JSON Lines, whole or not at all.

    `target` may be one of `paths`: what it held stays, and the others follow. digits: significant
    ones of posteriors, of which the figures are then counted; None for all.
    """
    check_output(target, force, among=True)
    rows = [(name, raw) for path in paths for name, raw in load(path)]
    found = [(name, parse(raw, name)) for name, raw in rows]
    doubt(found, console.warn)
    kept = [raw for _, raw in rows]
    if digits is not None:
        made = [recount.rounded(report, name, digits) for name, report in found]
        kept = [json.loads(dumps(report)) for report in made]
    with atomic(target) as temporary:
        temporary.write_bytes(packed(kept, target))
    console.note(f"{show(target)}: {len(rows)} reports")
