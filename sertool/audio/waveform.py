"""Mono samples (n,), float32 with full scale 1 or int16 with full scale 32768: pure functions."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from sertool.core.errors import ItemError

FULL_SCALE = 32768  # int16 value v stands for v / 32768
CLIPPED_RUN = 3  # this many samples in a row at full scale are called clipping
SILENCE = 1e-4  # -80 dB of full scale: a peak below it is called silence
LOUDEST = 1e12  # times full scale: beyond, powers in float32 overflow

_BLOCK = 1 << 18  # samples handled at a time where a second copy of the whole would be large


def to_float(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 with full scale 1; exact for int16."""
    if samples.dtype == np.int16:
        return np.multiply(samples, np.float32(1 / FULL_SCALE), dtype=np.float32)
    return samples.astype(np.float32, copy=False)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Return samples as int16 with full scale 32768, rounded and clipped; int16 is left as is."""
    if samples.dtype == np.int16:
        return samples
    scaled = np.rint(np.clip(samples, -1, 1) * np.float32(FULL_SCALE))
    return np.minimum(scaled, FULL_SCALE - 1).astype(np.int16)


def crop(samples: np.ndarray, rate: int, offset: float, duration: float | None) -> np.ndarray:
    """Return the view of `samples` from `offset` on, at most `duration` long (both in seconds).

    Raises ItemError where `offset` lies past the end.
    """
    first = round(offset * rate)
    last = len(samples) if duration is None else first + round(duration * rate)
    part = samples[first:last]
    if len(part) == 0:
        raise nothing_left(offset, len(samples), rate)
    return part


def nothing_left(offset: float, total: int, rate: int) -> ItemError:
    """Return why nothing remains of `total` samples from `offset` (seconds) on."""
    return ItemError(f"nothing left after {offset:g} s of {total / rate:.3f} s")


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Return samples (n,) at another rate: float32 (ceil(n * to_rate / from_rate),).

    The band-limited interpolation of soxr at its quality HQ, cut or zero-padded to that length.
    """
    samples = to_float(samples)
    if from_rate == to_rate:
        return samples
    import soxr

    wanted = -(-len(samples) * to_rate // from_rate)
    result = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return np.pad(result, (0, max(0, wanted - len(result))))[:wanted]


def check_finite(samples: np.ndarray) -> None:
    """Raise ItemError where a sample is NaN, infinite, or so large that its power would be."""
    if samples.dtype.kind != "f":
        return
    peak = float(max(samples.max(), -samples.min()))
    if not math.isfinite(peak):
        count = int(np.count_nonzero(~np.isfinite(samples)))
        raise ItemError(f"NaN or infinity in {count} of {len(samples)} samples")
    if peak > LOUDEST:
        raise ItemError(f"a sample of {peak:.0e} times full scale: this is not audio")


def faults(samples: np.ndarray) -> list[str]:
    """Return what is unusual about samples (n,) that are otherwise good.

    "clipped": at least three samples in a row at full scale (32767 of 32768 or more, of either
    sign). "silent": no sample reaches -80 dB of full scale.
    """
    scale = FULL_SCALE if samples.dtype == np.int16 else 1.0
    peak = max(samples.max().item(), -samples.min().item())
    if peak < SILENCE * scale:
        return ["silent"]
    full = scale * (FULL_SCALE - 1) / FULL_SCALE
    if peak < full:
        return []
    at_full = (samples >= full) | (samples <= -full)
    run = at_full[CLIPPED_RUN - 1 :].copy()
    for lag in range(1, CLIPPED_RUN):
        run &= at_full[CLIPPED_RUN - 1 - lag : len(at_full) - lag]
    return ["clipped"] if run.any() else []


def audio_hash(samples: np.ndarray) -> str:
    """Return 32 hex digits of the SHA-256 of samples (n,).

    Of their little-endian int16 where every sample is exactly one (value / 32768), so that WAV,
    FLAC and 24-bit copies of one recording agree; else of their float32.
    """
    digest = hashlib.sha256()
    if samples.dtype == np.int16:
        digest.update(np.ascontiguousarray(samples, dtype="<i2").data)
        return digest.hexdigest()[:32]
    blocks = [samples[i : i + _BLOCK] for i in range(0, len(samples), _BLOCK)]
    exact = all(_is_int16(block) for block in blocks)
    for block in blocks:
        digest.update((to_int16(block).astype("<i2") if exact else block.astype("<f4")).data)
    return digest.hexdigest()[:32]


class Examiner:
    """`audio_hash` and `faults` of samples that come bit by bit, and need not all be in memory."""

    def __init__(self) -> None:
        self._floats, self._integers = hashlib.sha256(), hashlib.sha256()
        self._exact = True
        self._silent, self._clipped = True, False
        self._last: np.ndarray | None = None  # those that a run at full scale may begin with

    def hash(self, samples: np.ndarray) -> None:
        """Count samples (n,), not none, in the hash."""
        self._floats.update(np.ascontiguousarray(samples, "<f4").data)
        self._exact = self._exact and _is_int16(samples)
        if self._exact:
            self._integers.update(np.ascontiguousarray(to_int16(samples), "<i2").data)

    def look(self, samples: np.ndarray) -> None:
        """Look for faults in samples (n,), not none."""
        found = faults(samples)
        self._silent = self._silent and "silent" in found
        if self._last is not None:
            found += faults(np.concatenate([self._last, samples[: CLIPPED_RUN - 1]]))
            samples = np.concatenate([self._last, samples[-CLIPPED_RUN:]])
        self._clipped = self._clipped or "clipped" in found
        self._last = samples[-CLIPPED_RUN + 1 :].copy()

    @property
    def audio_hash(self) -> str:
        """The hash of all that was counted."""
        return (self._integers if self._exact else self._floats).hexdigest()[:32]

    @property
    def faults(self) -> list[str]:
        """What is unusual about all that was looked at."""
        return ["silent"] if self._silent else ["clipped"] if self._clipped else []


def _is_int16(block: np.ndarray) -> bool:
    scaled = block * np.float32(FULL_SCALE)
    inside = scaled.max() < FULL_SCALE and scaled.min() >= -FULL_SCALE
    return bool(inside and (scaled == np.rint(scaled)).all())
