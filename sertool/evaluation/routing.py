"""`eval` of several models in one checkpoint: which of them scores an item, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import UNSET, UnsetType

from sertool import metrics
from sertool.core.paths import show
from sertool.evaluation import curves
from sertool.evaluation.report import FoldDecided, Routed
from sertool.formats.checkpoint import Header
from sertool.items import Item
from sertool.models import per_field
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.models.scoring import Scorer

ALONE = "alone"  # the system in which the chooser decides about every item
Batch = Sequence[tuple[int, np.ndarray]]  # (index, features) of items


@dataclass
class Routes:
    """By which of a checkpoint's models its tested items are scored.

    told: index -> the value of its field, None where the models know no such value. chosen: index
    -> the chooser's. What the chooser is asked about is a recording (a file, or an item with
    `--by item`), whose segments it gets together, as `predict` does. first: each recording's
    first item. by_chooser: whether the chooser decides whatever the field says. All of it is empty
    where the checkpoint holds one model.
    """

    told: dict[int, str | None] = field(default_factory=dict)
    chosen: dict[int, str] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)
    by_chooser: bool = False

    def values(self, indices: Iterable[int]) -> list[str | None]:
        """Return the value whose model scores each item; None where there is one model."""
        if self.by_chooser:
            return [self.chosen[i] for i in indices]
        return [self.told.get(i) or self.chosen.get(i) for i in indices]

    def alone(self, scorer: Scorer, batch: Batch, rows: np.ndarray) -> np.ndarray:
        """Return `rows` (items, classes) as they are where the chooser decides about every item.

        Scored again is what it gives to another model than scored `rows`.
        """
        rows = rows.copy()
        counts = scorer.windows_averaged, scorer.padded
        values = self.values(i for i, _ in batch)
        for row, (i, array), value in zip(rows, batch, values, strict=True):
            if self.chosen[i] != value:
                row[:] = scorer.posterior([array], [self.chosen[i]])[0]
        scorer.windows_averaged, scorer.padded = counts  # of these items said already
        return rows

    def counts(self) -> dict[str, int]:
        """Return how many recordings each decided about, and how often the chooser was right.

        `by_field` and `by_chooser`; `known`, recordings whose value is known, and `right`, those
        of them whose value the chooser says.
        """
        known = [i for i in self.first if self.told[i] is not None]
        decided = 0 if self.by_chooser else len(known)
        right = sum(self.chosen[i] == self.told[i] for i in known)
        return {
            "by_field": decided,
            "by_chooser": len(self.first) - decided,
            "known": len(known),
            "right": right,
        }


def find_routes(
    path: Path,
    items: Sequence[Item],
    recording: dict[int, str],
    arrays: Iterable[tuple[int, np.ndarray]],
    by_chooser: bool,
    console: Console,
) -> Routes:
    """Return the routes of a checkpoint's tested items: `recording` names what each is of.

    The checkpoint holds several models. Its chooser gets all the items, for its accuracy, before
    any is scored: what it makes of a recording is not known before its last segment.
    """
    from sertool.models.scoring import Routed, Scorer

    scorer = Scorer.load(path)
    assert isinstance(scorer, Routed)
    said: dict[str, list[np.ndarray]] = {}
    with console.progress(len(recording), f"items ({scorer.field})") as progress:
        for i, array in arrays:
            said.setdefault(recording[i], []).append(scorer.chooser.posterior([array])[0])
            progress.advance()
    choice = {name: scorer.chosen(np.stack(rows)) for name, rows in said.items()}
    told = {i: per_field.known_value(scorer.field, items[i], scorer.scorers) for i in recording}
    known = {i: items[i].value(scorer.field) for i in recording}
    strange = [v for i, v in known.items() if told[i] is None and v not in (None, "")]
    if strange and not by_chooser:
        console.note(
            f"{len(strange)} items of a {scorer.field} without a model of its own"
            f" ({', '.join(sorted({show(str(value)) for value in strange}))}): the chooser decides"
        )
    first = {name: i for i, name in sorted(recording.items(), reverse=True)}
    chosen = {i: choice[name] for i, name in recording.items()}
    return Routes(told, chosen, sorted(first.values()), by_chooser)


def of_checkpoint(header: Header, routes: Routes) -> FoldDecided | UnsetType:
    """Return what a report says of one checkpoint's models: UNSET where it holds one."""
    if header.per is None:
        return UNSET
    training = {
        value: curves.thinned(own.history or [], own.best_epoch or 0)
        for value, own in header.per.values.items()
    }
    return FoldDecided(**routes.counts(), training=training)


def summary(
    header: Header, routes: Sequence[Routes], truth: np.ndarray, alone: np.ndarray | None
) -> Routed | UnsetType:
    """Return what a report says of all checkpoints' models: UNSET where each holds one.

    Counts as those of `Routes.counts`, the chooser's accuracy, and the rates with the chooser
    alone: what to expect where nobody knows the field. truth, alone: (recordings,) class indices.
    """
    if header.per is None or alone is None:
        return UNSET
    counts = [one.counts() for one in routes]
    total = {key: sum(one[key] for one in counts) for key in counts[0]}
    return Routed(
        field=header.per.field,
        values=list(header.per.values),
        **total,
        chooser_accuracy=total["right"] / total["known"] if total["known"] else None,
        alone=metrics.compute(metrics.confusion(truth, alone, len(header.classes))),
    )
