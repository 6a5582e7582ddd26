"""What the headers of audio files say, without decoding: the small door beside audio.py's."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from sertool.audio import (
    NEEDS_FFMPEG,
    _bounds,
    _check_whole,
    _opened,
    _quiet,
    _suffix,
    _why_not,
)
from sertool.errors import ItemError
from sertool.manifest import MAX_SECONDS


@dataclass(frozen=True)
class Header:
    """One file: rate in Hz, channels, samples of each channel, and its format, as "WAV PCM_16"."""

    sample_rate: int
    channels: int
    samples: int
    coding: str

    def seconds(self, start: float | None = None, end: float | None = None) -> float:
        """Return the length of a cut (seconds); ItemError where it lies outside the file."""
        first, last = _bounds(self.samples, self.sample_rate, start, end)
        return (last - first) / self.sample_rate


def read_header(path: str | os.PathLike[str]) -> Header | None:
    """Return what a file's header says; None where only ffmpeg can read it, and must decode.

    Raises ItemError with the reason that decoding would give, as far as the header shows it.
    """
    if _suffix(path) in NEEDS_FFMPEG:
        why = _why_not(Path(path), "")
        if not why.startswith("cannot be decoded"):
            raise ItemError(why)
        if shutil.which("ffmpeg") is None:
            raise ItemError(f"{_suffix(path)} needs ffmpeg, which is not installed")
        return None
    try:
        kind = os.stat(path).st_mode
    except OSError:
        raise ItemError(_why_not(Path(path), "")) from None
    except ValueError:  # a NUL in the name
        raise ItemError("no such file") from None
    if _suffix(path) == ".raw":
        raise ItemError("cannot be decoded: samples without a header")
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise ItemError("no ordinary file")  # to open a pipe would wait for its writer
    with _quiet(path), _opened(path) as file:
        _check_whole(file)
        rate, channels, samples = int(file.samplerate), int(file.channels), int(file.frames)
        coding = f"{file.format} {file.subtype}"
    if samples <= 0:
        raise ItemError("no samples")
    if samples > MAX_SECONDS * rate:
        raise ItemError(f"its header claims {samples} samples, more than memory holds")
    return Header(rate, channels, samples, coding)
