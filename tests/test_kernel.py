"""Tests of the compiled kernel: powers of windowed frames against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.features import kernel, mel
from sertool.features.frames import Framing, window

UNIT = 2.0**-24  # of float32


def expected(samples: np.ndarray, framing: Framing) -> tuple[np.ndarray, np.ndarray]:
    """Return (power (frames, bins), energies (frames,)) in float64, frame by frame."""
    full = 32768.0 if samples.dtype == np.int16 else 1.0
    before = framing.n_fft // 2 if framing.center else 0
    padded = np.pad(samples.astype(np.float64) / full, (before, before))
    frames = np.lib.stride_tricks.sliding_window_view(padded, framing.n_fft)[:: framing.hop_length]
    frames = frames * window(framing.window, framing.win_length or framing.n_fft, framing.n_fft)
    return np.abs(np.fft.rfft(frames)) ** 2, np.sum(np.square(frames), axis=1)


def check(found: np.ndarray, power: np.ndarray, energies: np.ndarray) -> None:
    """Compare magnitudes: their errors go with the root of the frame's energy."""
    error = np.abs(np.sqrt(found.astype(np.float64)) - np.sqrt(power))
    scale = UNIT * np.sqrt(energies)[:, None]
    assert (error <= 8 * scale + 8 * UNIT * np.sqrt(power.max(axis=1, keepdims=True))).all()


@pytest.mark.parametrize("n_fft", [2**k for k in range(5, 15)])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_every_length(n_fft: int, dtype: str) -> None:
    random = np.random.default_rng(n_fft)
    tone = np.sin(0.07 * np.arange(9 * n_fft + 3)) + 0.1 * random.standard_normal(9 * n_fft + 3)
    samples = (tone * 9000).astype(np.int16) if dtype == "int16" else tone.astype(np.float32)
    framing = Framing(n_fft, n_fft // 4)
    power, energies = expected(samples, framing)
    found, sums = kernel.band_powers(samples, framing, kernel.single(n_fft))
    assert found.dtype == np.float32
    assert found.shape == power.shape
    check(found, power, energies)
    np.testing.assert_allclose(sums, energies, rtol=1e-5)


@given(
    size=st.integers(128, 3000), hop=st.integers(1, 300), center=st.booleans(),
    length=st.integers(1, 128), name=st.sampled_from(["hann", "blackman", "boxcar", "bartlett"]),
)  # fmt: skip
def test_every_framing(size: int, hop: int, center: bool, length: int, name: str) -> None:
    samples = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    framing = Framing(128, hop, length, name, center)
    power, energies = expected(samples, framing)
    found, sums = kernel.band_powers(samples, framing, kernel.single(128))
    assert found.shape == power.shape
    check(found, power, energies)
    np.testing.assert_allclose(sums, energies, rtol=1e-5)


def test_bands_are_weighted_sums_of_bins() -> None:
    random = np.random.default_rng(0)
    samples = random.standard_normal(5000).astype(np.float32)
    weights = random.random((7, 129))
    weights[1] = 0  # a band that is empty
    weights[2, 3:] = 0  # and one of a number of bins that is not a multiple of four
    framing = Framing(256, 100)
    found, _ = kernel.band_powers(samples, framing, kernel.weighted(weights))
    power, _ = expected(samples, framing)
    np.testing.assert_allclose(found, power @ weights.T, rtol=1e-5)


def test_a_frame_depends_on_its_samples_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
    settings = mel.Settings(n_fft=512, hop_length=128, center=False)
    whole = mel.spectrogram(samples, 16000, settings)
    bands = kernel.weighted(mel.filters(16000, settings))
    part, _ = kernel.band_powers(samples[128 * 3 : 9000], settings, bands)
    at_once, _ = kernel.band_powers(samples, settings, bands)
    assert part.tobytes() == at_once[3 : 3 + len(part)].tobytes()
    monkeypatch.setattr(kernel, "BLOCK", 1)
    assert mel.spectrogram(samples, 16000, settings).tobytes() == whole.tobytes()


def test_what_it_serves() -> None:
    assert kernel.serves(Framing(1024), 2.0)
    assert not kernel.serves(Framing(1000), 2.0)
    assert not kernel.serves(Framing(1024), 1.0)
    assert not kernel.serves(Framing(1024, precision="float64"), 2.0)
    assert not kernel.serves(Framing(16), 2.0)
    assert not kernel.serves(Framing(32768), 2.0)
