"""One featurize stage: an utterance cropped, resampled, padded and cut, and its features."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sertool.audio import waveform
from sertool.core.errors import ItemError
from sertool.core.memory import TooMuch, afford
from sertool.features.spec import FeaturizeSpec

if TYPE_CHECKING:
    from sertool.audio.decoding import Decoded, Recording
    from sertool.features.frames import Samples


class Segment(NamedTuple):
    """One item that a stage makes of an utterance: all of it, or a part.

    `suffix` ends the item's id: "", or "#000" and so on. `start` and `seconds` say which part of
    the recording it is (zeros that fill it up included).
    """

    suffix: str
    array: np.ndarray
    start: float
    seconds: float


@dataclass(frozen=True)
class Stage(FeaturizeSpec):
    """A featurize stage that runs: from an utterance to its items.

    >>> stage = Stage("mel", {"n_mels": 40}, sample_rate=16000)
    >>> [segment.array.shape for segment in stage.extract(np.zeros(16000, np.float32), 16000)]
    [(32, 40)]
    """

    @property
    def store_dtype(self) -> np.dtype:
        """The type that the stage's arrays have in a store."""
        return np.dtype(self.dtype or self.prepared[0].dtypes[0])

    def frame_rate(self, sample_rate: int) -> float:
        """Return the frames per second of the features at a sample rate in Hz; 0 for pictures."""
        found, settings = self.prepared
        return found.frame_rate(sample_rate, settings)

    def remarks(self, sample_rate: int) -> list[str]:
        """Return lines that the user should see once, such as empty mel bands.

        Raises UsageError where the settings do not fit the sample rate.
        """
        found, settings = self.prepared
        lines = list(found.remarks(sample_rate, settings))
        if self.dtype == "float16" and getattr(settings, "scale", "") in ("power", "magnitude"):
            lines.append("float16 ends at 65504 and has 3 digits: linear scales lose quiet frames")
        return lines

    def load(
        self,
        path: Recording,
        start: float | None = None,
        end: float | None = None,
        fingerprinted: bool = False,
        most: int | None = None,
    ) -> Decoded:
        """Return an utterance of an audio file: cropped, resampled, padded.

        Adds the note "cropped" where the end was left out, "padded" where zeros were appended.
        Raises ItemError, and `decoding.TooLong` where it has more than `most` samples.
        """
        from sertool.audio import decoding  # soundfile

        decoded = decoding.decode(
            path,
            start=start,
            end=end,
            offset=self.offset,
            duration=self._crop,
            channel=self.channel,
            sample_rate=self.sample_rate,
            fingerprinted=fingerprinted,
            most=most,
        )
        return self._fitted(decoded)

    def load_samples(self, samples: np.ndarray, sample_rate: int) -> Decoded:
        """Return samples (n,), int16 or float32, as `load` returns those of a mono file.

        For an item of a waveform store and for sound that never was a file. Raises ItemError.
        """
        from sertool.audio import decoding  # soundfile

        decoded = decoding.from_samples(
            samples,
            sample_rate,
            offset=self.offset,
            duration=self._crop,
            to_rate=self.sample_rate,
        )
        return self._fitted(decoded)

    @property
    def _crop(self) -> float | None:
        return None if self.fit == "pad" else self.duration

    def crop(self, rate: int) -> slice:
        """Return which samples of an utterance are taken, at its own rate (Hz)."""
        first = round(self.offset * rate)
        return slice(first, None if self._crop is None else first + round(self._crop * rate))

    def _fitted(self, decoded: Decoded) -> Decoded:
        """Bring decoded samples to the stage's duration."""
        long = round(decoded.duration * decoded.source_rate)
        total, notes = self.fitted(
            len(decoded.samples), decoded.sample_rate, long, decoded.source_rate
        )
        if total != len(decoded.samples):
            decoded.samples = _cut(decoded.samples, 0, total)
        decoded.notes += notes
        return decoded

    def fitted(
        self, total: int, rate: int, source_total: int, source_rate: int
    ) -> tuple[int, list[str]]:
        """Return how many samples `total` at a rate (Hz) become by the stage's duration, and notes.

        source_total: of the whole utterance, at its own rate.
        """
        notes = []
        if self.duration is not None:
            wanted = max(1, round(self.duration * rate))
            if self.fit != "pad":
                total = min(total, wanted)
                if source_total / source_rate - self.offset > self.duration + 0.5 / source_rate:
                    notes.append("cropped")
            if self.fit != "crop" and total < wanted:
                total = wanted
                notes.append("padded")
        return total, notes

    def extract(self, samples: np.ndarray, sample_rate: int) -> list[Segment]:
        """Return the items of one utterance, in the store's type.

        `samples` (n,) as `load` gives them: float32 with full scale 1, or int16 with full scale
        32768. Raises ItemError where they are too short for an item.
        """
        segments = []
        for i, (first, last) in enumerate(self.spans(len(samples), sample_rate)):
            suffix = f"#{i:03d}" if self.cuts else ""
            part = _cut(samples, first, last)
            array = self.compute(part, sample_rate)
            start, seconds = first / sample_rate, (last - first) / sample_rate
            segments.append(Segment(suffix, array, self.offset + start, seconds))
        return segments

    def compute(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the features of samples (n,), all of them, in the store's type.

        Raises ItemError where there are none, and where these settings make some infinite.
        """
        found, settings = self.prepared
        if self.kind == "wave" and self.store_dtype == np.int16:
            return waveform.to_int16(samples)  # int16 passes unchanged
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for here
            return self._stored(found.compute(samples, sample_rate, settings))

    def _stored(self, features: np.ndarray) -> np.ndarray:
        """Return features in the store's type; ItemError where one is infinite."""
        if not np.isfinite(features).all():
            raise ItemError(f"these settings of {self.kind} give features that are not finite")
        return _rounded(features, self.store_dtype)

    def compute_blocks(self, samples: Samples, sample_rate: int) -> Iterator[np.ndarray]:
        """Yield what `compute` returns, of samples of any length; for kinds that have `blocks`."""
        found, settings = self.prepared
        assert found.blocks is not None
        blocks = found.blocks(samples, sample_rate, settings)
        while True:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                block = next(blocks, None)
                if block is None:
                    return
                made = self._stored(block)
            yield made

    @property
    def cuts(self) -> bool:
        """Whether a recording is cut into items."""
        return self.segment is not None or self.segment_max is not None

    def spans(self, total: int, rate: int) -> list[tuple[int, int]]:
        """Return (first, last + 1) of each item of `total` samples; may go past the end.

        Raises ItemError where they are too short for an item.
        """
        if self.segment_max is not None:
            return _equal_parts(total, max(1, round(self.segment_max * rate)))
        if self.segment is None:
            return [(0, total)]
        length = max(1, round(self.segment * rate))
        hop = max(1, round((self.segment_hop or self.segment) * rate))
        return _windows(total, length, hop, self.segment_tail)


def _cut(samples: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return samples[first:last], zero-padded where that goes past the end."""
    part = samples[first:last]
    missing = last - first - len(part)
    return np.concatenate([part, silence(missing, samples.dtype)]) if missing else part


def silence(n: int, dtype: np.dtype) -> np.ndarray:
    """Return `n` zeros that a recording is padded with; ItemError where memory has no room."""
    check_padding(n)
    return np.zeros(n, dtype)


def check_padding(n: int) -> None:
    """Raise ItemError where memory has no room for `n` samples that a recording is padded with."""
    try:
        afford(8 * n, f"padding by {n} samples")
    except TooMuch as error:
        raise ItemError(str(error)) from error


def _rounded(features: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16:
        limit = np.finfo(np.float16).max
        features = np.clip(features, -limit, limit)  # never infinite
    return features.astype(dtype, copy=False)


def _equal_parts(total: int, longest: int) -> list[tuple[int, int]]:
    """Return the fewest spans of at most `longest` samples, equal to within one sample."""
    count = -(-total // longest)
    return list(itertools.pairwise(i * total // count for i in range(count + 1)))


def _windows(total: int, length: int, hop: int, tail: str) -> list[tuple[int, int]]:
    """Return spans of `length` every `hop` samples; the last, shorter one as `tail` says."""
    if total < length and tail == "drop":
        raise ItemError("shorter than a segment")
    starts = list(range(0, max(1, total - length + 1), hop))
    following = starts[-1] + hop
    if following < total and starts[-1] + length < total and tail != "drop":
        starts.append(total - length if tail == "align" else following)
    return [(first, first + length) for first in starts]
