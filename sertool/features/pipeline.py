"""The replay of a store's pipeline: from a recording to the arrays that the store would hold.

What `featurize` writes and what `eval` and `predict` compute come from the same functions, so that
they agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sertool.audio.decoding import Decoded, Recording, Sound, decode
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import from_text, show
from sertool.features.stage import Segment, Stage
from sertool.items import Item

CHANGES = {"resampled", "padded"}  # notes of what was done, rather than of what was found


@dataclass
class Clip:
    """What becomes one prediction: a recording, or a window of it, as its segments.

    Times are in seconds. `duration` is that of the whole recording, or of the window; `start` and
    `end` say which part of the recording was asked for.
    """

    segments: list[Segment]
    duration: float
    start: float | None = None
    end: float | None = None

    @property
    def arrays(self) -> list[np.ndarray]:
        """The features of each segment."""
        return [segment.array for segment in self.segments]


@dataclass
class Replayed:
    """The clips of one recording, or why there are none; `notes` are those of `audio.decode`."""

    item: Item
    clips: list[Clip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class Pipeline:
    """The featurize stages between a recording and a store; all but the last are of kind `wave`.

    Augmentation is left out. Raises UsageError for stages that do not lead from a waveform.

    >>> pipeline = Pipeline((Stage("wave", sample_rate=16000), Stage("mel", {"n_mels": 40})))
    >>> [array.shape for array in pipeline.arrays(np.zeros(44100, np.int16), 44100)]
    [(32, 40)]
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        kinds = [stage.kind for stage in self.stages]
        if not kinds or any(kind != "wave" for kind in kinds[:-1]):
            raise UsageError(f"no pipeline from a waveform: {[show(kind) for kind in kinds]}")

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, Any]]) -> Pipeline:
        """Return the featurize stages of a store's or checkpoint's `pipeline`."""
        chosen = (record for record in records if record.get("stage") == "featurize")
        return cls(tuple(map(Stage.from_dict, chosen)))

    @classmethod
    def of_file(cls, records: Sequence[Mapping[str, Any]], name: str) -> Pipeline:
        """Return the pipeline of the file `name`; InputError where it cannot be replayed."""
        try:
            pipeline = cls.from_records(records)
            for stage in pipeline.stages:
                _ = stage.prepared
            return pipeline
        except UsageError as error:
            raise InputError(f"{name}: its pipeline cannot be replayed: {error}") from error

    def decode(
        self, path: Recording, start: float | None = None, end: float | None = None
    ) -> Decoded:
        """Return a recording at its own rate, uncropped, mono as the pipeline mixes it."""
        return decode(path, start=start, end=end, channel=self.stages[0].channel)

    def replay(self, item: Item) -> Replayed:
        """Return an item's recording as one clip, its duration that before any crop; ItemError."""
        decoded = self.stages[0].load(_recording(item), item.start, item.end)
        clip = Clip(self._segments(decoded), decoded.duration, item.start, item.end)
        return Replayed(item, [clip], decoded.notes)

    def replay_windows(self, item: Item, window: float, hop: float) -> Replayed:
        """Return an item's recording as a clip per window, each replayed as if it were a file.

        `window` and `hop` are in seconds. Raises ItemError.
        """
        decoded = self.decode(_recording(item), item.start, item.end)
        rate, begin = decoded.sample_rate, item.start or 0.0
        replayed = Replayed(item, notes=decoded.notes)
        length, step = max(1, round(window * rate)), max(1, round(hop * rate))
        for first, last in spans(len(decoded.samples), length, step):
            part = self.stages[0].load_samples(decoded.samples[first:last], rate)
            times = (begin + first / rate, begin + last / rate)
            replayed.clips.append(Clip(self._segments(part), part.duration, *times))
            for note in CHANGES.intersection(part.notes).difference(decoded.notes):
                decoded.notes.append(note)
        return replayed

    def segments(self, samples: np.ndarray, sample_rate: int) -> list[Segment]:
        """Return the segments of samples (n,), int16 or float32, as of a mono file; ItemError."""
        return self._segments(self.stages[0].load_samples(samples, sample_rate))

    def arrays(self, samples: np.ndarray, sample_rate: int) -> list[np.ndarray]:
        """Return the features of each segment of samples (n,), as `segments` does."""
        return [segment.array for segment in self.segments(samples, sample_rate)]

    def _segments(self, decoded: Decoded) -> list[Segment]:
        """Return the last stage's output for a recording that the first has loaded.

        As in the stores on the way: each rounds to its type, and an item that a later stage
        refuses is left out. Raises ItemError where none remains.
        """
        rate = decoded.sample_rate
        segments = self.stages[0].extract(decoded.samples, rate)
        for stage in self.stages[1:]:
            following: list[Segment] = []
            refused = ItemError("no items")
            for outer in segments:
                try:
                    part = stage.load_samples(outer.array, rate)
                    inner = stage.extract(part.samples, part.sample_rate)
                except ItemError as error:
                    refused = error
                    continue
                following += [one._replace(start=outer.start + one.start) for one in inner]
            if not following:
                raise refused
            segments, rate = following, stage.sample_rate or rate
        return segments


def _recording(item: Item) -> Recording:
    """Return what an item is decoded from: its file, or its samples."""
    return item if isinstance(item, Sound) else from_text(item.path)


def spans(total: int, length: int, hop: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of windows of `length` every `hop` in `total` samples.

    What the last whole window leaves over is covered by one more that ends at the end; a recording
    shorter than a window is one.
    """
    first = 0
    while first + length <= total:
        yield first, first + length
        first += hop
    covered = first - hop + length if first else 0
    if covered < total and first < total:
        yield max(0, total - length), total
