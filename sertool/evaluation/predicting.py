"""Recordings predicted one after the other: by this process, or by the workers of an engine."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sertool.audio.decoding import Sound
from sertool.core import boxes, executors, workers
from sertool.core.errors import InputError
from sertool.core.executors import Executor
from sertool.core.paths import show
from sertool.evaluation import loading
from sertool.evaluation.options import PredictOptions
from sertool.evaluation.predictions import Row
from sertool.evaluation.predictor import (
    PATIENCE,
    Done,
    Giver,
    Predictor,
    Sink,
    channels_of,
    together,
)
from sertool.items import Item
from sertool.ui.console import Console, Progress, Remembered

if TYPE_CHECKING:
    from sertool.evaluation.by_speaker import Known, Task

GROUP = 32  # recordings of a task


def predict(
    predictor: Predictor,
    items: Iterable[Item | None],
    sink: Sink,
    console: Console,
    bar: bool = True,
    done: Done | None = None,
) -> None:
    """Give `sink` a row for every recording in its order, or several, as the options say.

    Recordings are scored together as `together` says. A file that fails gives a row with its error
    and is counted by `console`; with `strict` it raises InputError. bar: show progress (rows on a
    terminal are progress enough). done: knows which recordings need no rows, and is told of each
    that has got all of its own.
    """
    with contextlib.closing(boxes.Box(predictor.limits)) as predictor.box:
        _predict(predictor, items, sink, console, bar, done)


def _predict(
    predictor: Predictor,
    items: Iterable[Item | None],
    sink: Sink,
    console: Console,
    bar: bool,
    done: Done | None,
) -> None:
    options = predictor.options
    items = predictor.prepared(items, console)
    giver = Giver(predictor, sink, console, done)
    giver.begin()
    tasks = (
        None if item is None else (item, channel)
        for item in items
        for channel in (
            channels_of(item, options.channel, predictor.box) if item is not None else [None]
        )
        if item is None or done is None or not done.has(item, channel)
    )
    shown = console if bar else Console.silent()
    with executors.opened(options.executor, console.note) as engine:
        if engine is None:
            _here(predictor, tasks, giver, shown)
        else:
            with shown.progress(None, "files") as progress:
                given = (task for task in tasks if task is not None)
                _elsewhere(engine, predictor, given, giver, progress)
    giver.conclude()


def _here(
    predictor: Predictor, tasks: Iterator[Task | None], giver: Giver, console: Console
) -> None:
    """Predict in this process what others of this machine decode."""
    # processes start before torch does: they share nothing of it and die small
    first, count = _begun(tasks, predictor.options.workers or workers.cores())
    every = itertools.chain(first, tasks)
    # sound in memory needs no decoder
    plain = all(task is not None and isinstance(task[0], Sound) for task in first)
    limits = predictor.limits
    if plain and count < 2:
        limits, predictor.box = None, boxes.Box(None)
    predictor.box.begin()
    heard = workers.ordered(predictor.hears, every, count, patience=PATIENCE, limits=limits)
    predictor.load().use_threads(count)
    with contextlib.closing(heard), console.progress(None, "files") as progress:
        for group in together(heard, predictor.gathered):
            for one, _ in group:
                giver.note(one)
            giver.give(group)
            progress.advance(len(group))


def _begun(tasks: Iterator[Task | None], most: int) -> tuple[list[Task | None], int]:
    """Return the first tasks, and how many workers they are worth: no more than there are tasks.

    As many as may come, where a list pauses.
    """
    first: list[Task | None] = []
    for task in itertools.islice(tasks, max(2, most)):
        first.append(task)
        if task is None:
            return first, most
    return first, max(1, min(most, len(first)))


def at_once(predictor: Predictor, tasks: Iterable[Task], giver: Giver) -> None:
    """Predict recordings, each with its channel, in this thread alone."""
    for group in together(map(predictor.heard, tasks), predictor.gathered):
        for one, _ in group:
            giver.note(one)
        giver.give(group)


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
        at_once(self.predictor, tasks, giver)
        return rows.finished, *giver.counted()


def _elsewhere(
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

    with contextlib.closing(executors.submitted(engine, work, groups())) as results:
        for found, notes, rows in results:
            group = sent.popleft()
            for (item, channel), own in zip(group, found, strict=True):
                giver.hand_on(item, channel, own)
            giver.count(notes, rows)
            progress.advance(len(group))
