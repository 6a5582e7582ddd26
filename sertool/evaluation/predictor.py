"""How recordings are predicted with one checkpoint: a row as soon as it is known."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sertool.audio import summarised
from sertool.core import workers
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import show
from sertool.corpora import labels
from sertool.evaluation.options import PredictOptions
from sertool.evaluation.predictions import Prediction, Row, Unread
from sertool.features.pipeline import Clip, Pipeline, Replayed
from sertool.formats import checkpoint
from sertool.items import Item
from sertool.models import per_field, speakers
from sertool.ui.console import Console
from sertool.ui.words import plural

if TYPE_CHECKING:
    from sertool.extras.explain import Explainer, Explainers
    from sertool.models.scoring import Route, Scorer

Explain = Callable[["Scorer"], "Explainer | Explainers"]
Sink = Callable[[Row], None]


@dataclass(frozen=True)
class _Replay:
    """Decodes one recording and computes its features; runs in a worker."""

    pipeline: Pipeline
    window: float | None
    hop: float | None

    def __call__(self, item: Item | None) -> Replayed | None:
        if item is None:
            return None
        try:
            if self.window is None:
                return self.pipeline.replay(item)
            return self.pipeline.replay_windows(item, self.window, self.hop or self.window)
        except ItemError as error:
            return Replayed(item, error=str(error))


class Predictor:
    """A checkpoint that turns clips into rows.

    further: the columns that a row has beside the prediction: by which of several models it was
    made, and what chose that model. scorer: makes the model on a device. explain: makes what draws
    each recording, given the scorer. Raises UsageError for a class in `options.only`, or a field or
    value in `options.fields`, that the checkpoint does not know.
    """

    def __init__(
        self,
        path: Path,
        source: checkpoint.Checkpoint,
        options: PredictOptions,
        scorer: Callable[[str], Scorer] | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.path, self.options = path, options
        self.pipeline = Pipeline.of_file(source.meta["pipeline"], show(path))
        header = source.header
        speakers.refuse(header, path)
        known = header.classes
        self._kept = [known.index(name) for name in chosen_classes(options.only, known)]
        self.classes = [known[k] for k in self._kept]
        self._values = list(header.per.values) if header.per else []
        self._field = header.per.field if header.per else None
        self.further = [self._field, f"{self._field}_by"] if self._field else []
        self._value = per_field.requested_value(
            self._field, self._values, tuple(options.fields.items())
        )
        self._scorer: Scorer | None = None
        self._make, self._explain = scorer, explain
        self.explainer: Explainer | Explainers | None = None

    def load(self) -> Scorer:
        """Return the scorer, loaded once: after worker processes are started."""
        if self._scorer is None:
            from sertool.models.scoring import Scorer

            make = self._make or functools.partial(Scorer.load, self.path)
            self._scorer = make(self.options.device)
            if self._explain is not None:
                self.explainer = self._explain(self._scorer)
        return self._scorer

    def posteriors(
        self, clips: Sequence[Clip], items: Sequence[Item | None]
    ) -> list[tuple[np.ndarray, Route | None]]:
        """Return (posterior (classes,), by which model) of each clip of its item.

        The posterior is the mean over the clip's segments, masked.
        """
        routes = [self._route(*pair) for pair in zip(clips, items, strict=True)]
        arrays = [array for clip in clips for array in clip.arrays]
        values = [
            route.value if route else None
            for clip, route in zip(clips, routes, strict=True)
            for _ in clip.segments
        ]
        if not arrays:
            return []
        size = 1 if self.explainer else self.options.batch_size
        found = self.load().posterior(arrays, values, size)
        split = np.split(found, np.cumsum([len(clip.segments) for clip in clips])[:-1])
        return [
            (self._mask(rows.mean(0)), route) for rows, route in zip(split, routes, strict=True)
        ]

    def _route(self, clip: Clip, item: Item | None) -> Route | None:
        """Return by which model a clip is scored; None where there is only one."""
        from sertool.models.scoring import Route

        if self._field is None:
            return None
        if self._value is not None:
            return Route(self._value, "option")
        known = per_field.known_value(self._field, item, self._values) if item else None
        return self.load().route(clip.arrays, known)

    def _mask(self, posterior: np.ndarray) -> np.ndarray:
        if not self.options.only:
            return posterior
        kept = posterior[self._kept]
        total = kept.sum()
        return kept / total if total > 0 else np.full(len(kept), 1.0 / len(kept))

    def row(self, path: str, scored: tuple[np.ndarray, Route | None], clip: Clip) -> Prediction:
        """Return the prediction of one clip."""
        posterior, route = scored
        shares = dict(zip(self.classes, posterior.tolist(), strict=True))
        best = max(shares, key=shares.__getitem__)
        further = dict(zip(self.further, (route.value, route.by) if route else (), strict=True))
        spans = clip.duration, clip.start, clip.end
        return Prediction(path, best, shares[best], shares, *spans, further)


def chosen_classes(only: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Return the classes that `only` names, all where it is empty; synonyms (angry) will do."""
    if not only:
        return list(classes)
    chosen: list[str] = []
    for word in only:
        name = word if word in classes else labels.noun(word)
        if name not in classes:
            raise UsageError(f"--only {word}: the model knows {', '.join(classes)}")
        if name not in chosen:
            chosen.append(name)
    return [name for name in classes if name in chosen]


def predict(
    predictor: Predictor,
    items: Iterable[Item | None],
    sink: Sink,
    console: Console,
    bar: bool = True,
) -> None:
    """Give `sink` a row for every recording in its order (every window of it, with `window`).

    A batch is of as many recordings or windows as `batch_size` says, whenever they arrive: None
    among `items`, nothing more is there yet, ends no batch. A file that fails gives a row with its
    error and is counted by `console`; with `strict` it raises InputError. bar: show progress (rows
    on a terminal are progress enough).
    """
    options = predictor.options
    work = _Replay(predictor.pipeline, options.window, options.hop)
    notes: Counter[str] = Counter()
    waiting: list[Replayed] = []
    # processes start before torch does: they share nothing of it and die small
    replayed = workers.ordered(work, items, options.workers or workers.cores())
    predictor.load()
    shown = console if bar else Console.silent()
    with contextlib.closing(replayed), shown.progress(None, "files") as progress:
        for one in replayed:
            if one is not None:
                notes.update(one.notes)
                if one.notes:
                    console.detail(f"{show(one.item.path)}: {', '.join(one.notes)}")
                waiting.append(one)
            wanted = 1 if predictor.explainer else options.batch_size
            if waiting and sum(max(1, len(w.clips)) for w in waiting) >= wanted:
                progress.advance(len(waiting))
                _give(predictor, waiting, sink, console)
                waiting = []
        _give(predictor, waiting, sink, console)
    conclude(predictor, notes, console)


def _give(predictor: Predictor, waiting: Sequence[Replayed], sink: Sink, console: Console) -> None:
    """Predict what was read and hand the rows on, failures at their place."""
    try:
        clips = [clip for one in waiting for clip in one.clips]
        items = [one.item for one in waiting for _ in one.clips]
        found = iter(predictor.posteriors(clips, items))
    except InputError as error:  # features that have no posterior: find out whose they are
        if len(waiting) == 1:
            waiting = [replace(waiting[0], clips=[], error=str(error))]
        else:
            for one in waiting:
                _give(predictor, [one], sink, console)
            return
    for one in waiting:
        path = one.item.path
        if one.error is not None:
            sink(Unread(path, one.error))
            console.failed(path, one.error)
            if predictor.options.strict:
                raise InputError(f"stopped by --strict at {show(path)}")
        for clip in one.clips:
            row = predictor.row(path, next(found), clip)
            if predictor.explainer is not None:
                predictor.explainer.draw(one.item, clip, row)
            sink(row)


def conclude(predictor: Predictor, notes: Counter[str], console: Console) -> None:
    """Report what was unusual about the recordings, and what was drawn."""
    if unusual := summarised(notes):
        console.note(unusual)
    scorer = predictor.load()
    if predictor.explainer is not None:
        figures = plural(len(predictor.explainer.names), "figure")
        console.note(f"{show(predictor.explainer.folder)}: {figures}")
    from sertool.models.scoring import announce

    announce(console, scorer.windows_averaged, scorer.padded, "recordings or windows")
