"""Long audio files a block at a time, all channels: the side of the door that holds no whole file.

`audio.decode` returns an utterance; what is too long for that is read here, through the same door.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sertool.audio.decoding import MP3_SLACK, check_finite, check_whole, opened, read_on
from sertool.audio.opening import NEEDS_FFMPEG, ffmpeg_for, quiet, suffix, told_as
from sertool.core.errors import ItemError

_AU_HEADER = 24  # bytes


@dataclass(frozen=True)
class Facts:
    """What a file's header says: rate in Hz, channels, frames (None where only reading tells)."""

    sample_rate: int
    channels: int
    frames: int | None


def facts(path: str | os.PathLike[str]) -> Facts:
    """Return what a file's header says; raises ItemError for a file that cannot be read."""
    if suffix(path) in NEEDS_FFMPEG:
        with _ffmpeg(path, "-t", "0.1") as (_, rate, channels):
            return Facts(rate, channels, None)
    with quiet(path), opened(path) as file:
        # an MP3 may only estimate its length
        frames = None if file.format == "MP3" else int(file.frames)
        return Facts(int(file.samplerate), int(file.channels), frames)


def blocks(path: str | os.PathLike[str], frames: int) -> Iterator[np.ndarray]:
    """Yield a file as float32 blocks (at most `frames`, channels), full scale 1, none empty.

    Raises ItemError for a file that cannot be read, is cut short, holds nothing or is not finite.
    """
    source = _by_ffmpeg if suffix(path) in NEEDS_FFMPEG else _by_libsndfile
    done, rate = 0, 1
    for block, rate in source(path, frames):
        try:
            check_finite(block)
        except ItemError as error:
            raise ItemError(f"{error}, at {done / rate:.3f} s or after") from None
        done += len(block)
        yield block
    if not done:
        raise ItemError("no samples")


def _by_libsndfile(path: str | os.PathLike[str], frames: int) -> Iterator[tuple[np.ndarray, int]]:
    with contextlib.ExitStack() as stack:
        with quiet(path):  # never across a yield: it would swallow what others say meanwhile
            file = stack.enter_context(opened(path))
            check_whole(file)
        done = 0
        while True:
            with quiet(path):
                block = read_on(file, frames)
            if not len(block):
                break
            done += len(block)
            yield block, file.samplerate
        missing = file.frames - done
        if missing > (MP3_SLACK * file.frames if file.format == "MP3" else 0):
            raise ItemError(f"truncated: {done} of {file.frames} samples are there")


def _by_ffmpeg(path: str | os.PathLike[str], frames: int) -> Iterator[tuple[np.ndarray, int]]:
    with _ffmpeg(path) as (process, rate, channels):
        assert process.stdout is not None
        size = 4 * channels
        while data := process.stdout.read(frames * size):
            values = np.frombuffer(data, ">f4", len(data) // size * channels)
            yield values.astype(np.float32).reshape(-1, channels), rate


@contextlib.contextmanager
def _ffmpeg(
    path: str | os.PathLike[str], *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """Yield (process, rate, channels): ffmpeg with its first float32 sample next on its stdout."""
    command = [ffmpeg_for(path), "-nostdin", "-v", "error", "-i", f"file:{os.fspath(path)}"]
    command += ["-map", "0:a:0", *options, "-c:a", "pcm_f32be", "-f", "au", "-"]
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told
        )
        try:
            assert process.stdout is not None
            head = process.stdout.read(_AU_HEADER)
            if head[:4] == b".snd" and len(head) == _AU_HEADER:
                begin, _, _, rate, channels = struct.unpack(">5I", head[4:])
                process.stdout.read(begin - _AU_HEADER)
                yield process, rate, channels
                process.stdout.read()
            if process.wait() or head[:4] != b".snd":
                told.seek(0)
                lines = told.read().decode("utf-8", "replace").strip().splitlines()
                last = lines[-1].strip() if lines else f"ffmpeg exit {process.returncode}"
                raise ItemError(told_as(last))
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
