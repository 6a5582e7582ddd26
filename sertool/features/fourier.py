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


def irfft_even(x: np.ndarray, n: int, count: int) -> np.ndarray:
    """Return the first `count` of `irfft(x, 2 * n)` for real x (rows, n // 2 + 1), n even; float64.

    Such values are even, so that a transform of length n finds them (Press et al., Numerical
    Recipes, section 12.4.2: the cosine transform), in half the time: its real part those of even
    index, its imaginary part the differences of the others.
    """
    ahead, back, first = _cosine_weights(n)
    y = np.empty((len(x), n))
    np.multiply(x, ahead, out=y[:, : n // 2 + 1])
    np.multiply(x[:, n // 2 - 1 : 0 : -1], back, out=y[:, n // 2 + 1 :])
    spectrum = np.fft.rfft(y)
    odd = -spectrum.imag[:, : count // 2]
    odd[:, :1] = (x @ first)[:, None]
    found = np.empty((len(x), count))
    found[:, ::2] = spectrum.real[:, : (count + 1) // 2]
    np.cumsum(odd, axis=1, out=found[:, 1::2])
    return found


@functools.lru_cache(maxsize=8)
def _cosine_weights(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what x is multiplied by ahead (n // 2 + 1,) and back, and what gives value 1."""
    k = np.arange(n // 2 + 1)
    sines = np.sin(np.pi * k / n)
    ahead, back = (0.5 - sines) / n, (0.5 + sines[-2:0:-1]) / n
    ahead[-1] = 1 / n
    first = np.cos(np.pi * k / n) / n
    first[0] /= 2
    return ahead, back, first


@functools.cache
def next_fast_len(target: int) -> int:
    """Return the least length from `target` on, at least 1, without prime factors above 5."""
    return next(n for n in range(max(target, 1), 2 * target + 2) if _smooth(n))


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1
