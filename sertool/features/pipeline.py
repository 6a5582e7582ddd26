"""The replay of a store's pipeline: from a recording to the arrays that the store would hold.

What `featurize` writes and what `eval` and `predict` compute come from the same functions, so that
they agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sertool.audio.decoding import Decoded, Recording, Sound, decode
from sertool.audio.waveform import resample
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import located, show
from sertool.features.spec import ENCODED
from sertool.features.stage import Segment, Stage
from sertool.items import Item


@dataclass
class Replayed:
    """What a store would hold of a recording, and the sound that it was made from."""

    segments: list[Segment]
    decoded: Decoded


@dataclass(frozen=True)
class Pipeline:
    """The featurize stages between a recording and a store; all but the last are of kind `wave`.

    Augmentation is left out. Raises UsageError for stages that do not lead from a waveform.

    >>> pipeline = Pipeline((Stage("wave", sample_rate=16000), Stage("mel", {"n_mels": 40})))
    >>> [array.shape for array in pipeline.arrays(np.zeros(44100, np.int16), 44100)]
    [(32, 40)]
    """

    stages: tuple[Stage, ...]
    name: str = ""  # of the file that it comes from, if it comes from one

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
            return replace(pipeline, name=name)
        except UsageError as error:
            raise _not_replayed(name, error) from error

    @property
    def encoded(self) -> bool:
        """Whether a stage's features may be those of an encoder."""
        return any(stage.kind in ENCODED for stage in self.stages)

    def decode(
        self, path: Recording, start: float | None = None, end: float | None = None
    ) -> Decoded:
        """Return a recording at its own rate, uncropped, mono as the pipeline mixes it."""
        return decode(path, start=start, end=end, channel=self.stages[0].channel)

    def replay_samples(self, samples: np.ndarray, sample_rate: int) -> Replayed:
        """Return samples (n,), int16 or float32, as the store of a mono file would hold them.

        Raises ItemError.
        """
        decoded = self.stages[0].load_samples(samples, sample_rate)
        with self._blamed():
            return Replayed(self._segments(decoded), decoded)

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Say of settings that do not suit which file they stand in: InputError."""
        try:
            yield
        except UsageError as error:
            if not self.name:
                raise
            raise _not_replayed(self.name, error) from error

    def features(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the features of samples (n,) that are cut and at the first stage's rate already.

        As in the stores on the way, each stage rounds to its type. Raises ItemError.
        """
        for stage in self.stages:
            if stage.sample_rate not in (None, sample_rate):
                samples = resample(samples, sample_rate, stage.sample_rate)
                sample_rate = stage.sample_rate
            with self._blamed():
                samples = stage.compute(samples, sample_rate)
        return samples

    def arrays(self, samples: np.ndarray, sample_rate: int) -> list[np.ndarray]:
        """Return the features of each segment of samples (n,), as `replay_samples` does."""
        return [segment.array for segment in self.replay_samples(samples, sample_rate).segments]

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


def _not_replayed(name: str, error: UsageError) -> InputError:
    return InputError(f"{name}: its pipeline cannot be replayed: {error}")


def recording(item: Item) -> Recording:
    """Return what an item is decoded from: its file, or its samples."""
    return item if isinstance(item, Sound) else located(item.path)


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
