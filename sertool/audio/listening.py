"""A recording of any length as mono samples: read in blocks, and listened to for voices."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from sertool.audio import LONG, voice
from sertool.audio.blocks import blocks, facts
from sertool.audio.decoding import Recording, Sound, decode, mono
from sertool.audio.opening import bounds, check_length, local
from sertool.audio.waveform import crop, faults, resample, to_float
from sertool.core.errors import ItemError

BLOCK = 30  # seconds read at a time of a long one
MARGIN = 1  # seconds read beside a part, so that it is resampled as the whole would be
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
        self._held = np.zeros(0, np.float32)
        self._begin = 0  # of what is held
        self._ahead: Generator[np.ndarray, None, None] = self._blocks()
        self._chunk: tuple[int, int, np.ndarray] | None = None  # rate, first sample, samples

    @property
    def duration(self) -> float:
        """Seconds, those skipped included; a file that does not say is read to its end."""
        if self._exact:
            return (self._last - self._first) / self.rate + self._skipped
        return sum(map(len, self.parts())) / self.rate + self._skipped

    def parts(self) -> Iterator[np.ndarray]:
        """Yield all the samples as float32 (n,), in order. Raises ItemError."""
        return self._blocks()

    def _blocks(self) -> Generator[np.ndarray, None, None]:
        at = 0
        for block in blocks(self.path, BLOCK * self.rate):
            part = mono(block, self.channel)[max(0, self._first - at) : self._last - at]
            at += len(block)
            if len(part):
                yield part
            if at >= self._last:
                return

    def read(self, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1, fewer at the end, as float32."""
        if first < self._begin:
            self._ahead.close()
            self._ahead = self._blocks()
            self._held, self._begin = np.zeros(0, np.float32), 0
        end = self._begin + len(self._held)
        if end < last:
            pieces = [self._held[first - self._begin :]]
            while end < last and (block := next(self._ahead, None)) is not None:
                pieces.append(block[max(0, first - end) :])
                end += len(block)
            self._held = np.concatenate(pieces)
            self._begin = end - len(self._held)
        return self._held[max(0, first - self._begin) : max(0, last - self._begin)]

    def resampled(self, rate: int, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1 of the recording at another rate.

        What the whole, resampled at once, would have there, to rounding: parts begin at a whole
        second, where the samples of both rates meet.
        """
        if rate == self.rate:
            return self.read(first, last)
        if self._chunk is None or not self._holds(rate, first, last):
            second = first // rate
            until = max(-(-last // rate), second + BLOCK)
            before = min(MARGIN, second)
            part = self.read((second - before) * self.rate, (until + MARGIN) * self.rate)
            made = resample(part, self.rate, rate)[before * rate :][: (until - second) * rate]
            self._chunk = rate, second * rate, made
        _, begin, samples = self._chunk
        return samples[first - begin : last - begin]

    def _holds(self, rate: int, first: int, last: int) -> bool:
        assert self._chunk is not None
        known, begin, samples = self._chunk
        return known == rate and begin <= first and last <= begin + len(samples)

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
    notes: set[str] = set()
    silent = True
    for part in source.parts():
        total += len(part)
        found = faults(part)
        silent = silent and "silent" in found
        notes |= {"clipped"}.intersection(found)
        if ear is not None:
            ear.hear(part)
    if not total:
        raise ItemError("no samples")
    if silent:
        notes = {"silent"}
    if source.channels > 1 and source.channel == "mix":
        notes.add("mixed")
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
