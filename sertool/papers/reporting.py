"""Reports pooled over folds and seeds, next to a paper's tables, or compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.evaluation import measures, pooling, recount
from sertool.evaluation.measures import Difference, Value
from sertool.evaluation.pooling import Pooled, Result
from sertool.evaluation.report import EncoderUsed, dumps, load, packed, parse
from sertool.formats.outputs import atomic, check_output
from sertool.models import NUMBER_BASELINES
from sertool.papers.papers import paper
from sertool.papers.study import BASELINES, Study, study
from sertool.ui.console import Console
from sertool.ui.words import plural

FIGURE = "curves.png"


@dataclass(frozen=True)
class Beside:
    """One metric of two systems, and its difference."""

    left: Value | None
    right: Value | None
    gap: Difference | None


@dataclass(frozen=True)
class Comparison:
    """Two systems tested alike: their names, each metric of both, and their encoders,
    which are said once of a system beside its own baseline."""

    left: str
    right: str
    figures: dict[str, Beside]
    n_speakers: int
    n_tested: int
    encoders: tuple[list[EncoderUsed], list[EncoderUsed]]


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
    results = pooling.load(paths)
    if again:
        recount_all(results, console)
    made = study(results, known)
    for system in made.systems:
        for run in system.runs.values():
            _warn(run, console)
    return made


def recount_all(results: Sequence[Result], console: Console) -> None:
    """Raise InputError where a figure is not that of its report's items; note how many were."""
    for each in results:
        recount.check(each.report, each.name)
    items = sum(each.report.figures.n for each in results)
    reports = f"{plural(len(results), 'report')} of {plural(items, 'item')}"
    console.note(f"counted again: {reports}; the figures are theirs")


def _warn(run: Pooled, console: Console) -> None:
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
    kept = [raw for _, raw in rows]
    if digits is not None:
        made = [recount.rounded(report, name, digits) for name, report in found]
        kept = [json.loads(dumps(report)) for report in made]
    with atomic(target) as temporary:
        temporary.write_bytes(packed(kept, target))
    console.note(f"{show(target)}: {len(rows)} reports")


def compare(paths: Sequence[Path], console: Console, again: bool = False) -> list[Comparison]:
    """Return the first system against the second, or one alone against each of its baselines.

    Two files of one seed and fold are two systems; others are pooled by their tags. The bootstrap
    is paired: the same speakers and seeds are drawn for both. A system of a single run, as one that
    draws nothing at random, stands beside every seed of the other. Raises UsageError for another
    number of systems, InputError where they were not tested on the same recordings.
    """
    results = pooling.load(paths)
    if again:
        recount_all(results, console)
    pairs = len(results) == 2 and results[0].seed == results[1].seed
    alone = pairs and results[0].fold == results[1].fold
    groups = [[r] for r in results] if alone else pooling.group(results)
    found = [pooling.pool(group) for group in groups]
    for run in found:
        _warn(run, console)
    names = _names(found)
    if len(found) == 1:
        run = found[0]
        mine = [
            n
            for n in (*BASELINES, *NUMBER_BASELINES)
            if n in run.baselines and n != run.made.get("model")
        ]
        if not mine:
            raise UsageError(
                "--compare: a single system without baselines has nothing to compare with"
            )
        return [_compared(run, pooling.baseline(run, n), names[0], n) for n in mine]
    if len(found) != 2:
        listed = "; ".join(names)
        raise UsageError(f"--compare: needs two systems, not {len(found)}: {listed}")
    if names[0] == names[1]:
        names = [results[0].name, results[1].name]
    if found[0].votes and found[1].votes and not measures.same_votes(*found):
        console.warn("their votes are not of the same tests, so these are not compared")
    return [_compared(found[0], found[1], *names)]


def _names(runs: Sequence[Pooled]) -> list[str]:
    """Return what distinguishes systems: their tags that differ, else their models."""
    keys = dict.fromkeys(key for run in runs for key in run.values)
    differing = [key for key in keys if len({run.values.get(key) for run in runs}) > 1]
    names = [" ".join(v for key in differing if (v := run.values.get(key))) for run in runs]
    return [name or run.made["model"] or "model" for name, run in zip(names, runs, strict=True)]


def _compared(left: Pooled, right: Pooled, left_name: str, right_name: str) -> Comparison:
    reason = measures.alike(left, right) or _untestable(left, right)
    if reason:
        raise InputError(f"cannot compare {left_name} with {right_name}: {reason}")
    figures = measures.overall(left)
    if left.votes and not measures.same_votes(left, right):
        figures = [figure for figure in figures if figure["measure"] not in measures.OF_VOTES]
    rows = zip(
        measures.values(left, figures),
        measures.values(right, figures),
        measures.differences(left, right, figures),
        strict=True,
    )
    return Comparison(
        left_name,
        right_name,
        {measures.name_of(f): Beside(*row) for f, row in zip(figures, rows, strict=True)},
        len(left.clusters),
        int(left.tested[:, 0].sum()),
        (pooling.encoders(left), pooling.encoders(right)),
    )


def _untestable(left: Pooled, right: Pooled) -> str | None:
    """Return why two systems of the same speakers are not a pair; None where they are one."""
    counts = sorted((len(left.seeds), len(right.seeds)))
    if left.seeds != right.seeds and not counts[0] == 1 < counts[1]:
        return f"one has the seeds {', '.join(left.seeds)}, the other {', '.join(right.seeds)}"
    order = [right.clusters.index(name) for name in left.clusters]
    if not np.allclose(left.truth, right.truth[order], rtol=1e-9, atol=1e-9):
        return "they were not tested on the same recordings"
    return None
