"""Long audio files, block by block with all channels, never whole in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sertool.audio.decoding import MP3_SLACK, check_whole, opened, read_on, skip
from sertool.audio.ffmpeg import big_endian_floats, converted
from sertool.audio.opening import NEEDS_FFMPEG, check_length, quiet, suffix
from sertool.audio.waveform import check_finite
from sertool.core import boxes, stopping
from sertool.core.errors import ItemError


@dataclass(frozen=True)
class Facts:
    """A file's header: rate in Hz, channels, frames (None where only decoding gives them)."""

    sample_rate: int
    channels: int
    frames: int | None


def facts(path: str | os.PathLike[str]) -> Facts:
    """Return what a file's header says; raises ItemError for a file that cannot be read."""
    if suffix(path) in NEEDS_FFMPEG:
        with converted(path, "-t", "0.1") as (_, rate, channels):
            return Facts(rate, channels, None)
    with quiet(path), opened(path) as file:
        # an MP3 may only estimate its length
        frames = None if file.format == "MP3" else int(file.frames)
        return Facts(int(file.samplerate), int(file.channels), frames)


def blocks(path: str | os.PathLike[str], frames: int, begin: int = 0) -> Iterator[np.ndarray]:
    """Yield a file as float32 blocks (at most `frames`, channels), full scale 1, none empty.

    begin: the first frame that is wanted. Raises ItemError for a file that cannot be read, is cut
    short, holds nothing or is not finite.
    """
    source = _by_ffmpeg if suffix(path) in NEEDS_FFMPEG else _by_libsndfile
    done, rate = begin, 1
    for block, rate in source(path, frames, begin):
        stopping.check()
        try:
            check_finite(block)
        except ItemError as error:
            raise ItemError(f"{error}, at {done / rate:.3f} s or after") from None
        done += len(block)
        check_length(done, rate)
        boxes.step()
        yield block
    if not done:
        raise ItemError("no samples")


def _by_libsndfile(
    path: str | os.PathLike[str], frames: int, begin: int
) -> Iterator[tuple[np.ndarray, int]]:
    with contextlib.ExitStack() as stack:
        with quiet(path):  # never across a yield: it would swallow what others say meanwhile
            file = stack.enter_context(opened(path))
            check_whole(file)
            done = skip(file, begin)
        while True:
            with quiet(path):
                block = read_on(file, frames)
            if not len(block):
                break
            done += len(block)
            yield block, file.samplerate
        missing = file.frames - done
        if missing > (MP3_SLACK * file.frames if file.format == "MP3" else 0):
            raise ItemError(f"truncated: only {done} of {file.frames} samples")


def _by_ffmpeg(
    path: str | os.PathLike[str], frames: int, begin: int
) -> Iterator[tuple[np.ndarray, int]]:
    with converted(path) as (stream, rate, channels):
        while begin and (data := stream.read(min(begin, frames) * 4 * channels)):
            begin -= len(data) // (4 * channels)
            boxes.step()
        while data := stream.read(frames * 4 * channels):
            yield big_endian_floats(data, channels), rate
