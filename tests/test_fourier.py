"""Fourier transforms: SciPy's, bit for bit, whichever library computes them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.fft

from sertool.features import fourier


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_of_scipy(dtype: type[np.floating]) -> None:
    random = np.random.default_rng(0)
    for n in range(1, 1100, 23):
        x = random.standard_normal((3, n)).astype(dtype)
        for length in (None, n, n + 5, max(1, n - 3)):
            spectrum = scipy.fft.rfft(x, length)
            found = fourier.rfft(x, length)
            assert found.dtype == spectrum.dtype
            np.testing.assert_array_equal(found, spectrum)
        np.testing.assert_array_equal(fourier.rfft(x, axis=0), scipy.fft.rfft(x, axis=0))
        for given in (spectrum, np.square(np.abs(spectrum))):
            back = fourier.irfft(given, 2 * n)
            assert back.dtype == dtype
            np.testing.assert_array_equal(back, scipy.fft.irfft(given, 2 * n))


@pytest.mark.parametrize("n", [2, 4, 6, 30, 1000, 1024])
def test_even_values_are_those_of_the_inverse(n: int) -> None:
    x = np.random.default_rng(n).uniform(0, 1, (3, n // 2 + 1))
    whole = np.fft.irfft(x, 2 * n)
    for count in range(1, n + 1, max(1, n // 7)):
        np.testing.assert_allclose(fourier.irfft_even(x, n, count), whole[:, :count], atol=1e-14)


def test_lengths() -> None:
    for n in range(1, 3000):
        assert fourier.next_fast_len(n) == scipy.fft.next_fast_len(n, real=True)


def test_the_voice_needs_no_scipy() -> None:
    code = (
        "import sys, numpy as np; from sertool.features.voice.kind import compute, Settings;"
        "compute(np.random.default_rng(0).normal(0, 0.1, 16000), 16000, Settings());"
        "print('scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
