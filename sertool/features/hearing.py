"""From recordings to the arrays that a checkpoint was trained on: whole, or by windows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sertool.audio import decoding as audio
from sertool.audio.decoding import Decoded
from sertool.features.pipeline import extract, featurize_stages, load, replay_samples

Pipeline = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Source:
    """A recording, or the part of it between `start` and `end` (seconds); `label` if known.

    item: the fields that a manifest's line gives it.
    """

    path: str | os.PathLike[str]
    start: float | None = None
    end: float | None = None
    label: str | None = None
    item: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass
class Piece:
    """What becomes one prediction: the arrays of its segments; times in seconds.

    `duration` is that of the whole recording, or of the window; `start` and `end` of the part of
    the recording that was asked for.
    """

    arrays: list[np.ndarray]
    duration: float
    start: float | None = None
    end: float | None = None


@dataclass
class Heard:
    """One recording as pieces, or why there are none."""

    source: Source
    pieces: list[Piece] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None


def hear(pipeline: Pipeline, source: Source) -> Heard:
    """Return a recording as one piece: the arrays that a store of this pipeline would hold.

    Its duration is that before any crop. Raises ItemError.
    """
    specs = featurize_stages(list(pipeline))
    decoded = load(specs[0], source.path, source.start, source.end)
    arrays = [array for _, array in extract(specs[0], decoded.samples, decoded.sample_rate)]
    if len(specs) > 1:
        rest = [spec.to_dict() for spec in specs[1:]]
        rate = decoded.sample_rate
        arrays = [array for part in arrays for array in replay_samples(rest, part, rate)]
    piece = Piece(arrays, decoded.duration, source.start, source.end)
    return Heard(source, [piece], decoded.notes)


def spans(total: int, length: int, hop: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of windows of `length` every `hop` in `total` samples.

    What the last whole window leaves over is heard in one more that ends at the end; a recording
    shorter than a window is one.
    """
    first = 0
    while first + length <= total:
        yield first, first + length
        first += hop
    heard = first - hop + length if first else 0
    if heard < total and first < total:
        yield max(0, total - length), total


def decode(pipeline: Pipeline, source: Source) -> Decoded:
    """Return a recording as it was recorded: whole, at its own rate, mono as the pipeline asks."""
    channel = featurize_stages(list(pipeline))[0].channel
    return audio.decode(source.path, start=source.start, end=source.end, channel=channel)


def hear_windows(pipeline: Pipeline, source: Source, window: float, hop: float) -> Heard:
    """Return a recording as one piece a window (both in seconds), each a recording of its own."""
    decoded = decode(pipeline, source)
    rate, begin = decoded.sample_rate, source.start or 0.0
    heard = Heard(source, notes=decoded.notes)
    length, step = max(1, round(window * rate)), max(1, round(hop * rate))
    for first, last in spans(len(decoded.samples), length, step):
        arrays = replay_samples(list(pipeline), decoded.samples[first:last], rate)
        piece = Piece(arrays, (last - first) / rate, begin + first / rate, begin + last / rate)
        heard.pieces.append(piece)
    return heard
