"""Tests of predicted numbers: from truths and predictions to the figures of a report."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from sertool import metrics, regression
from sertool.evaluation.report import (
    Fold,
    Intervals,
    NumberFigures,
    NumberGroup,
    ScoredNumbers,
    TargetFigures,
)
from sertool.evaluation.results import GROUPS, clusters, group_of, number
from sertool.items import Item


@dataclass(frozen=True)
class Tested:
    """What was tested, one entry per unit (a file or an item): true numbers, and checkpoints.

    fields: of the numbers. truth: (n, fields). checkpoint: (n,) indices into `checkpoints`, their
    names. units: `id`, `corpus`, `speaker`, `gender`, each None where unknown.
    """

    fields: list[str]
    truth: np.ndarray
    units: list[Item]
    checkpoint: np.ndarray
    checkpoints: list[str]


def figures(tested: Tested, found: np.ndarray, *, level: float, seed: int) -> NumberFigures:
    """Return every figure of one system, model or baseline, of its numbers (n, fields).

    Intervals are percentiles of a bootstrap over speakers (see `metrics.resample`), `by` the sums
    of each speaker, gender and corpus, `folds` each checkpoint on its own units.
    """
    names, unit = clusters(tested.units)
    order, sums = by_cluster(tested.truth, found, names)
    limits = _limits(sums, level, seed)
    total = regression.sums(tested.truth, found)
    return NumberFigures(
        targets={
            field: TargetFigures(
                n=len(tested.units),
                **regression.compute(total[i]),
                ci=limits[i],
                sums=total[i].tolist(),
            )
            for i, field in enumerate(tested.fields)
        },
        ci=Intervals(
            level=level, unit=unit, n_units=len(order), resamples=metrics.RESAMPLES, seed=seed
        ),
        by={field: _by(tested, found, field) for field in GROUPS},
        folds=_folds(tested, found),
    )


def by_cluster(
    truth: np.ndarray, found: np.ndarray, names: Sequence[Hashable]
) -> tuple[list[Hashable], np.ndarray]:
    """Return (names by first sight, sums (clusters, fields, 7))."""
    places: dict[Hashable, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    rows = [regression.sums(truth[at], found[at]) for at in places.values()]
    empty = np.zeros((0, truth.shape[1], regression.SUMS))
    return list(places), np.stack(rows) if rows else empty


def _limits(
    sums: np.ndarray, level: float, seed: int
) -> list[dict[str, tuple[float | None, float | None]]]:
    """Return the interval of every measure of each target from sums (clusters, fields, 7)."""
    if len(sums) < metrics.FEWEST:
        return [dict.fromkeys(regression.MEASURES, (None, None)) for _ in range(sums.shape[1])]
    computed = {name: measure.compute for name, measure in regression.MEASURES.items()}
    drawn = metrics.resample(sums[:, None], computed, seed=seed)  # (resamples, 1, fields) each
    found = []
    for i in range(sums.shape[1]):
        pairs = {name: metrics.limits(rows[:, 0, i], level) for name, rows in drawn.items()}
        found.append({name: (number(low), number(high)) for name, (low, high) in pairs.items()})
    return found


def _by(tested: Tested, found: np.ndarray, field: str) -> dict[str, NumberGroup]:
    """Return one entry per value of `field`, sorted; units of unknown value are left out."""
    groups = [group_of(unit, field) for unit in tested.units]
    known = np.array([group is not None for group in groups], bool)
    names, sums = by_cluster(
        tested.truth[known], found[known], [group for group in groups if group is not None]
    )
    rows = sorted(zip(map(str, names), sums, strict=True), key=lambda row: row[0])
    return {
        name: NumberGroup(
            n=int(own[0, 0]),
            ccc={f: number(float(regression.ccc(own[i]))) for i, f in enumerate(tested.fields)},
            sums={f: own[i].tolist() for i, f in enumerate(tested.fields)},
        )
        for name, own in rows
    }


def _folds(tested: Tested, found: np.ndarray) -> list[Fold]:
    made = []
    for i, name in enumerate(tested.checkpoints):
        mine = tested.checkpoint == i
        each = regression.ccc(regression.sums(tested.truth[mine], found[mine]))
        made.append(
            Fold(checkpoint=name, n=int(mine.sum()), metrics={"ccc": number(float(each.mean()))})
        )
    return made


def scored(tested: Tested, found: np.ndarray) -> list[ScoredNumbers]:
    """Return every tested unit with what is true and what was said."""
    return [
        ScoredNumbers(
            id=unit.id,
            truth=dict(zip(tested.fields, truth.tolist(), strict=True)),
            prediction=dict(zip(tested.fields, said.tolist(), strict=True)),
        )
        for unit, truth, said in zip(tested.units, tested.truth, found, strict=True)
    ]
