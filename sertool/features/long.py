"""Recordings too long to be held: one stage's items of them, read in blocks, several times.

They are the same, to the last bit, as if all were in memory. Only what a kind computes of one item
may need all of that item's samples; then they are held if memory affords it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from sertool import audio
from sertool.audio.fingerprint import Listener
from sertool.audio.listening import InParts
from sertool.audio.waveform import Examiner, nothing_left
from sertool.core.errors import ItemError
from sertool.core.memory import TooMuch, afford
from sertool.features.stage import Stage, check_padding

WHOLE = 8  # bytes a sample of an item that is computed of all its samples: at least two copies


@dataclass
class Examined:
    """What reading an utterance to its end tells; `total` samples at its own rate."""

    total: int
    audio_hash: str
    fingerprint: str
    faults: list[str]


class Samples:
    """Samples (n,) float32 of a recording at a rate, read as they are asked for: best in order.

    Zeros follow its own up to `total`.
    """

    def __init__(self, source: InParts, rate: int, total: int, first: int = 0) -> None:
        self.source, self.rate = source, rate
        self._first, self._total = first, total

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, part: slice, /) -> np.ndarray:
        first, last, _ = part.indices(self._total)
        found = self.source.resampled(self.rate, self._first + first, self._first + last)
        missing = max(0, last - first) - len(found)
        return np.pad(found, (0, missing)) if missing else found

    def only(self, first: int, last: int) -> Samples:
        """Return samples first to last - 1, which may go past the end."""
        return Samples(self.source, self.rate, last - first, self._first + first)


@dataclass
class Long:
    """An utterance that was examined, and its samples as a stage has them.

    notes: as `decoding.Decoded` has them.
    """

    samples: Samples
    examined: Examined
    notes: list[str]

    def close(self) -> None:
        """Let go of the file."""
        self.samples.source.close()


def load(
    stage: Stage, path: str | os.PathLike[str], start: float | None, end: float | None
) -> Long:
    """Return an utterance of a file as `Stage.load` does: cropped, resampled, padded; ItemError."""
    with closing(InParts(path, stage.channel, start, end)) as source:
        crop = stage.crop(source.rate)
        found = _examined(source, crop)
    first, last = crop.start, min(found.total, found.total if crop.stop is None else crop.stop)
    if first >= last:
        raise nothing_left(stage.offset, found.total, source.rate)
    rate = stage.sample_rate or source.rate
    total = -(-(last - first) * rate // source.rate)
    notes = ["mixed"] if source.channels > 1 and stage.channel == "mix" else []
    notes += found.faults
    if rate != source.rate:
        notes.append(audio.resampling(source.rate, rate))
    fitted, more = stage.fitted(total, rate, found.total, source.rate)
    check_padding(fitted - total)
    samples = Samples(source.only(first, last), rate, fitted)
    return Long(samples, found, notes + more)


def _examined(source: InParts, crop: slice) -> Examined:
    """Read an utterance to its end; faults are those of a crop of it."""
    examiner, listener, total = Examiner(), Listener(source.rate), 0
    for part in source.parts():
        examiner.hash(part)
        listener.hear(part)
        stop = None if crop.stop is None else max(0, crop.stop - total)
        if len(inside := part[max(0, crop.start - total) : stop]):
            examiner.look(inside)
        total += len(part)
    if not total:
        raise ItemError("no samples")
    if source.total not in (None, total):
        raise ItemError(f"truncated: only {total} of {source.total} samples")
    found = listener.fingerprint(source.only(0, total).read)
    return Examined(total, examiner.audio_hash, found, examiner.faults)


def extract(stage: Stage, samples: Samples) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Yield (suffix of the id, frames in parts) of each item that `Stage.extract` makes; ItemError.

    The parts of one are to be taken before the next is asked for.
    """
    for i, (first, last) in enumerate(stage.spans(len(samples), samples.rate)):
        yield f"#{i:03d}" if stage.cuts else "", _frames(stage, samples.only(first, last))


def _frames(stage: Stage, samples: Samples) -> Iterator[np.ndarray]:
    rate = samples.rate
    kind = stage.prepared[0]
    if len(samples) <= audio.HELD or kind.blocks is None:
        try:
            seconds = len(samples) / rate
            afford(WHOLE * len(samples), f"kind {kind.name} of {seconds:.0f} s, in one piece,")
        except TooMuch as error:
            raise ItemError(f"{error}; or cut it, e.g. --segment 3") from error
        yield stage.compute(samples[:], rate)
    else:
        yield from stage.compute_blocks(samples, rate)
