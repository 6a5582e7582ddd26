"""A recording of any length as mono samples: read in blocks, and listened to for voices."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sertool.audio import LONG, voice
from sertool.audio.blocks import blocks, facts
from sertool.audio.decoding import Recording, Sound, decode, mono
from sertool.audio.opening import bounds, check_length, local
from sertool.audio.waveform import Examiner, crop, resample, to_float
from sertool.core.errors import ItemError

BLOCK = 30  # seconds read at a time of a long one
MOST = 1 << 23  # samples read at a time, of all channels: 32 MB
_LEAST_RATE = 4000  # bytes a second: a compressed file rarely has fewer


class Whole:
    """A recording in memory: samples (n,), int16 or float32, at `rate`.

    channels: of the file, of which `channel` was taken.
    """

    def __init__(
        self, samples: np.ndarray, rate: int, channels: int = 1, channel: str = "mix"
    ) -> None:
        if not len(samples):
            raise ItemError("no samples")
        self.samples, self.rate = samples, rate
        self.channels, self.channel = channels, channel
        self._resampled: dict[int, np.ndarray] = {rate: samples}

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.rate

    def read(self, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1."""
        return self.samples[first:last]

    def resampled(self, rate: int, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1 of the recording at another rate."""
        if rate not in self._resampled:
            self._resampled[rate] = resample(self.samples, self.rate, rate)
        return self._resampled[rate][first:last]

    def parts(self) -> Iterator[np.ndarray]:
        """Yield all the samples, in order."""
        yield self.samples

    def close(self) -> None:
        """Nothing is open."""


class InParts:
    """A file of any length, of which little is in memory at a time; best read in order.

    start and end: seconds, of a cut, of which `skipped` seconds are left out at the beginning.
    `channel` as `decode` takes it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        channel: str,
        start: float | None = None,
        end: float | None = None,
        skipped: float = 0.0,
    ) -> None:
        self.path, self.channel = path, channel
        known = facts(path)
        self.rate, self.channels = known.sample_rate, known.channels
        if known.frames is None:  # the length is known at the end alone
            first, last = round((start or 0.0) * self.rate), round((end or 1e12) * self.rate)
        else:
            first, last = bounds(known.frames, self.rate, start, end)
            check_length(last - first, self.rate)
        self._first, self._last = first + round(skipped * self.rate), last
        self._skipped = skipped
        self._exact = known.frames is not None
        self._held: dict[int, _Held] = {}  # by rate

    @property
    def total(self) -> int | None:
        """How many samples there are, without those skipped; None where only reading tells."""
        return self._last - self._first if self._exact else None

    @property
    def duration(self) -> float:
        """Seconds, those skipped included; a file that does not say is read to its end."""
        if self._exact:
            return (self._last - self._first) / self.rate + self._skipped
        return sum(map(len, self.parts())) / self.rate + self._skipped

    def parts(self) -> Iterator[np.ndarray]:
        """Yield all the samples as float32 (n,), in order. Raises ItemError."""
        return self._blocks()

    def only(self, first: int, last: int) -> InParts:
        """Return samples first to last - 1 as a recording, where so many are known to be there."""
        made = copy.copy(self)
        made._first, made._last = self._first + first, self._first + last
        made._skipped, made._exact, made._held = 0.0, True, {}
        return made

    def _blocks(self, begin: int = 0) -> Generator[np.ndarray, None, None]:
        at = self._first + begin
        if at >= self._last:
            return
        frames = max(1, min(BLOCK * self.rate, MOST // self.channels))
        for block in blocks(self.path, frames, at):
            part = mono(block, self.channel)[: self._last - at]
            at += len(block)
            if len(part):
                yield part
            if at >= self._last:
                return

    def _blocks_at(self, rate: int, _: int) -> Generator[np.ndarray, None, None]:
        """Yield all the samples at another rate: those of the whole, resampled at once."""
        import soxr

        stream = soxr.ResampleStream(self.rate, rate, 1, quality="HQ")
        total = done = 0
        for part in self._blocks():
            total += len(part)
            made = stream.resample_chunk(np.ascontiguousarray(part))
            done += len(made)
            if len(made):
                yield made
        rest = max(0, -(-total * rate // self.rate) - done)
        made = stream.resample_chunk(np.zeros(0, np.float32), last=True)
        yield np.pad(made, (0, max(0, rest - len(made))))[:rest]

    def read(self, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1, fewer at the end, as float32."""
        return self.resampled(self.rate, first, last)

    def resampled(self, rate: int, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1 of the recording at another rate, fewer at the end.

        They are what the whole, resampled at once, would have there.
        """
        if rate not in self._held:
            at_once = rate == self.rate
            begin = self._blocks if at_once else partial(self._blocks_at, rate)
            self._held[rate] = _Held(begin, seeks=at_once)
        return self._held[rate].read(first, last)

    def close(self) -> None:
        """Let go of the file."""
        for held in self._held.values():
            held.close()


class _Held:
    """Samples that come in order, of which those that were read are kept.

    begin: returns them from one on; from the first alone, unless it `seeks`.
    """

    def __init__(
        self, begin: Callable[[int], Generator[np.ndarray, None, None]], seeks: bool
    ) -> None:
        self._begin, self._seeks = begin, seeks
        self._restart(0)

    def _restart(self, first: int) -> None:
        self._ahead = self._begin(first)
        self._samples, self._first = np.zeros(0, np.float32), first

    def read(self, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1, fewer at the end."""
        end = self._first + len(self._samples)
        if first < self._first or (self._seeks and first > end + MOST):
            self.close()
            self._restart(first if self._seeks else 0)
            end = self._first
        if end < last:
            pieces = [self._samples[first - self._first :]]
            while end < last and (block := next(self._ahead, None)) is not None:
                if end + len(block) > first:  # no view of a block that is not wanted
                    pieces.append(block[max(0, first - end) :])
                end += len(block)
            self._samples = np.concatenate(pieces)
            self._first = end - len(self._samples)
        return self._samples[max(0, first - self._first) : max(0, last - self._first)]

    def close(self) -> None:
        """Let go of the file."""
        self._ahead.close()


@dataclass
class Listened:
    """What one pass over a recording tells.

    `total` samples at `rate`; `speech`: the stretches in which somebody speaks (seconds from the
    beginning), None where nobody listened for it. notes: as `decoding.Decoded` has them.
    """

    rate: int
    total: int
    notes: list[str] = field(default_factory=list)
    speech: list[voice.Span] | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.total / self.rate


def is_long(path: Recording, start: float | None, end: float | None) -> bool:
    """Return whether a recording, or a cut of one, is longer than `LONG`; ItemError."""
    if isinstance(path, Sound):
        return False
    if end is not None and end - (start or 0.0) <= LONG:
        return False
    known = facts(path)
    if known.frames is None:
        return os.path.getsize(local(path)) > LONG * _LEAST_RATE
    return known.frames / known.sample_rate - (start or 0.0) > LONG


def open_recording(
    path: Recording, channel: str, start: float | None, end: float | None, skipped: float = 0.0
) -> Whole | InParts:
    """Return a recording, or a cut of one, to read from: in memory unless it is long; ItemError.

    start, end and `skipped`: seconds, as `InParts` takes them.
    """
    if is_long(path, start, end):
        assert not isinstance(path, Sound)
        return InParts(path, channel, start, end, skipped)
    decoded = decode(path, start=start, end=end, channel=channel, hashed=False)
    samples = crop(decoded.samples, decoded.sample_rate, skipped, None)
    return Whole(samples, decoded.sample_rate, decoded.channels, channel)


def listen(source: Whole | InParts, vad: str) -> Listened:
    """Return what one pass over a recording tells; `vad` names a detector, or is "off".

    Raises ItemError, and SertoolError where the detector is not installed.
    """
    ear = None if vad == voice.OFF else Ear(vad, source.rate)
    total = 0
    examiner = Examiner()
    for part in source.parts():
        total += len(part)
        examiner.look(part)
        if ear is not None:
            ear.hear(part)
    if not total:
        raise ItemError("no samples")
    notes = examiner.faults
    if source.channels > 1 and source.channel == "mix":
        notes.append("mixed")
    speech = None if ear is None else ear.stretches(total / source.rate)
    return Listened(source.rate, total, sorted(notes), speech)


class Ear:
    """A detector that is given the samples of one recording at any rate, bit by bit.

    kept: seconds of the past that it remembers; by default all.
    """

    def __init__(self, vad: str, rate: int, kept: float | None = None) -> None:
        self.detector = voice.detector(vad)
        self._kept = None if kept is None else round(kept / self.detector.hop)
        self._scores: list[np.ndarray] = []
        self._forgotten = 0
        self._stream = None
        if rate != self.detector.rate:
            import soxr

            self._stream = soxr.ResampleStream(rate, self.detector.rate, 1, quality="HQ")

    def hear(self, samples: np.ndarray, last: bool = False) -> None:
        """Listen on; `last`: nothing follows."""
        sound = to_float(samples)
        if self._stream is not None:
            sound = self._stream.resample_chunk(np.ascontiguousarray(sound), last)
        self._scores.append(self.detector.scores(sound))
        if self._kept is not None:
            known = np.concatenate(self._scores)
            self._forgotten += max(0, len(known) - self._kept)
            self._scores = [known[-self._kept :]]

    def stretches(self, duration: float) -> list[voice.Span]:
        """Return where somebody spoke in what is remembered of `duration` seconds, the end heard.

        Times are seconds from the beginning of all that was ever heard.
        """
        self.hear(np.zeros(0, np.float32), last=True)
        return self.so_far(duration)

    def so_far(self, duration: float) -> list[voice.Span]:
        """Return the same where more follows."""
        hop = self.detector.hop
        begin = self._forgotten * hop
        active = self.detector.decide(np.concatenate(self._scores))
        found = voice.stretches(active, hop, duration - begin)
        return [(begin + a, begin + b) for a, b in found]
