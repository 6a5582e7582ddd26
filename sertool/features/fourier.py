"""Real Fourier transforms: NumPy's in double precision, SciPy's in single.

Both are pocketfft and give the same bits in double precision; in single precision SciPy's are twice
as fast. SciPy takes a quarter of a second to import, which a prediction can do without.
"""

from __future__ import annotations

import functools

import numpy as np


def rfft(x: np.ndarray, n: int | None = None, axis: int = -1) -> np.ndarray:
    """Return the spectrum (n // 2 + 1 along `axis`) of real x, cut or padded with zeros to n."""
    if x.dtype == np.float64:
        return np.fft.rfft(x, n, axis)
    import scipy.fft

    found: np.ndarray = scipy.fft.rfft(x, n, axis)
    return found


def irfft(x: np.ndarray, n: int | None = None) -> np.ndarray:
    """Return the n real values along the last axis whose spectrum is x, real or complex."""
    if x.dtype in (np.float64, np.complex128):
        return np.fft.irfft(x, n)
    import scipy.fft

    found: np.ndarray = scipy.fft.irfft(x, n)
    return found


@functools.cache
def next_fast_len(target: int) -> int:
    """Return the least length from `target` on, at least 1, without prime factors above 5."""
    return next(n for n in range(max(target, 1), 2 * target + 2) if _smooth(n))


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1
