"""Formats that libsndfile does not read: ffmpeg turns them into samples, through a pipe."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from sertool.audio.opening import cannot_decode, ffmpeg_for, local
from sertool.core.errors import ItemError

_AU_HEADER = 24  # bytes; AU is the one container with a header that a pipe cannot spoil


@contextlib.contextmanager
def converted(path: str | os.PathLike[str], *options: str) -> Iterator[tuple[IO[bytes], int, int]]:
    """Yield (stream, rate, channels) of the first audio stream of a file.

    The stream holds its samples, frame by frame, for `big_endian_floats`; `options` are ffmpeg's.
    Raises ItemError for a file that ffmpeg cannot read.
    """
    path = local(path)
    command = [ffmpeg_for(path), "-nostdin", "-v", "error", "-i", f"file:{os.fspath(path)}"]
    command += ["-map", "0:a:0", *options, "-c:a", "pcm_f32be", "-f", "au", "-"]
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages
        )
        assert process.stdout is not None
        try:
            head = process.stdout.read(_AU_HEADER)
            if head[:4] == b".snd" and len(head) == _AU_HEADER:
                begin, _, _, rate, channels = struct.unpack(">5I", head[4:])
                process.stdout.read(begin - _AU_HEADER)
                yield process.stdout, rate, channels
                process.stdout.read()
            if process.wait() or head[:4] != b".snd":
                messages.seek(0)
                lines = messages.read().decode("utf-8", "replace").strip().splitlines()
                last = lines[-1].strip() if lines else f"ffmpeg exit {process.returncode}"
                raise ItemError(cannot_decode(last))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def big_endian_floats(data: bytes, channels: int) -> np.ndarray:
    """Return the whole frames in `data` as float32 (n, channels)."""
    values = np.frombuffer(data, ">f4", len(data) // (4 * channels) * channels)
    return values.astype(np.float32).reshape(-1, channels)
