"""How all of a recording is heard: in windows of the length that a model was trained on.

A pipeline that crops recordings to D seconds hears a longer one in windows of D, half overlapping,
the last one moved back to end at the end; one that cuts segments hears those; one that does
neither hears the recording whole, or in equal parts of at most `LONG` seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise

import numpy as np

from sertool.audio import LONG, resampling
from sertool.audio.listening import (
    InParts,
    Listened,
    Whole,
    listen,
    open_recording,
)
from sertool.audio.voice import AROUND, OFF, SHORTEST, Span, overlap
from sertool.core import stopping
from sertool.core.errors import ItemError
from sertool.features.pipeline import Pipeline, recording, spans
from sertool.features.spec import in_windows
from sertool.features.stage import Segment, Stage, silence
from sertool.features.turns import Turn
from sertool.items import Item

LEAST = SHORTEST + AROUND  # seconds of speech in a window: less is the edge of some next to it
MANY = 64  # windows whose features are in memory together, of one long recording


@dataclass
class Clip:
    """What becomes one prediction, or a part of what does: the windows that were heard of it.

    Times are in seconds. `duration` is that of the whole recording, or of the window that a row is
    for; `start` and `end` say which part of the file that is, `speaker` whose turn. whose: the
    speaker by whose recordings the features are normalised. heard: seconds of it that are given to
    the model; speech: the share of them in which somebody speaks, None where nobody listened for
    it. Nothing is heard of what holds no speech. padded: whether zeros fill a window up. error: why
    no window has features.
    """

    segments: list[Segment]
    duration: float
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    whose: str | None = None
    heard: float = 0.0
    speech: float | None = None
    padded: bool = False
    error: str | None = None

    @property
    def arrays(self) -> list[np.ndarray]:
        """The features of each window."""
        return [segment.array for segment in self.segments]


@dataclass
class Heard:
    """The clips of one recording, or why there are none.

    listened: what is known of a recording that is too long for its clips to be here; they are made
    again, a few at a time. notes: as `decoding.Decoded` has them.
    """

    item: Item
    clips: list[Clip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    listened: Listened | None = None


@dataclass(frozen=True)
class Hearing:
    """How recordings are heard through a pipeline.

    vad: the name of a detector of speech, or "off". each: a clip for every window of the model's
    own length. window, hop: seconds; a clip for every such window. stretches: a clip for every
    stretch of speech. whole_crop: only what the pipeline crops a recording to. channel: as
    `decoding.mono` takes it; None for the pipeline's own. turns: a clip for each of these turns of
    the recording's speakers.
    """

    pipeline: Pipeline
    vad: str = OFF
    each: bool = False
    window: float | None = None
    hop: float | None = None
    stretches: bool = False
    whole_crop: bool = False
    channel: str | None = None
    turns: Sequence[Turn] | None = None

    @property
    def length(self) -> float | None:
        """The seconds of a window that the model was trained on; None where it takes any."""
        stage = self._segmenting
        if stage is not None:
            return stage.segment
        return self.pipeline.stages[0].duration if self.cropped else None

    @property
    def cropped(self) -> bool:
        """Whether the pipeline takes one crop of a recording."""
        first = self.pipeline.stages[0]
        return first.duration is not None and first.fit != "pad"

    @property
    def _segmenting(self) -> Stage | None:
        """The stage that cuts segments; None where none does."""
        for stage in self.pipeline.stages:
            if stage.segment is not None or stage.segment_max is not None:
                return stage
        return None

    @property
    def _skipped(self) -> float:
        """Seconds left out at the beginning: a crop's are not, where all is heard."""
        return 0.0 if self.cropped else self.pipeline.stages[0].offset

    def hear(self, item: Item) -> Heard:
        """Return an item's recording as clips; of a long one only what a first pass tells.

        Raises ItemError.
        """
        if self.whole_crop and self.cropped:
            return self._crop(item)
        source = self._open(item)
        with closing(source):
            listened = listen(source, self.vad)
        rate = self.pipeline.stages[0].sample_rate
        if rate is not None and rate != source.rate:
            listened.notes.append(resampling(source.rate, rate))
        if isinstance(source, InParts):
            return Heard(item, notes=listened.notes, listened=listened)
        clips = list(self._clips(item, source, listened))
        if any(clip.padded for clip in clips):
            listened.notes.append("padded")
        return Heard(item, clips, listened.notes)

    def clips(self, item: Item, listened: Listened) -> Iterator[Clip]:
        """Yield the clips of a long recording, in their order.

        Of one that becomes a single prediction they are parts, of at most `MANY` windows.
        """
        with closing(self._open(item)) as source:
            yield from self._clips(item, source, listened)

    @property
    def one_row(self) -> bool:
        """Whether all clips of a recording become a single prediction."""
        return not (self.each or self.stretches or self.window or self.turns)

    def everything(self, channel: str | None, turns: Sequence[Turn] | None) -> Hearing:
        """Return how all of a recording is heard, or of its turns: silence, too, as it comes."""
        return replace(
            self, vad=OFF, each=False, window=None, hop=None, stretches=False, channel=channel,
            turns=turns,
        )  # fmt: skip

    def part(self, samples: np.ndarray, rate: int, speech: Sequence[Span] | None) -> Clip:
        """Return samples (n,) as a clip of their own; `speech` is where they hold any (seconds)."""
        listened = Listened(rate, len(samples), speech=None if speech is None else list(speech))
        source = Whole(samples, rate)
        (clip,) = self._pooled(Item(""), source, listened)
        return clip

    def _open(self, item: Item) -> Whole | InParts:
        channel = self.channel or self.pipeline.stages[0].channel
        return open_recording(recording(item), channel, item.start, item.end, self._skipped)

    def _clips(self, item: Item, source: Whole | InParts, listened: Listened) -> Iterator[Clip]:
        if self.window is not None or self.stretches or self.turns:
            yield from self._parts(item, source, listened)
        elif self.each:
            yield from self._each(item, source, listened)
        else:
            yield from self._pooled(item, source, listened)

    def _parts(self, item: Item, source: Whole | InParts, listened: Listened) -> Iterator[Clip]:
        """Yield a clip for each window that was asked for, each stretch of speech or each turn.

        Each is heard as if it were a recording, but for its speech, which was listened for in all.
        """
        rate, begin = listened.rate, (item.start or 0.0) + self._skipped
        for first, last, speaker in self._asked(listened, begin):
            known = listened.speech
            if known is not None:
                inside = [(max(a, first / rate), min(b, last / rate)) for a, b in known]
                known = [(a - first / rate, b - first / rate) for a, b in inside if a < b]
            clip = self.part(source.read(first, last), rate, known)
            clip.start, clip.end, clip.speaker = begin + first / rate, begin + last / rate, speaker
            yield clip

    def _asked(self, listened: Listened, begin: float) -> Iterator[tuple[int, int, str | None]]:
        """Yield (first, last + 1 sample, speaker if known) of what is to be a clip of its own.

        begin: seconds of the file before what was listened to.
        """
        rate = listened.rate
        if self.window is not None:
            step = max(1, round((self.hop or self.window) * rate))
            for span in spans(listened.total, max(1, round(self.window * rate)), step):
                yield *span, None
            return
        for turn in self.turns or ():
            first = max(0, round((turn.start - begin) * rate))
            last = min(round((turn.end - begin) * rate), listened.total)
            if first < last:
                yield first, last, turn.speaker
        if not self.stretches:
            return
        for a, b in listened.speech or ():
            first, last = round(a * rate), min(round(b * rate), listened.total)
            count = max(1, int(np.ceil((last - first) / (LONG * rate))))
            ends = [first + i * (last - first) // count for i in range(count + 1)]
            for span in pairwise(ends):
                yield *span, None

    def _each(self, item: Item, source: Whole | InParts, listened: Listened) -> Iterator[Clip]:
        begin = (item.start or 0.0) + self._skipped
        for span in self._windows(listened):
            a, b = self._times(span, listened)
            clip = Clip([], b - a, begin + a, begin + b)
            self._fill(clip, self._spoken([span], listened), source, listened)
            yield clip

    def _pooled(self, item: Item, source: Whole | InParts, listened: Listened) -> Iterator[Clip]:
        """Yield the whole recording as one clip; as several of at most `MANY` windows if long."""
        duration = listened.duration + self._skipped
        many = MANY if isinstance(source, InParts) else None
        spoken = self._spoken(self._windows(listened), listened)
        heard, speech = self._shares(spoken, listened)
        windows = iter(spoken)
        while True:
            clip = Clip([], duration, item.start, item.end)
            chosen = list(islice(windows, many))
            self._fill(clip, chosen, source, listened)
            clip.heard, clip.speech = heard, speech
            yield clip
            if many is None or len(chosen) < many:
                return

    def _spoken(
        self, windows: Sequence[tuple[int, int]], listened: Listened
    ) -> list[tuple[int, int]]:
        """Return the windows with speech; all of them if nobody listened for it."""
        if listened.speech is None:
            return list(windows)
        found = []
        for one in windows:
            first, last = self._times(one, listened)
            least = min(LEAST, (last - first) / 2)
            if overlap(listened.speech, first, last) >= least:
                found.append(one)
        return found

    def _windows(self, listened: Listened) -> list[tuple[int, int]]:
        """Return (first, last + 1) of each window, in samples at the model's rate.

        The last one may go past the end of a recording that is too short.
        """
        rate, total = self._rate(listened), self._total(listened)
        first, stage = self.pipeline.stages[0], self._segmenting
        wanted = max(1, round((first.duration or 0.0) * rate))
        if stage is None and self.cropped:
            if first.fit == "crop" and total < wanted:
                return [(0, total)]
            assert first.duration is not None
            return replace(first, **in_windows(first.duration)).spans(total, rate)
        if first.duration is not None and first.fit != "crop":
            total = max(total, wanted)
        return (stage or self._in_parts).spans(total, rate)

    @functools.cached_property
    def _in_parts(self) -> Stage:
        """How a recording is cut that the pipeline takes whole."""
        return replace(self.pipeline.stages[0], segment_max=LONG)

    def _fill(
        self,
        clip: Clip,
        chosen: Sequence[tuple[int, int]],
        source: Whole | InParts,
        listened: Listened,
    ) -> None:
        """Add the features of the chosen windows, and what was heard of the recording in them."""
        clip.heard, clip.speech = self._shares(chosen, listened)
        rate = self._rate(listened)
        for first, last in chosen:
            stopping.check()
            samples = source.resampled(rate, first, last)
            if len(samples) < last - first:
                clip.padded = True
                missing = silence(last - first - len(samples), samples.dtype)
                samples = np.concatenate([samples, missing])
            try:
                array = self.pipeline.features(samples, rate)
            except ItemError as error:
                clip.error = str(error)
                continue
            clip.segments.append(Segment("", array, first / rate, (last - first) / rate))
        if clip.segments:
            clip.error = None

    def _shares(
        self, chosen: Sequence[tuple[int, int]], listened: Listened
    ) -> tuple[float, float | None]:
        """Return (seconds that windows cover, share of them with speech, None if unknown)."""
        covered: list[Span] = []
        for one in chosen:
            a, b = self._times(one, listened)
            if covered and a <= covered[-1][1]:
                covered[-1] = (covered[-1][0], max(b, covered[-1][1]))
            else:
                covered.append((a, b))
        heard = sum(b - a for a, b in covered)
        if listened.speech is None:
            return heard, None
        spoken = sum(overlap(listened.speech, a, b) for a, b in covered)
        return heard, min(1.0, spoken / heard) if heard else 0.0

    def _times(self, window: tuple[int, int], listened: Listened) -> Span:
        """Return the first and last second of a window, the zeros that fill it up left out."""
        rate = self._rate(listened)
        return window[0] / rate, min(window[1] / rate, listened.duration)

    def _rate(self, listened: Listened) -> int:
        return self.pipeline.stages[0].sample_rate or listened.rate

    def _total(self, listened: Listened) -> int:
        """Return how many samples the recording has at the model's rate."""
        return -(-listened.total * self._rate(listened) // listened.rate)

    def _crop(self, item: Item) -> Heard:
        """Return the one clip that the pipeline crops a recording to."""
        first = self.pipeline.stages[0]
        assert first.duration is not None
        with closing(self._open(item)) as source:
            taken = source.read(0, round((first.offset + first.duration) * source.rate))
            duration = source.duration
            mixed = source.channels > 1 and source.channel == "mix"
        replayed = self.pipeline.replay_samples(taken, source.rate)
        notes = [*(["mixed"] if mixed else []), *replayed.decoded.notes]
        if duration > first.offset + first.duration:
            notes.append("cropped")
        heard = min(duration - first.offset, first.duration)
        clip = Clip(replayed.segments, duration, item.start, item.end, heard=heard)
        if self.vad != OFF:
            sound = Whole(replayed.decoded.samples, replayed.decoded.sample_rate)
            spoken = overlap(listen(sound, self.vad).speech or (), 0.0, heard)
            clip.speech = min(1.0, spoken / heard)
            if not clip.speech:
                clip.segments, clip.heard = [], 0.0
        return Heard(item, [clip], notes)
