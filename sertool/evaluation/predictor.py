"""How recordings are predicted with one checkpoint: a row as soon as it is known."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sertool import metrics
from sertool.audio import LONG, summarised
from sertool.audio.blocks import facts
from sertool.audio.decoding import Sound
from sertool.audio.listening import Listened
from sertool.audio.voice import OFF, detector
from sertool.core import boxes, workers
from sertool.core.boxes import Limits
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import show
from sertool.evaluation.options import PredictOptions
from sertool.evaluation.predictions import NumberPrediction, Prediction, Row, Unread
from sertool.features.hearing import Clip, Heard, Hearing
from sertool.features.pipeline import Pipeline, recording
from sertool.features.spec import ENCODED
from sertool.features.turns import Turns, read_turns, turns_of
from sertool.formats import checkpoint, lineage
from sertool.items import Item
from sertool.models import speakers
from sertool.ui.console import Console
from sertool.ui.words import plural

if TYPE_CHECKING:
    from sertool.evaluation.by_speaker import Known, Task
    from sertool.extras.explain import Explainer, Explainers
    from sertool.models.scoring import Route, Scorer

Explain = Callable[["Scorer"], "Explainer | Explainers"]
Sink = Callable[[Row], None]
HASH = 12  # hex digits of a model's hash that a row has
PASSES = 4  # of a network, whose windows are gathered before it scores them, by their lengths
HELD = 1 << 25  # bytes of features that are gathered at most, and one recording's
PATIENCE = 0.5  # seconds after which no recording waits for others


@dataclass(frozen=True)
class Long:
    """A recording whose clips are made a few at a time: item, channel, what is known of it."""

    item: Item
    channel: str | None
    listened: Listened


@dataclass(frozen=True)
class Hears:
    """Decodes one recording, listens to it and computes its features; runs in a worker.

    known: the statistics by which features are normalised by speaker; None for a model of others.
    """

    hearing: Hearing
    turns: Turns | None = None
    known: Known | None = None

    def __call__(self, task: Task | None) -> tuple[Heard, str | None] | None:
        """Return what was heard of a recording, and in which channel; None for None."""
        if task is None:
            return None
        item, channel = task
        try:
            with boxes.file():
                heard = self.of(item, channel).hear(item)
                for clip in heard.clips:
                    self.normalise(item, channel, clip)
            return heard, channel
        except ItemError as error:
            return Heard(item, error=str(error)), channel

    def clips(self, long: Long) -> Iterator[Clip]:
        """Yield the clips of a long recording, in their order; ItemError."""
        with boxes.file():
            for clip in self.of(long.item, long.channel).clips(long.item, long.listened):
                self.normalise(long.item, long.channel, clip)
                yield clip

    def normalise(self, item: Item, channel: str | None, clip: Clip) -> None:
        """Normalise a clip's features by speaker, where the model wants it; ItemError."""
        if self.known is not None:
            self.known.normalise(item, channel, clip)

    def of(self, item: Item, channel: str | None) -> Hearing:
        """Return how one recording is heard; ItemError where its speakers' turns are not known."""
        turns = None if self.turns is None else turns_of(self.turns, item.path)
        if turns is None and self.turns is not None:
            raise ItemError("no turns of this recording in --by-speaker")
        return replace(self.hearing, channel=channel, turns=turns)


def channels_of(item: Item, wanted: str | None, box: boxes.Box) -> list[str | None]:
    """Return the channels of a recording that are to be heard: several for "each".

    Those of a stereo file are "left" and "right", others are numbers. box: where a header is read.
    """
    if wanted != "each":
        return [wanted]
    source = recording(item)
    try:
        known = (
            source.samples.shape[1]
            if isinstance(source, Sound)
            else box.call(facts, source).channels
        )
    except ItemError:
        return ["1"]  # whoever reads it will say why it cannot be
    return list(names_of(known))


def names_of(channels: int) -> list[str]:
    """Return what the channels are called."""
    return ["left", "right"] if channels == 2 else [str(i + 1) for i in range(channels)]


@dataclass(frozen=True)
class Scored:
    """Posteriors (windows, classes) of a clip, in how many windows, and by which model."""

    rows: np.ndarray
    windows: int = 0
    route: Route | None = None


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
        self.path, self.options, self._source = path, options, source
        if options.encoder is not None or encoded(source.meta):
            from sertool.models import encoders

            encoders.settle(options.encoder, options.device)
        pipeline = Pipeline.of_file(source.meta["pipeline"], show(path))
        self.hearing = Hearing(
            pipeline,
            options.vad,
            options.pool == "none",
            options.window,
            options.hop,
            options.segments,
            options.whole_crop,
        )
        turns = options.by_speaker
        self.hears = Hears(self.hearing, read_turns(turns) if turns else None)
        if options.vad != OFF:
            detector(options.vad)  # one that is not installed shows here, before any work
        identity = source.identity or lineage.file_sha256(path)
        self._model = f"{source.header.model.name}@{identity[:HASH]}"
        header = source.header
        self.normalised = speakers.declared(header)
        if self.normalised:
            self._speakers(header, options)
        else:
            _refuse_speakers(options, path)
        self.numbers = header.fields
        if self.numbers:
            _refuse_of_classes(options, explain is not None)
        self.calibration = header.calibration
        known = header.classes
        self._kept = [known.index(name) for name in chosen_classes(options.only, known)]
        self.classes = [known[k] for k in self._kept]
        self._values = list(header.per.values) if header.per else []
        self._field = header.per.field if header.per else None
        if self._field == "speaker" and (options.by_speaker or self.normalised):
            how = "--by-speaker" if options.by_speaker else "--speaker-normalisation"
            raise UsageError(f"{how}: the models are chosen by speaker, too, and a row has one")
        self.further = ["channel"] if options.channel else []
        self.further += ["speaker"] if options.by_speaker or self.normalised else []
        self.further += [self._field, f"{self._field}_by"] if self._field else []
        self._value: str | None = None
        if options.fields:
            from sertool.models import per_field

            given = tuple(options.fields.items())
            self._value = per_field.requested_value(self._field, self._values, given)
        self._scorer: Scorer | None = None
        self._make, self._explain = scorer, explain
        self.box = boxes.Box(None)  # in which recordings are read, beside those of workers
        self.limits: Limits | None = None
        if options.device == "cpu" or not encoded(source.meta):  # a GPU is for one process
            self.limits = boxes.limits(models=encoded(source.meta))
        self.explainer: Explainer | Explainers | None = None

    @property
    def made(self) -> list[lineage.Record]:
        """How the checkpoint was made, as it says."""
        return self._source.header.lineage

    @property
    def told(self) -> str:
        """The model and its hash, and what recordings are heard with."""
        vad = "all is heard" if self.options.vad == OFF else f"speech by {self.options.vad}"
        sure = "calibrated" if self.calibration else "not calibrated"
        return " · ".join([self._model, vad, *([] if self.numbers else [sure])])

    def _speakers(self, header: checkpoint.Header, options: PredictOptions) -> None:
        """Take the speakers' statistics from a file, or have them heard in a pass of their own."""
        from sertool.evaluation import by_speaker

        self._who = by_speaker.Who.of(options)
        self.head = by_speaker.head_of(self.hearing, options, math.prod(header.dims))
        if options.speaker_statistics is not None:
            known = by_speaker.read(options.speaker_statistics, self.head, self._who, header.dims)
            self.hears = replace(self.hears, known=known)

    @property
    def known(self) -> Known | None:
        """The statistics of all speakers; None where the model needs none, or none yet."""
        return self.hears.known

    def prepared(
        self, items: Iterable[Item | None], console: Console
    ) -> Iterable[Item | None] | list[Item]:
        """Return recordings to predict: of a model normalised by speaker after a pass over all.

        That pass is made once, and not where a file has the statistics. Raises InputError where
        nobody's speaker is known.
        """
        if not self.normalised or self.known is not None:
            return items
        given = [item for item in items if item is not None]
        tasks = [
            (i, channel)
            for i in given
            for channel in channels_of(i, self.options.channel, self.box)
        ]
        from sertool.evaluation import by_speaker

        known = by_speaker.measure(
            self.hearing,
            self.hears.turns,
            self._who,
            tasks,
            self.options.workers or workers.cores(),
            console,
            self.limits,
        )
        self.hears = replace(self.hears, known=known)
        return given

    def load(self) -> Scorer:
        """Return the scorer, loaded once: after worker processes are started."""
        if self._scorer is None:
            from sertool.evaluation import loading

            own = functools.partial(loading.scorer, self._source, path=show(self.path))
            self._scorer = (self._make or own)(self.options.device)
            if self._explain is not None:
                self.explainer = self._explain(self._scorer)
        return self._scorer

    def long(self, task: Long) -> Iterator[Clip]:
        """Yield the clips of a long recording, in their order; ItemError."""
        return self.box.stream(self.hears.clips, task)

    def heard(self, task: Task) -> tuple[Heard, str | None]:
        """Return what was heard of a recording, and in which channel."""
        try:
            found = self.box.call(self.hears, task)
            assert found is not None
            return found
        except ItemError as error:  # of the process that heard it
            return Heard(task[0], error=str(error)), task[1]

    @property
    def loaded(self) -> Scorer | None:
        """The scorer, if this process has loaded it."""
        return self._scorer

    def scores(self, clips: Sequence[Clip], items: Sequence[Item | None]) -> list[Scored]:
        """Return what each clip of its item is scored; nothing where it has no features."""
        routes = [self.route(clip, item) for clip, item in zip(clips, items, strict=True)]
        return self.scored(clips, routes)

    def scored(self, clips: Sequence[Clip], routes: Sequence[Route | None]) -> list[Scored]:
        """Return the same by the models of `routes`."""
        arrays = [array for clip in clips for array in clip.arrays]
        values = [
            route.value if route else None
            for clip, route in zip(clips, routes, strict=True)
            for _ in clip.segments
        ]
        scorer = self.load()
        found = scorer.posterior(arrays, values, self.batch_size)
        counts = [scorer.windows_in(*pair) for pair in zip(arrays, values, strict=True)]
        made, at = [], 0
        for clip, route in zip(clips, routes, strict=True):
            end = at + len(clip.segments)
            made.append(Scored(found[at:end], sum(counts[at:end]), route))
            at = end
        return made

    @property
    def batch_size(self) -> int:
        """How many windows a network is given together."""
        return 1 if self.explainer else self.options.batch_size

    @property
    def gathered(self) -> int:
        """How many clips are gathered before they are scored: one of a model without a network."""
        size = self.batch_size
        return PASSES * size if size > 1 and self.load().batches else 1

    @property
    def model(self) -> str:
        """The model's name and the beginning of its file's hash, as rows have it."""
        return self._model

    def route(self, clip: Clip, item: Item | None) -> Route | None:
        """Return by which model a clip is scored; None where there is only one, or no clip."""
        known = self.known_route(item)
        if known is not None or self._field is None or not clip.segments:
            return known
        return self.load().route(clip.arrays, None)

    def known_route(self, item: Item | None) -> Route | None:
        """Return by which model a recording is scored, where that is known before it is heard."""
        if self._field is None:
            return None
        from sertool.models import per_field
        from sertool.models.scoring import Route

        if self._value is not None:
            return Route(self._value, "option")
        known = per_field.known_value(self._field, item, self._values) if item else None
        return Route(known, "field") if known is not None else None

    @property
    def routed(self) -> bool:
        """Whether there are several models to choose among."""
        return self._field is not None

    def row(self, path: str, scored: Scored, clip: Clip, channel: str | None = None) -> Prediction:
        """Return the prediction of one clip: of silence, where nothing was scored."""
        further = {"channel": channel, "speaker": clip.speaker or clip.whose}
        if scored.route is not None:
            by = scored.route.value, scored.route.by
            further |= dict(zip(self.further[-2:], by, strict=True))
        label, sure, shares = None, None, None
        if len(scored.rows) and not self.numbers:
            label, shares = self._pooled(scored.rows)
            sure = shares[label]
            if self.options.reject is not None and sure < self.options.reject:
                label = None
        made = (
            path, label, sure, shares, clip.duration, clip.heard, clip.speech, scored.windows,
            self.options.vad, self._model, clip.start, clip.end,
            {name: further.get(name) for name in self.further},
        )  # fmt: skip
        if not self.numbers:
            return Prediction(*made)
        if not len(scored.rows):
            return NumberPrediction(*made)
        mean = scored.rows.mean(0).tolist()
        return NumberPrediction(*made, dict(zip(self.numbers, mean, strict=True)))

    def _pooled(self, rows: np.ndarray) -> tuple[str, dict[str, float]]:
        """Return (label, posterior by class) of windows (n, classes), masked."""
        pool = "mean" if self.options.pool == "none" else self.options.pool
        posterior, best = metrics.pool_posteriors(rows, pool)
        if self.options.only:
            mean = self._mask(rows.mean(0))
            posterior = self._mask(posterior)
            best = int(np.lexsort((mean, posterior))[-1])
        shares = dict(zip(self.classes, posterior.tolist(), strict=True))
        return self.classes[best], shares

    def _mask(self, posterior: np.ndarray) -> np.ndarray:
        kept = posterior[self._kept]
        total = kept.sum()
        return kept / total if total > 0 else np.full(len(kept), 1.0 / len(kept))


def encoded(meta: Mapping[str, Any]) -> bool:
    """Return whether a model's features, or a member's, come from a pre-trained encoder."""
    own = any(stage.get("kind") in ENCODED for stage in meta["pipeline"])
    return own or any(encoded(member) for member in meta.get("fused") or ())


def _refuse_of_classes(options: PredictOptions, explained: bool) -> None:
    """Raise UsageError for an option that only a model of classes has."""
    given = {
        "--only": bool(options.only),
        "--reject": options.reject is not None,
        f"--pool {options.pool}": options.pool in ("max", "vote"),
        "--explain": explained,
    }
    for name, used in given.items():
        if used:
            raise UsageError(f"{name}: is of classes, and the model says numbers")


def _refuse_speakers(options: PredictOptions, path: Path) -> None:
    """Raise UsageError for an option that only a model normalised by speaker has."""
    given = {
        "--speaker-by": options.speaker_by,
        "--speaker": options.speaker,
        "--speaker-statistics": options.speaker_statistics,
    }
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name}: {show(path)} was trained without --speaker-normalisation")


def chosen_classes(only: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Return the classes that `only` names, all where it is empty; synonyms (angry) will do."""
    if not only:
        return list(classes)
    from sertool.corpora import labels

    chosen: list[str] = []
    for word in only:
        name = word if word in classes else labels.noun(word)
        if name not in classes:
            raise UsageError(f"--only {word}: the model knows {', '.join(classes)}")
        if name not in chosen:
            chosen.append(name)
    return [name for name in classes if name in chosen]


def together(
    heard: Iterable[tuple[Heard, str | None] | None], most: int
) -> Iterator[list[tuple[Heard, str | None]]]:
    """Yield what was heard in groups that are scored together, in its order.

    A group ends with `most` clips or `HELD` bytes of features, with a recording that is long, and
    where nothing more is there yet (None) or its first has waited for `PATIENCE` seconds.
    """
    waiting: list[tuple[Heard, str | None]] = []
    clips = size = 0
    since = 0.0
    for one in heard:
        now = time.monotonic()
        if one is not None:
            since = since if waiting else now
            waiting.append(one)
            clips += max(1, len(one[0].clips))
            size += sum(array.nbytes for clip in one[0].clips for array in clip.arrays)
        long = one is None or one[0].listened is not None
        if waiting and (long or clips >= most or size >= HELD or now - since >= PATIENCE):
            yield waiting
            waiting, clips, size = [], 0, 0
    if waiting:
        yield waiting


class Done(Protocol):
    """Who knows which recordings (and channels) have all their rows."""

    def has(self, item: Item, channel: str | None) -> bool:
        """Return whether a recording needs no rows."""

    def finish(self, item: Item, channel: str | None) -> None:
        """Hear that the rows of a recording were all handed on."""


class Giver:
    """Scores what was heard and hands rows to a sink, counting what was unusual."""

    def __init__(
        self, predictor: Predictor, sink: Sink, console: Console, done: Done | None = None
    ) -> None:
        self.predictor, self._sink, self.console = predictor, sink, console
        self._done = done
        self._notes: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()

    def begin(self) -> None:
        """Say once what the user should know before the first row."""
        options, length = self.predictor.options, self.predictor.hearing.length
        if options.window is not None and length is not None and options.window != length:
            done = "padded" if options.window < length else "heard in such windows"
            self.console.warn(
                f"--window {options.window:g}: the model was trained on {length:g} s; other windows"
                f" are {done}"
            )
        known = self.predictor.calibration
        if options.reject is not None and known is not None:
            self.console.note(
                f"--reject {options.reject:g}: confidences are calibrated on"
                f" {plural(known.items, 'recording')} that the model, or one trained alike, did not"
                f" know (mean error there {known.error_after:.3f})"
            )
        elif options.reject is not None:
            self.console.warn(
                f"--reject {options.reject:g}: the model's confidences are not calibrated, so that"
                " its labels may be right more or less often than they say"
            )

    def note(self, one: Heard) -> None:
        """Count what is unusual about a recording."""
        self._notes.update(one.notes)
        if one.notes:
            self.console.detail(f"{show(one.item.path)}: {', '.join(one.notes)}")

    def give(self, waiting: Sequence[tuple[Heard, str | None]]) -> None:
        """Predict what was heard, each with its channel, and hand the rows on in their order."""
        short: list[tuple[Heard, str | None]] = []
        for one, channel in waiting:
            if one.listened is None:
                short.append((one, channel))
                continue
            self._give(short)
            short = []
            self._give_long(one.item, one.listened, channel)
            self._finished(one.item, channel)
        self._give(short)

    def _give(self, waiting: Sequence[tuple[Heard, str | None]]) -> None:
        try:
            clips = [clip for one, _ in waiting for clip in one.clips]
            items = [one.item for one, _ in waiting for _ in one.clips]
            found = iter(self.predictor.scores(clips, items))
        except InputError as error:  # features that have no posterior: find out whose they are
            if len(waiting) > 1:
                for pair in waiting:
                    self._give([pair])
                return
            one, channel = waiting[0]
            waiting = [(replace(one, clips=[], error=str(error)), channel)]
        for one, channel in waiting:
            if one.error is not None:
                self.failed(Unread(one.item.path, one.error))
            scored = [(clip, next(found)) for clip in one.clips]
            for clip, rows in scored:
                self.clip(one.item, clip, rows, channel)
            self._speakers(one.item, scored, channel)
            self._finished(one.item, channel)

    def hand_on(self, item: Item, channel: str | None, rows: Sequence[Row]) -> None:
        """Hand on the rows of a recording that was predicted elsewhere."""
        for row in rows:
            if isinstance(row, Unread):
                self.failed(row)
            else:
                self._sink(row)
        self._finished(item, channel)

    def counted(self) -> tuple[Counter[str], Counter[str]]:
        """Return how often each unusual thing was noted, of recordings and of rows."""
        scorer = self.predictor.load()
        own = Counter(averaged=scorer.windows_averaged, padded=scorer.padded)
        scorer.windows_averaged = scorer.padded = 0
        return self._notes, self._rows + own

    def count(self, notes: Counter[str], rows: Counter[str]) -> None:
        """Count what was noted elsewhere."""
        self._notes += notes
        self._rows += rows

    def _finished(self, item: Item, channel: str | None) -> None:
        if self._done is not None:
            self._done.finish(item, channel)

    def clip(
        self,
        item: Item,
        clip: Clip,
        scored: Scored,
        channel: str | None = None,
        drawn: bool = True,
    ) -> None:
        """Hand on the row of one clip."""
        if clip.error is not None and not len(scored.rows):
            one_row = self.predictor.hearing.one_row
            times = (None, None) if one_row else (clip.start, clip.end)
            self.failed(Unread(item.path, clip.error, *times))
            return
        row = self.predictor.row(item.path, scored, clip, channel)
        if row.silent:
            self._rows["silent"] += 1
        elif row.label is None and not self.predictor.numbers:
            self._rows["rejected"] += 1
        self._rows["all"] += 1
        if self.predictor.explainer is not None and drawn and row.posterior is not None:
            self.predictor.explainer.draw(item, clip, row)
        self._sink(row)

    def failed(self, row: Unread) -> None:
        """Hand on a failure; InputError with `strict`."""
        self._sink(row)
        where = "" if row.start is None else f" at {row.start:.2f} s"
        self.console.failed(f"{show(row.path)}{where}", row.error)
        if self.predictor.options.strict:
            raise InputError(f"stopped by --strict at {show(row.path)}")

    def _give_long(self, item: Item, listened: Listened, channel: str | None) -> None:
        """Predict a recording whose features never are in memory together."""
        try:
            if self.predictor.hears.of(item, channel).one_row:
                self._pool_long(item, channel, listened)
                return
            turns: list[tuple[Clip, Scored]] = []
            clips = self.predictor.long(Long(item, channel, listened))
            while some := list(itertools.islice(clips, self.predictor.gathered)):
                found = self.predictor.scores(some, [item] * len(some))
                for clip, scored in zip(some, found, strict=True):
                    self.clip(item, clip, scored, channel, drawn=False)
                    if clip.speaker is not None:
                        clip.segments.clear()
                        turns.append((clip, scored))
            self._speakers(item, turns, channel)
        except (ItemError, InputError) as error:
            self.failed(Unread(item.path, str(error)))

    def _speakers(
        self, item: Item, turns: Sequence[tuple[Clip, Scored]], channel: str | None
    ) -> None:
        """Hand on a row for each speaker of a recording: of the windows of all turns together."""
        for name in dict.fromkeys(clip.speaker for clip, _ in turns if clip.speaker is not None):
            own = [(clip, scored) for clip, scored in turns if clip.speaker == name]
            heard = sum(clip.heard for clip, _ in own)
            shares = [(clip.speech, clip.heard) for clip, _ in own]
            speech = None
            if self.predictor.options.vad != OFF:
                spoken = sum((share or 0.0) * seconds for share, seconds in shares)
                speech = spoken / heard if heard else 0.0
            duration = sum(clip.duration for clip, _ in own)
            clip = Clip([], duration, speaker=name, heard=heard, speech=speech)
            windows = sum(scored.windows for _, scored in own)
            rows = np.concatenate([scored.rows for _, scored in own])
            self.clip(item, clip, Scored(rows, windows), channel, drawn=False)

    def _pool_long(self, item: Item, channel: str | None, listened: Listened) -> None:
        """Predict it as one row, of the posteriors of all windows."""
        task = Long(item, channel, listened)
        if self.predictor.hearing.length is None:
            self._rows["parts"] += 1
        route = self.predictor.known_route(item)
        if route is None and self.predictor.routed:
            route = self.predictor.load().route_of(
                clip.arrays for clip in self.predictor.long(task)
            )
        rows, windows = [], 0
        for clip in self.predictor.long(task):
            (part,) = self.predictor.scored([clip], [route if clip.segments else None])
            rows.append(part.rows)
            windows += part.windows
        scored = Scored(np.concatenate(rows), windows, route)
        self.clip(item, clip, scored, channel, drawn=False)
        if self.predictor.explainer is not None:
            self.console.note(f"{show(item.path)}: not drawn, longer than {LONG:g} s")

    def conclude(self) -> None:
        """Report what was unusual about the recordings, and what was drawn."""
        if unusual := summarised(self._notes):
            self.console.note(unusual)
        counted, vad = self._rows, self.predictor.options.vad
        what = f"without a {'number' if self.predictor.numbers else 'label'}: no speech"
        if counted["silent"]:
            self.console.note(
                f"{counted['silent']} of {plural(counted['all'], 'row')} {what} (--vad {vad})"
            )
        if counted["rejected"]:
            self.console.note(
                f"{counted['rejected']} of {plural(counted['all'], 'row')} without a label:"
                " confidence below --reject"
            )
        if counted["parts"]:
            self.console.note(
                f"{plural(counted['parts'], 'recording')} longer than {LONG:g} s: heard in equal"
                " parts of at most that, as featurize --segment-max cuts them"
            )
        if (explainer := self.predictor.explainer) is not None:
            self.console.note(f"{show(explainer.folder)}: {plural(len(explainer.names), 'figure')}")
        from sertool.models.scoring import announce

        scorer = self.predictor.loaded
        averaged = counted["averaged"] + (scorer.windows_averaged if scorer else 0)
        padded = counted["padded"] + (scorer.padded if scorer else 0)
        announce(self.console, averaged, padded, "recordings or windows")
