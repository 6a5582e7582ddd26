"""Had it converged? How the trainings of a study went, as blocks of a page and as JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from sertool.evaluation import curves, stuck
from sertool.evaluation.curves import Curve
from sertool.evaluation.pooling import Pooled
from sertool.evaluation.stuck import Stuck
from sertool.evaluation.terminal import warnings
from sertool.papers.study import Study
from sertool.papers.words import telling
from sertool.ui.tables import Block, Grid, Heading, Text

POINTS = ("first", "half", "last")
_LEGEND = (
    "Loss (nats) at the first epoch, halfway and at the end, averaged over folds and seeds; the"
    " best epoch is the one whose weights were kept. The training loss is measured while the"
    " weights change, with dropout and everything else that only training has. Stuck: a run"
    " never left one class, in all of its test and, where it is known, on its validation part in"
    " every epoch. "
)


def _legend(study: Study) -> str:
    """Return what the losses are: of numbers 1 less CCC, or the mean square error."""
    numbers = any(run.numbers for system in study.systems for run in system.runs.values())
    return _LEGEND.replace("(nats)", "(nats, of numbers as trained)") if numbers else _LEGEND


@dataclass(frozen=True)
class Told:
    """The trainings behind one system, or several that only test differently, of one protocol."""

    tags: dict[str, str]
    protocol: str
    curves: list[Curve]
    stuck: Stuck | None = None
    warnings: tuple[str, ...] = ()

    def mean(self, losses: Callable[[Curve], list[float] | None]) -> dict[str, float] | None:
        """Return the mean loss at the first epoch, half way and at the end; None if unknown."""
        rows = []
        for curve in self.curves:
            known = losses(curve)
            if known is None:
                return None
            rows.append([curve.at(epoch, known) for epoch in (1, curve.n / 2, curve.n)])
        return dict(zip(POINTS, np.mean(rows, 0).tolist(), strict=True))

    @property
    def verdict(self) -> str:
        """The verdict: "stuck in 1 of 5; still falling in 2 of 5; validation rising"."""
        failed = self.stuck if self.stuck and self.stuck.runs else None
        first = f"stuck{_of(failed.runs, failed.of)}; " if failed else ""
        if all(curve.n == 1 for curve in self.curves):
            return first + "one epoch"
        n = len(self.curves)
        falling = sum(curve.falling for curve in self.curves)
        rising = sum(curve.rising for curve in self.curves)
        words = f"still falling{_of(falling, n)}" if falling else "level"
        return first + words + (f"; validation rising{_of(rising, n)}" if rising else "")


def _of(some: int, n: int) -> str:
    return "" if some == n else f" in {some} of {n}"


def of(run: Pooled) -> list[Curve]:
    """Return the trainings of all that was pooled; [] where no report knows them."""
    return [curve for each in run.reports for report in each for curve in curves.curves(report)]


def _warnings(runs: Iterable[Pooled]) -> tuple[str, ...]:
    """Return what weakens any of the tests that were pooled."""
    reports = (report for run in runs for each in run.reports for report in each)
    found = (warnings(report.protocol, counted=False) for report in reports)
    return tuple(dict.fromkeys(chain.from_iterable(found)))


def told(study: Study) -> list[Told]:
    """Return how each system was trained under each protocol, in the order of the columns.

    Systems of the same trainings are one: that of the fewest tags, which was tested as the others
    vary (with the last weights, on other speakers); of several such what tags they share.
    """
    groups: dict[tuple[str, str], list[tuple[dict[str, str], Pooled]]] = {}
    for column in study.columns:
        for system in study.systems:
            run = system.runs.get(column.tag)
            if run is None or not (known := of(run)):
                continue
            key = (column.tag, repr([_ends(curve) for curve in known]))
            groups.setdefault(key, []).append((system.tags, run))
    rows = []
    for (tag, _), group in groups.items():
        fewest = min(len(tags) for tags, *_ in group)
        first, *others = [each for each in group if len(each[0]) == fewest]
        same = {
            name: value
            for name, value in first[0].items()
            if all(tags.get(name) == value for tags, *_ in others)
        }
        run = first[1]
        rows.append(
            Told(same, tag, of(run), stuck.count(run), _warnings(each for _, each in group))
        )
    return rows


def _ends(curve: Curve) -> list[float]:
    """Return what distinguishes a training from any other, whichever of its epochs were kept."""
    val = curve.val_loss or [0.0]
    return [curve.n, curve.loss[0], curve.loss[-1], val[0], val[-1]]


def blocks(study: Study) -> list[Block]:
    """Return a table of trainings and the rule that judges them; [] where none is known."""
    rows = told(study)
    if not rows:
        return []
    keys = shown(study, rows)
    heads = {protocol.tag: protocol.column for protocol in study.columns}
    several = len(study.columns) > 1 or study.paper is not None
    lines = []
    for row in rows:
        name = [row.tags.get(key, "") for key in keys] + [heads[row.protocol]] * several
        losses = (
            _arrows(row.mean(lambda curve: curve.loss)),
            _arrows(row.mean(lambda curve: curve.val_loss)),
        )
        lines.append([*name, _best(row), *losses, row.verdict])
    words = [*keys, *(["protocol"] if several else [])]
    header = [*words, "best epoch", "training loss", "validation loss", "verdict"]
    return [
        Heading("Had it converged?", 2),
        Grid(header, lines, len(words), len(words)),
        Text([_legend(study) + curves.RULE]),
    ]


def shown(study: Study, rows: Sequence[Told]) -> list[str]:
    """Return the tags that distinguish trainings."""
    keys = [key for key in telling(study.systems) if key != "epochs"]
    return [key for key in keys if any(row.tags.get(key) for row in rows)]


def _best(row: Told) -> str:
    best, n = {curve.best for curve in row.curves}, {curve.n for curve in row.curves}
    return f"{_span(best)} of {_span(n)}"


def _span(numbers: set[int]) -> str:
    return f"{min(numbers)}–{max(numbers)}" if len(numbers) > 1 else str(min(numbers))


def _arrows(losses: dict[str, float] | None) -> str:
    if losses is None:
        return "–"
    return " → ".join(f"{v:.2f}" if v >= 0.095 else f"{v:.1g}" for v in losses.values())


def json_value(run: Pooled) -> dict[str, Any] | None:
    """Return how a run was trained as JSON has it; None where no report knows."""
    known = of(run)
    if not known:
        return None
    failed = stuck.count(run)
    row = Told({}, "", known, failed)
    return {
        "n": len(known),
        "epochs": [curve.n for curve in known],
        "best_epoch": [curve.best for curve in known],
        "loss": row.mean(lambda curve: curve.loss),
        "val_loss": row.mean(lambda curve: curve.val_loss),
        "falling": sum(curve.falling for curve in known),
        "rising": sum(curve.rising for curve in known),
        "stuck": failed.runs if failed else None,
        "verdict": row.verdict,
    }
