"""From truth and posteriors to the figures of a report."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from sertool import metrics
from sertool.evaluation import reliability
from sertool.evaluation.report import ClassFigures, Figures, Fold, Group, Intervals, Mean
from sertool.items import Item

GROUPS = ("speaker", "gender", "corpus")


@dataclass(frozen=True)
class Tested:
    """What was tested, one entry per unit (a file or an item): labels, predictions, checkpoints.

    truth: (n,) indices into `classes`. checkpoint: (n,) indices into `checkpoints`, their names.
    units: `id`, `corpus`, `speaker`, `gender`, each None where unknown.
    """

    classes: list[str]
    truth: np.ndarray
    units: list[Item]
    checkpoint: np.ndarray
    checkpoints: list[str]


def number(value: float) -> float | None:
    """Return a rate as JSON has it: null where it is undefined."""
    return None if math.isnan(value) else float(value)


def group_of(unit: Item, field: str) -> str | None:
    """Return a unit's group; a speaker's is "corpus/speaker", for names are a corpus's own."""
    value = unit.value(field)
    if value in (None, ""):
        return None
    return f"{unit.corpus or ''}/{value}" if field == "speaker" else str(value)


def clusters(units: Sequence[Item]) -> tuple[list[Hashable], str]:
    """Return (the cluster that each unit is drawn with, what a cluster is: "speaker" or "file").

    A unit of unknown speaker is a cluster of its own; clusters are files only if no speaker is
    known at all.
    """
    names: list[Hashable] = []
    known = False
    for i, unit in enumerate(units):
        speaker = group_of(unit, "speaker")
        known = known or speaker is not None
        names.append(i if speaker is None else speaker)
    return names, "speaker" if known else "file"


def figures(
    tested: Tested,
    posterior: np.ndarray,
    predicted: np.ndarray,
    *,
    level: float,
    seed: int,
) -> Figures:
    """Return every figure of one system: model or baseline.

    posterior: (n, classes); predicted: (n,) indices. `ci` holds percentile intervals of a
    bootstrap over speakers, `by` a confusion matrix for each speaker, gender and corpus, `folds`
    each checkpoint on its own units, `mean_of_folds` their mean and sample standard deviation.
    """
    classes, truth = tested.classes, tested.truth
    matrix = metrics.confusion(truth, predicted, len(classes))
    folds = _folds(tested, predicted)
    return Figures(
        metrics=metrics.compute(matrix),
        log_loss=number(metrics.log_loss(truth, posterior)),
        per_class=_per_class(tested, posterior, matrix),
        confusion=matrix.tolist(),
        ci=_intervals(tested, predicted, level, seed),
        by={field: _by(tested, predicted, field) for field in GROUPS},
        folds=folds,
        mean_of_folds=_mean(folds) if len(folds) > 1 else None,
        calibration=reliability.figures(
            truth,
            posterior,
            predicted,
            clusters(tested.units)[0],
            [group_of(unit, "speaker") for unit in tested.units],
            level=level,
            seed=seed,
        ),
    )


def _per_class(
    tested: Tested, posterior: np.ndarray, matrix: np.ndarray
) -> dict[str, ClassFigures]:
    columns = {
        "precision": metrics.precisions(matrix),
        "recall": metrics.recalls(matrix),
        "f1": metrics.f1_scores(matrix),
        "auc": metrics.aucs(tested.truth, posterior),
        "mean_probability": metrics.true_probabilities(tested.truth, posterior),
    }
    support = matrix.sum(1)
    return {
        name: ClassFigures(
            support=int(support[i]),
            **{key: number(float(column[i])) for key, column in columns.items()},
        )
        for i, name in enumerate(tested.classes)
    }


def _intervals(tested: Tested, predicted: np.ndarray, level: float, seed: int) -> Intervals:
    names, unit = clusters(tested.units)
    limits = metrics.bootstrap_tests(
        tested.truth, predicted, names, len(tested.classes), level, seed=seed
    )
    return Intervals(
        level=level,
        unit=unit,
        n_units=len(set(names)),
        resamples=metrics.RESAMPLES,
        seed=seed,
        limits={name: (number(low), number(high)) for name, (low, high) in limits.items()},
    )


def _by(tested: Tested, predicted: np.ndarray, field: str) -> dict[str, Group]:
    """One entry per value of `field`, sorted; units of unknown value are left out."""
    members: dict[str, list[int]] = {}
    for i, unit in enumerate(tested.units):
        if (group := group_of(unit, field)) is not None:
            members.setdefault(group, []).append(i)
    made = {}
    for name, at in sorted(members.items()):
        matrix = metrics.confusion(tested.truth[at], predicted[at], len(tested.classes))
        made[name] = Group(
            n=len(at),
            accuracy=float(metrics.accuracy(matrix)),
            uar=float(metrics.uar(matrix)),
            confusion=matrix.tolist(),
        )
    return made


def _folds(tested: Tested, predicted: np.ndarray) -> list[Fold]:
    folds = []
    for i, name in enumerate(tested.checkpoints):
        mine = tested.checkpoint == i
        matrix = metrics.confusion(tested.truth[mine], predicted[mine], len(tested.classes))
        folds.append(Fold(checkpoint=name, n=int(mine.sum()), metrics=metrics.compute(matrix)))
    return folds


def _mean(folds: Sequence[Fold]) -> Mean:
    values = {name: np.array([f.metrics[name] for f in folds], float) for name in metrics.known()}
    return Mean(
        metrics={name: number(float(column.mean())) for name, column in values.items()},
        sd={name: number(float(column.std(ddof=1))) for name, column in values.items()},
        n=len(folds),
    )
