"""What is shown of a report of more classes than a table or figure has room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sertool.evaluation.report import Report

MOST = 60  # classes that a matrix, a row or a bar each is shown of
WORST = 20  # classes, or pairs of classes, listed where there are more


@dataclass(frozen=True)
class Mistake:
    """So many tests of one class in which another was said, and their share of the class."""

    truth: int
    said: int
    n: int
    share: float


def crowded(classes: Sequence[str]) -> bool:
    """Return whether there are more classes than are shown one by one."""
    return len(classes) > MOST


def mistakes(confusion: Sequence[Sequence[int]]) -> list[Mistake]:
    """Return the `WORST` most frequent mistakes, of equal ones the larger share of its row."""
    counts = np.array(confusion, np.int64)
    totals = counts.sum(1)
    np.fill_diagonal(counts, 0)
    truths, said = np.nonzero(counts)
    n = counts[truths, said]
    shares = n / totals[truths]
    order = np.lexsort((said, truths, -shares, -n))[:WORST]
    rows = zip(*(column[order].tolist() for column in (truths, said, n, shares)), strict=True)
    return [Mistake(*row) for row in rows]


def worst(report: Report) -> list[str]:
    """Return the tested classes by their recall, the lowest first, as in the report where equal."""
    rows = report.figures.per_class
    tested = [name for name in report.classes if rows[name].support]
    return sorted(tested, key=lambda name: rows[name].recall or 0.0)
