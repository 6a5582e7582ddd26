"""The headers of audio files, read without decoding."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sertool.audio.decoding import check_whole, opened
from sertool.audio.opening import NEEDS_FFMPEG, bounds, ffmpeg_for, local, quiet, suffix
from sertool.core.errors import ItemError
from sertool.formats.manifest import MAX_SECONDS


@dataclass(frozen=True)
class Header:
    """One file: rate in Hz, channels, samples of each channel, and its format, as "WAV PCM_16"."""

    sample_rate: int
    channels: int
    samples: int
    coding: str

    def seconds(self, start: float | None = None, end: float | None = None) -> float:
        """Return the length of a cut (seconds); ItemError where it lies outside the file."""
        first, last = bounds(self.samples, self.sample_rate, start, end)
        return (last - first) / self.sample_rate


def read_header(path: str | os.PathLike[str]) -> Header | None:
    """Return what a file's header says; None where only ffmpeg can read it, and must decode.

    Raises ItemError with the reason that decoding would give, as far as the header shows it.
    """
    if suffix(path) in NEEDS_FFMPEG:
        ffmpeg_for(local(path))
        return None
    with quiet(path), opened(path) as file:
        check_whole(file)
        rate, channels, samples = int(file.samplerate), int(file.channels), int(file.frames)
        coding = f"{file.format} {file.subtype}"
    if samples <= 0:
        raise ItemError("no samples")
    if samples > MAX_SECONDS * rate:
        raise ItemError(f"its header claims {samples} samples, more than memory holds")
    return Header(rate, channels, samples, coding)
