"""Recordings predicted by the workers of an engine, with the rows that one process gives them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sertool.core import executors
from sertool.core.errors import InputError
from sertool.core.executors import Executor
from sertool.core.paths import show
from sertool.evaluation import loading
from sertool.evaluation.options import PredictOptions
from sertool.evaluation.predictions import Row
from sertool.evaluation.predictor import Giver, Predictor, together
from sertool.items import Item
from sertool.ui.console import Progress, Remembered

if TYPE_CHECKING:
    from sertool.evaluation.by_speaker import Known, Task

GROUP = 32  # recordings of a task


@dataclass
class _Rows:
    """The rows of each recording, in their order."""

    finished: list[list[Row]] = field(default_factory=list)
    begun: list[Row] = field(default_factory=list)

    def has(self, item: Item, channel: str | None) -> bool:
        """Return False: nothing was done before."""
        return False

    def finish(self, item: Item, channel: str | None) -> None:
        """Hear that the rows of a recording were all given."""
        self.finished.append(self.begun)
        self.begun = []


@dataclass(frozen=True)
class _Predicts:
    """Predicts some recordings, each as a whole; runs in a worker.

    model: as rows name it. known: the statistics of speakers, where the model wants them.
    """

    path: Path
    model: str
    options: PredictOptions
    known: Known | None

    @functools.cached_property
    def predictor(self) -> Predictor:
        """The model, loaded once by a process; InputError where it is another by now."""
        made = Predictor(self.path, loading.load(self.path, items=False), self.options)
        if made.model != self.model:
            raise InputError(f"{show(self.path)}: changed while it was in use")
        made.hears = dataclasses.replace(made.hears, known=self.known)
        return made

    def __call__(self, tasks: list[Task]) -> tuple[list[list[Row]], Counter[str], Counter[str]]:
        """Return the rows of each recording, and counts of what was unusual."""
        rows = _Rows()
        giver = Giver(self.predictor, lambda row: rows.begun.append(row), Remembered(""), rows)
        for group in together(map(self.predictor.hears, tasks), self.predictor.gathered):
            for one, _ in group:
                giver.note(one)
            giver.give(group)
        return rows.finished, *giver.counted()


def predict(
    engine: Executor, predictor: Predictor, tasks: Iterator[Task], giver: Giver, progress: Progress
) -> None:
    """Have recordings predicted elsewhere, and their rows given on in the order of the tasks."""
    # a file that fails is told here, and stops this process if anything
    options = dataclasses.replace(
        predictor.options, strict=False, workers=1, executor=executors.PROCESSES
    )
    work = _Predicts(predictor.path, predictor.model, options, predictor.known)
    sent: deque[list[Task]] = deque()

    def groups() -> Iterator[list[Task]]:
        while group := list(itertools.islice(tasks, GROUP)):
            sent.append(group)
            yield group

    with closing(executors.submitted(engine, work, groups())) as results:
        for found, notes, rows in results:
            group = sent.popleft()
            for (item, channel), own in zip(group, found, strict=True):
                giver.hand_on(item, channel, own)
            giver.count(notes, rows)
            progress.advance(len(group))
