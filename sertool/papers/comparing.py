"""Systems compared with each other, two by two, on the recordings that all were tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from sertool import metrics
from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.evaluation import measures, pooling
from sertool.evaluation.measures import Difference, Figure, Value
from sertool.evaluation.pooling import Pooled
from sertool.evaluation.report import EncoderUsed
from sertool.models import NUMBER_BASELINES
from sertool.papers.ranking import ALPHA, Effect, Ranking, effect, holm, primary, ranking
from sertool.papers.reporting import recount_all, warn
from sertool.papers.study import BASELINES
from sertool.ui.console import Console

FIGURE = "critical-difference.png"


@dataclass(frozen=True)
class Beside:
    """One figure of two systems, its difference, how large that is beside the speakers' spread,
    and its p-value corrected for the number of pairs (`p` itself where there is one)."""

    left: Value | None
    right: Value | None
    gap: Difference | None
    effect: Effect | None = None
    corrected: float | None = None

    def turned(self) -> Beside:
        """Return the same with the other system first."""
        gap, effect = self.gap, self.effect
        if gap is not None:
            ci = gap.ci and (-gap.ci[1], -gap.ci[0])
            gap = replace(gap, value=-gap.value, ci=ci)
        if effect is not None:
            d = None if effect.d is None else -effect.d
            effect = replace(effect, d=d, wins=effect.losses, losses=effect.wins)
        return replace(self, left=self.right, right=self.left, gap=gap, effect=effect)


@dataclass(frozen=True)
class Comparison:
    """Two systems tested alike: their names, each figure of both, and their encoders, which are
    said once of a system beside its own baseline."""

    left: str
    right: str
    figures: dict[str, Beside]
    n_speakers: int
    n_tested: int
    encoders: tuple[list[EncoderUsed], list[EncoderUsed]]


@dataclass(frozen=True)
class Compared:
    """Every pair of systems, and the ranks of three or more by the `main` figure.

    systems: {name: its main figure}; one system alone is paired with its own baselines.
    """

    systems: dict[str, Value | None]
    main: Figure
    pairs: list[Comparison]
    ranking: Ranking | None = None


def compare(paths: Sequence[Path], console: Console, again: bool = False) -> Compared:
    """Return each system against each other, or one alone against each of its baselines.

    Two files or more of one seed and fold are as many systems; others are pooled by their tags.
    The bootstrap is paired: the same speakers and seeds are drawn for both. A system of a single
    run, as one that draws nothing at random, stands beside every seed of another.

    Raises UsageError for one system without baselines, InputError where two were not tested on the
    same recordings.
    """
    results = pooling.load(paths, console.warn)
    if again:
        recount_all(results, console)
    one_run = len({(each.seed, each.fold) for each in results}) == 1
    groups = [[each] for each in results] if one_run else pooling.group(results)
    found = [pooling.pool(group) for group in groups]
    for run in found:
        warn(run, console)
    names = _names(found)
    if len(found) == 1:
        return _with_baselines(found[0], names[0])
    if len(set(names)) < len(names):
        names = [group[0].name for group in groups]
    voted = [run for run in found if run.votes]
    if any(not measures.same_votes(*two) for two in combinations(voted, 2)):
        console.warn("their votes are not of the same tests, so these are not compared")
    pairs = [
        _compared(found[i], found[j], names[i], names[j])
        for i, j in combinations(range(len(found)), 2)
    ]
    if len(pairs) / metrics.RESAMPLES >= ALPHA:
        console.warn(
            f"{len(pairs)} pairs: no p from {metrics.RESAMPLES} draws is below {ALPHA:g} when"
            " corrected for so many; compare fewer systems"
        )
    main = primary(measures.overall(found[0]))
    systems = {n: measures.values(run, [main])[0] for n, run in zip(names, found, strict=True)}
    pairs = _corrected(pairs)
    return Compared(systems, main, pairs, _ranked(found, names, main, pairs))


def draw_figure(found: Compared, folder: Path, console: Console) -> None:
    """Draw mean ranks into `folder`, made if it is missing; note what was written.

    Warns of two systems, which have none.
    """
    from sertool.papers.rank_figures import draw

    if found.ranking is None:
        console.warn("mean ranks are those of three systems or more: no figure")
        return
    draw(found.systems, found.ranking, folder / FIGURE)
    console.note(show(folder / FIGURE))


def _with_baselines(run: Pooled, name: str) -> Compared:
    known = (*BASELINES, *NUMBER_BASELINES)
    mine = [n for n in known if n in run.baselines and n != run.made.get("model")]
    if not mine:
        raise UsageError("--compare: a single system without baselines has nothing to compare with")
    pairs = [_compared(run, pooling.baseline(run, n), name, n) for n in mine]
    main = primary(measures.overall(run))
    others = {n: pairs[i].figures[measures.name_of(main)].right for i, n in enumerate(mine)}
    return Compared({name: measures.values(run, [main])[0], **others}, main, _corrected(pairs))


def _corrected(pairs: Sequence[Comparison]) -> list[Comparison]:
    """Return the pairs, the p-values of each figure corrected for the number of them."""
    figures = [dict(pair.figures) for pair in pairs]
    for name in dict.fromkeys(name for pair in pairs for name in pair.figures):
        known = {
            i: beside.gap.p
            for i, own in enumerate(figures)
            if (beside := own.get(name)) and beside.gap and beside.gap.p is not None
        }
        for i, p in zip(known, holm(list(known.values())), strict=True):
            figures[i][name] = replace(figures[i][name], corrected=p)
    return [replace(pair, figures=own) for pair, own in zip(pairs, figures, strict=True)]


def _ranked(
    runs: Sequence[Pooled], names: Sequence[str], main: Figure, pairs: Sequence[Comparison]
) -> Ranking | None:
    """Return the ranks of three systems or more, and which of them are not told apart."""
    if len(runs) < 3:
        return None
    apart = np.zeros((len(runs), len(runs)), bool)
    for pair in pairs:
        p = pair.figures[measures.name_of(main)].corrected
        i, j = names.index(pair.left), names.index(pair.right)
        apart[i, j] = apart[j, i] = p is not None and p < ALPHA
    return ranking(runs, main, apart)


def _names(runs: Sequence[Pooled]) -> list[str]:
    """Return what distinguishes systems: their tags and models that differ, else what else does.

    What follows from one of the others, as the kind of features from a tag of theirs, is left out.
    """
    keys = dict.fromkeys(key for run in runs for key in run.values)
    columns = {key: [run.values.get(key, "") for run in runs] for key in keys}
    tags = {key for run in runs for key in run.tags}
    kept: list[str] = []
    for key in sorted(keys, key=lambda key: (key not in tags, key != "model")):
        differs = len(set(columns[key])) > 1
        follows = any(_follows(columns[key], columns[other]) for other in kept)
        if differs and (key in tags or key == "model" or not follows):
            kept.append(key)
    shown = [key for key in keys if key in kept]
    names = [" ".join(filter(None, (columns[key][i] for key in shown))) for i in range(len(runs))]
    return [name or run.made["model"] or "model" for name, run in zip(names, runs, strict=True)]


def _follows(values: Sequence[str], given: Sequence[str]) -> bool:
    """Return whether equal values of `given` always come with equal `values`."""
    return len(set(zip(given, values, strict=True))) == len(set(given))


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
        {
            measures.name_of(f): Beside(*row, effect(left, right, f))
            for f, row in zip(figures, rows, strict=True)
        },
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
