"""Formats that libsndfile does not read: ffmpeg turns them into samples, through a pipe."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from sertool.audio.opening import cannot_decode, ffmpeg_for, local, ordinary
from sertool.core.errors import ItemError

_AU_HEADER = 24  # bytes; AU is the one container with a header that a pipe cannot spoil
_BLOCK = 1 << 20  # bytes that are read at once
_MOST_TOLD = 1 << 12  # bytes of what ffmpeg says of which the last line is told
# containers of sound; the others that ffmpeg knows by their first bytes are lists of other files
_CONTAINERS = "aac,amr,amrnb,amrwb,asf,avi,flac,loas,matroska,mov,mp3,mpegts,ogg,wav"
_WHERE = re.compile(r"\[[^]]* @ 0x[0-9a-f]+\] ")  # which part of ffmpeg says it


@contextlib.contextmanager
def converted(path: str | os.PathLike[str], *options: str) -> Iterator[tuple[IO[bytes], int, int]]:
    """Yield (stream, rate, channels) of the first audio stream of a file.

    The stream holds its samples, frame by frame, for `big_endian_floats`; `options` are ffmpeg's.
    Raises ItemError for a file that ffmpeg cannot read, or of which it reads less than there was:
    it goes on after what is damaged or cut off, and says so, but succeeds.
    """
    path = local(path)
    program = ffmpeg_for(path)
    with ordinary(path) as file, tempfile.TemporaryFile() as messages:
        source = f"file:/dev/fd/{file.fileno()}"
        command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file"]
        command += ["-format_whitelist", _CONTAINERS, "-i", source]
        command += ["-map", "0:a:0", *options, "-c:a", "pcm_f32be", "-f", "au", "-"]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages,
            pass_fds=[file.fileno()],
        )  # fmt: skip
        assert process.stdout is not None
        try:
            head = process.stdout.read(_AU_HEADER)
            if head[:4] == b".snd" and len(head) == _AU_HEADER:
                begin, _, _, rate, channels = struct.unpack(">5I", head[4:])
                process.stdout.read(begin - _AU_HEADER)
                yield process.stdout, rate, channels
                process.stdout.read()
            code, told = process.wait(), _told(messages).removeprefix(f"{source}: ")
            if head[:4] != b".snd":
                raise ItemError(cannot_decode(told or f"ffmpeg exit {code}"))
            if code or told:
                told = told or f"ffmpeg exit {code}"
                raise ItemError(f"truncated or damaged: {told[:1].lower()}{told[1:]}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _told(messages: IO[bytes]) -> str:
    """Return the last line that ffmpeg has said, "" for none."""
    messages.seek(max(0, messages.seek(0, os.SEEK_END) - _MOST_TOLD))
    lines = messages.read().decode("utf-8", "replace").strip().splitlines()
    return _WHERE.sub("", lines[-1]).strip() if lines else ""


def all_of(stream: IO[bytes], most: int) -> bytearray:
    """Return what a stream holds, at most `most` bytes, in memory that grows with it alone."""
    found = bytearray()
    while block := stream.read(min(_BLOCK, most - len(found))):
        found += block
    return found


def big_endian_floats(data: bytes | bytearray, channels: int) -> np.ndarray:
    """Return the whole frames in `data` as float32 (n, channels)."""
    values = np.frombuffer(data, ">f4", len(data) // (4 * channels) * channels)
    return values.astype(np.float32).reshape(-1, channels)
