"""A report's figures, counted again from its items: without audio, features or a model.

Of its baselines a report keeps no items: their figures rest on counts by speaker alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import UNSET
from msgspec.structs import replace

from sertool.core.errors import InputError
from sertool.evaluation import results
from sertool.evaluation.report import AnyReport, Figures, Report, Scored, to_json
from sertool.items import Item

TOLERANCE = 1e-9  # sums of the same numbers differ by their order, and a processor's


def rounded(report: AnyReport, name: str, digits: int) -> Report:
    """Return a report with posteriors of so many significant digits, and the figures of these.

    Predictions stay as they are. Raises InputError for a report that cannot be counted.
    """
    made = _countable(report, name)
    assert isinstance(made.items, list)
    items = [
        replace(item, posterior={c: float(f"{p:.{digits}g}") for c, p in item.posterior.items()})
        for item in made.items
    ]
    made = replace(made, items=items, sha256=UNSET)
    return replace(made, figures=counted(made))


def check(report: AnyReport, name: str) -> None:
    """Raise InputError where a report's figures are not those of its items, or it has none."""
    made = _countable(report, name)
    wrong = _differing(to_json(counted(made)), to_json(made.figures))
    if wrong:
        raise InputError(f"{name}: {wrong} is not that of its items")


def counted(report: Report) -> Figures:
    """Return every figure of a report's model, from its items.

    What items do not say is kept: how each fold was trained, and what raters voted.
    """
    assert isinstance(report.items, list)
    own, items, classes = report.figures, report.items, report.classes
    place = {name: i for i, name in enumerate(classes)}
    tested = results.Tested(
        classes=classes,
        truth=np.array([place[item.truth] for item in items], np.int64),
        units=[_unit(item) for item in items],
        checkpoint=np.array([item.checkpoint or 0 for item in items], np.int64),
        checkpoints=[fold.checkpoint for fold in own.folds],
    )
    made = results.figures(
        tested,
        np.array([[item.posterior[name] for name in classes] for item in items]),
        np.array([place[item.prediction] for item in items], np.int64),
        level=own.ci.level,
        seed=own.ci.seed or 0,
    )
    folds = [
        replace(fold, n=new.n, metrics=new.metrics)
        for fold, new in zip(own.folds, made.folds, strict=True)
    ]
    return replace(made, folds=folds, votes=own.votes)


def _unit(item: Scored) -> Item:
    return Item(
        item.id,
        corpus=item.corpus or None,
        speaker=item.speaker or None,
        gender=item.gender or None,
    )


def _countable(report: AnyReport, name: str) -> Report:
    """Return a report whose figures follow from its items; InputError for another."""
    if not isinstance(report, Report):
        raise InputError(f"{name}: a report of numbers; only those of classes are counted again")
    if not report.items:
        raise InputError(f"{name}: has no items; eval without --summary keeps them")
    if any(item.checkpoint is UNSET for item in report.items):
        raise InputError(f"{name}: its items do not say who speaks; test again with this sertool")
    return report


def _differing(one: Any, other: Any, place: str = "") -> str | None:
    """Return the first place where JSON values differ; None where they are the same numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        pairs = [(key, one.get(key), other.get(key)) for key in keys]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(one, other, strict=True))]
    else:
        numbers = all(type(value) in (int, float) for value in (one, other))
        same = math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE) if numbers else None
        return None if same or (not numbers and one == other) else place
    found = (_differing(a, b, f"{place}/{key}" if place else key) for key, a, b in pairs)
    return next((wrong for wrong in found if wrong), None)
