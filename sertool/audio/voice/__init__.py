"""Where somebody speaks: detectors of voice activity, and the stretches of speech they find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

VADS = ("energy", "silero", "webrtc")
OFF = "off"  # no detector: everything counts as speech

GAP = 0.3  # seconds: a shorter pause does not end a stretch
SHORTEST = 0.1  # seconds: a shorter stretch is a click, not speech
AROUND = 0.05  # seconds that a stretch is longer at either end: onsets are weak

Span = tuple[float, float]  # first and last second


class Detector(Protocol):
    """A detector listens to one recording; another one takes another detector.

    rate: Hz of the samples it wants. hop: seconds between two of its frames.
    """

    rate: int
    hop: float

    def scores(self, samples: np.ndarray) -> np.ndarray:
        """Return what is known of each frame (frames, …) that samples (n,) float32 complete.

        They continue those of the call before.
        """

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Return for each frame (frames,) whether somebody speaks, from the scores of all."""


def detector(name: str) -> Detector:
    """Return a new detector of that name; SertoolError where what it needs is not installed."""
    if name == "silero":
        from sertool.audio.voice.silero import Silero

        return Silero()
    if name == "webrtc":
        from sertool.audio.voice.webrtc import WebRtc

        return WebRtc()
    from sertool.audio.voice.energy import Energy

    return Energy()


def stretches(active: Sequence[bool] | np.ndarray, hop: float, duration: float) -> list[Span]:
    """Return the stretches of speech (first, last second) of frames that are speech or not.

    Pauses shorter than `GAP` are within a stretch, stretches shorter than `SHORTEST` are none,
    and each is `AROUND` longer at either end.

    >>> stretches([False] * 100 + [True] * 50 + [False] * 50, 0.01, 2.0)
    [(0.95, 1.55)]
    """
    found: list[Span] = []
    for first, last in _runs(active):
        if found and first * hop - found[-1][1] < GAP:
            found[-1] = (found[-1][0], last * hop)
        else:
            found.append((first * hop, last * hop))
    least = min(SHORTEST, duration / 2)
    kept = [(first, last) for first, last in found if last - first >= least]
    return [(max(0.0, a - AROUND), min(duration, b + AROUND)) for a, b in kept if a < duration]


def _runs(active: Sequence[bool] | np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of each run of frames with speech."""
    import numpy as np

    framed = np.concatenate([[False], np.asarray(active, bool), [False]])
    edges = np.flatnonzero(framed[1:] != framed[:-1]).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def overlap(spans: Sequence[Span], first: float, last: float) -> float:
    """Return how many seconds of the sorted `spans` lie between two times.

    >>> overlap([(0, 1), (2, 4)], 0.5, 3)
    1.5
    """
    from bisect import bisect_right

    total = 0.0
    begin = max(0, bisect_right(spans, (first, float("inf"))) - 1)
    for a, b in spans[begin:]:
        if a >= last:
            break
        total += max(0.0, min(b, last) - max(a, first))
    return total
