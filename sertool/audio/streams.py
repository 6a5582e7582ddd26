"""Sound that comes through a pipe: raw 16-bit PCM, or a WAV of 16 bits, G.711 or floats."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from sertool.audio.waveform import to_int16
from sertool.core.errors import InputError, ItemError

CONVERT = "ffmpeg -i - -c:a pcm_s16le -f wav -"
EXTENSIBLE = 0xFFFE  # a format code that says: the true one follows
READ_BYTES = 1 << 16  # asked of a stream at a time, however much is wanted
RATES = range(1000, 768_001)  # Hz of a stream, of which seconds are held
CHANNELS = 64  # of a WAV stream at most
FORMAT_BYTES = 1 << 12  # of a chunk that may say what a WAV stream is in


@functools.cache
def mu_law() -> np.ndarray:
    """Return the 16-bit sample (256,) of each byte of G.711 mu-law."""
    byte = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (byte >> 4 & 7).astype(np.int32), (byte & 15).astype(np.int32)
    size = ((mantissa << 3) + 0x84 << exponent) - 0x84
    return np.where(byte & 0x80, -size, size).astype(np.int16)


@functools.cache
def a_law() -> np.ndarray:
    """Return the 16-bit sample (256,) of each byte of G.711 A-law."""
    byte = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (byte >> 4 & 7).astype(np.int32), (byte & 15).astype(np.int32)
    size = (mantissa << 4) + 8 + np.where(exponent, 0x100, 0) << np.maximum(exponent - 1, 0)
    return np.where(byte & 0x80, size, -size).astype(np.int16)


def _floats(data: bytes) -> np.ndarray:
    samples = np.frombuffer(data, "<f4")
    if not np.isfinite(samples).all():
        raise InputError("standard input: NaN or infinity in the stream")
    return to_int16(samples)


DECODERS: dict[tuple[int, int], Callable[[bytes], np.ndarray]] = {  # of a format code and its bits
    (1, 16): lambda data: np.frombuffer(data, "<i2").astype(np.int16, copy=False),
    (3, 32): _floats,
    (6, 8): lambda data: a_law()[np.frombuffer(data, np.uint8)],
    (7, 8): lambda data: mu_law()[np.frombuffer(data, np.uint8)],
}


class Readable(Protocol):
    """What bytes are read from as they come."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


@dataclass
class Stream:
    """Samples that come through a pipe, of `channels` interleaved at `rate` Hz."""

    file: Readable
    rate: int
    channels: int = 1
    coding: tuple[int, int] = (1, 16)
    head: bytes = b""  # read already

    def read(self, frames: int) -> np.ndarray:
        """Return int16 (at most `frames`, channels), fewer only at the end.

        Raises InputError for samples that are not finite.
        """
        size = self.channels * self.coding[1] // 8
        wanted = frames * size
        found, self.head = bytearray(self.head[:wanted]), self.head[wanted:]
        while len(found) < wanted:
            block = self.file.read(min(wanted - len(found), READ_BYTES))
            if not block:
                break
            found += block
        whole = len(found) // size * size
        return DECODERS[self.coding](bytes(found[:whole])).reshape(-1, self.channels)


def wav_stream(file: BinaryIO, head: bytes = b"") -> Stream:
    """Return a WAV stream, at its first sample; `head` is what was read of it already.

    Reads forward only, as from a pipe; announced lengths are ignored. Raises ItemError for another
    format.
    """

    def read(n: int) -> bytes:
        nonlocal head
        found, head = head[:n], head[n:]
        return found + file.read(n - len(found)) if n > len(found) else found

    first = read(12)
    if first[:4] not in (b"RIFF", b"RF64") or first[8:12] != b"WAVE":
        raise ItemError("not a WAV stream")
    rate = channels = 0
    coding = 0, 0
    while len(chunk := read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            break
        left = size + size % 2
        body = read(min(left, FORMAT_BYTES))
        left -= len(body)
        while left and (skipped := read(min(left, READ_BYTES))):  # it may claim gigabytes
            left -= len(skipped)
        if name == b"fmt " and len(body) >= 16:
            code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
            if code == EXTENSIBLE and len(body) >= 26:
                code = struct.unpack("<H", body[24:26])[0]
            coding = code, bits
            if coding not in DECODERS:
                raise ItemError(
                    f"a WAV stream of {bits} bits, code {code}: convert it by {CONVERT}"
                )
    if not (rate and channels):
        raise ItemError("a WAV stream without a format")
    if rate not in RATES or channels > CHANNELS:
        raise ItemError(
            f"a WAV stream of {rate} Hz and {channels} channels: {RATES[0]} to {RATES[-1]} Hz and"
            f" up to {CHANNELS} channels can be heard"
        )
    return Stream(file, rate, channels, coding)
