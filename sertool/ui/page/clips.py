"""The sound of a recording in a page, and its spectrogram: inside the page, or as files beside."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# as page.js has them
LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STOPS = (
    (0, 0, 4),
    (59, 15, 112),
    (140, 41, 129),
    (222, 73, 104),
    (254, 159, 109),
    (252, 253, 191),
)

Cell = tuple[int | None, int | None]  # truth and what was said


@dataclass(frozen=True)
class Clip:
    """Sound as MP3, its seconds and those of the whole recording, and its spectrogram.

    bands: (frames, bands) levels from 0 to 63, the lowest band first. top: the highest in Hz.
    """

    sound: bytes
    seconds: float
    whole: float
    bands: np.ndarray
    top: float

    def to_json(self, inside: bool) -> dict[str, Any]:
        """Return what a page's script reads; `inside`: with sound and spectrogram."""
        made: dict[str, Any] = {"seconds": round(self.seconds, 3), "whole": round(self.whole, 3)}
        made["top"] = self.top
        if not inside:
            return made
        levels = "".join(LEVELS[level] for level in self.bands.ravel().tolist())
        sound = base64.b64encode(self.sound).decode()
        return made | {"n": self.bands.shape[1], "bands": levels, "mp3": sound}

    def png(self) -> bytes:
        """Return the spectrogram as a PNG file, time to the right, a pixel a frame and band."""
        height, width = self.bands.shape[::-1]
        head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, of a palette
        rows = b"".join(b"\0" + row.tobytes() for row in self.bands.T[::-1].astype(np.uint8))
        parts = ((b"IHDR", head), (b"PLTE", _palette()), (b"IDAT", zlib.compress(rows)))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in (*parts, (b"IEND", b"")))


def _chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def _palette() -> bytes:
    at = np.linspace(0, len(_STOPS) - 1, len(LEVELS))
    stops = np.array(_STOPS)
    return np.stack(
        [np.interp(at, range(len(_STOPS)), stops[:, c]) for c in range(3)], 1
    ).astype(np.uint8).tobytes()  # fmt: skip


def chosen(cells: Sequence[Cell], sure: Sequence[float], n: int) -> list[int]:
    """Return `n` places: one of each cell (truth, said) in turn, the fullest first, the surest.

    >>> chosen([(0, 0), (0, 1), (0, 0), (1, 1)], [0.6, 0.9, 0.7, 0.5], 3)
    [1, 2, 3]
    """
    members: dict[Cell, list[int]] = {}
    for i in sorted(range(len(cells)), key=lambda i: (-sure[i], i)):
        members.setdefault(cells[i], []).append(i)
    queues = sorted(members.values(), key=lambda own: (-len(own), own))
    turns = ((k, turn) for k in range(max(map(len, queues), default=0)) for turn in queues)
    return sorted([turn[k] for k, turn in turns if k < len(turn)][:n])
