"""Kind `teo` against its definition in float64 loops, and against what is known of tones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_settings import parse

from sertool.audio import decoding as audio
from sertool.audio import waveform
from sertool.core.errors import UsageError
from sertool.features import kind, teo


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9999, 9999, count).astype(np.int16)


def area_by_definition(energy: list[float]) -> float:
    n = len(energy)
    r = [sum(energy[i] * energy[i + k] for i in range(n - k)) for k in range(n)]
    if r[0] == 0:
        return 0.0
    return 2 / (n + 1) * sum(max(0.0, *r[k:]) / r[0] for k in range(n))


def filtered_by_definition(samples: np.ndarray, rate: int, times: list[int]) -> np.ndarray:
    """Every band at the given samples of 10 kHz: a sum over all samples with a Gabor filter."""
    y = waveform.to_float(samples).astype(np.float64)
    result = np.zeros((16, len(times)))
    for b in range(16):
        low, high = teo.EDGES[b : b + 2]
        s = (high - low) / 2 / math.sqrt(math.log(2))
        for j, m in enumerate(times):
            t = m / 10000 - np.arange(len(y)) / rate
            gabor = np.exp(-2 * (np.pi * s * t) ** 2) * np.cos(np.pi * (low + high) * t)
            result[b, j] = (y * gabor).sum() * 2 * s * math.sqrt(2 * np.pi) / rate
    return result


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=40))
def test_the_operator_is_its_definition(x: list[float]) -> None:
    expected = [x[n] ** 2 - x[n - 1] * x[n + 1] for n in range(1, len(x) - 1)]
    np.testing.assert_allclose(teo.teager(np.array(x)), expected, atol=1e-15)
    np.testing.assert_allclose(teo.teager(np.array([x, x]))[1], expected, atol=1e-15)


@given(st.floats(0.1, 2), st.floats(0.05, 3), st.floats(-3, 3))
def test_a_tone_has_constant_energy(amplitude: float, omega: float, phase: float) -> None:
    tone = amplitude * np.cos(omega * np.arange(50) + phase)
    expected = amplitude**2 * np.sin(omega) ** 2
    np.testing.assert_allclose(teo.teager(tone), expected, atol=1e-13)


@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=1, max_size=30))
@settings(deadline=None)
def test_the_area_is_its_definition(energy: list[float]) -> None:
    ours = teo.envelope_area(np.array([[energy, energy[::-1]]]))
    assert ours.shape == (1, 2)
    np.testing.assert_allclose(ours, area_by_definition(energy), rtol=2e-6, atol=1e-7)


def test_areas_that_are_known() -> None:
    assert teo.envelope_area(np.full(200, 3e-9)) == pytest.approx(1, rel=1e-6)
    assert teo.envelope_area(np.zeros(200)) == 0
    one = np.zeros(200)
    one[70] = 5.0
    assert teo.envelope_area(one) == pytest.approx(2 / 201, rel=1e-4)
    pulses = np.zeros(200)
    pulses[::50] = 1.0  # r is 1, 3/4, 1/2, 1/4 at lags 0, 50, 100, 150: the envelope's steps
    steps = 2 / 201 * (1 + 50 * (3 / 4 + 1 / 2 + 1 / 4))
    assert teo.envelope_area(pulses) == pytest.approx(steps, rel=1e-5)


@pytest.mark.parametrize("rate", [16000, 22050, 48000, 16001])
def test_bands_are_gabor_filters(rate: int) -> None:
    samples = noise(rate // 40)
    times = [-30, -1, 0, 3, 100, 249, 250, 260]
    ours = np.stack([teo.bands(samples, rate, m, m + 1)[:, 0] for m in times], axis=1)
    expected = filtered_by_definition(samples, rate, times)
    np.testing.assert_allclose(ours, expected, atol=3e-5 * np.abs(expected).max())
    np.testing.assert_allclose(ours[:12], expected[:12], atol=1e-9)
    together = teo.bands(samples, rate, -30, 261)
    np.testing.assert_allclose(together[:, [0, 29, 30, 33, 130, 279, 280, 290]], ours, atol=1e-7)


@pytest.mark.parametrize("statistic", ["area", "mean", "sd", "all"])
def test_short_signals_by_loops(statistic: str) -> None:
    """The whole chain on 45 ms: filter, operator and statistics as their definitions say."""
    samples, rate = noise(720), 16000
    ours = teo.compute(samples, rate, parse(teo.Settings, [f"statistic={statistic}"]))
    band = filtered_by_definition(samples, rate, list(range(-1, 452)))
    rows = []
    for first in (0, 100, 200):  # samples of 10 kHz; a fourth frame would end at 50 ms
        area, mean, sd = [], [], []
        for b in range(16):
            x = band[b, first : first + 202].tolist()
            energy = [x[n] ** 2 - x[n - 1] * x[n + 1] for n in range(1, 201)]
            mean.append(sum(energy) / 200)
            sd.append(math.sqrt(sum((e - mean[-1]) ** 2 for e in energy) / 200))
            area.append(area_by_definition(energy))
        rows.append({"area": area, "mean": mean, "sd": sd, "all": area + mean + sd}[statistic])
    assert ours.dtype == np.float32
    assert ours.shape == np.shape(rows)
    np.testing.assert_allclose(ours, rows, rtol=2e-4)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("band", [0, 5, 15])
def test_a_tone_in_the_middle_of_a_band(rate: int, band: int) -> None:
    """Its energy is A² sin² Ω at 10 kHz whatever the rate, its area 1."""
    hertz = (teo.EDGES[band] + teo.EDGES[band + 1]) / 2
    tone = (0.3 * np.sin(2 * np.pi * hertz * np.arange(rate // 2) / rate)).astype(np.float32)
    given = teo.Settings(statistic="all")
    found = teo.compute(tone, rate, given)[5:-5]
    expected = 0.3**2 * np.sin(2 * np.pi * hertz / 10000) ** 2
    np.testing.assert_allclose(found[:, 16 + band], expected, rtol=4e-3)
    np.testing.assert_allclose(found[:, band], 1, rtol=4e-3)
    assert np.argmax(found[:, 16:32].mean(0)) == band


def test_modulation_lowers_the_area() -> None:
    t = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 1000 * t)
    steady, beating = (
        teo.compute((0.1 * tone * m).astype(np.float32), 16000, teo.Settings())[5:-5, 8]
        for m in (np.ones(16000), np.sin(2 * np.pi * 60 * t))
    )
    assert (beating < 0.96 * steady).all()


@given(st.integers(1, 900), st.sampled_from([8000, 16000, 11025]))
@settings(max_examples=25, deadline=None)
def test_any_length(count: int, rate: int) -> None:
    found = teo.compute(noise(count), rate, teo.Settings())
    heard = max(200, math.ceil(count * 10000 / rate))
    assert found.shape == (1 + (heard - 200) // 100, 16)
    assert np.isfinite(found).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, given = noise(9000), teo.Settings(win=0.03, hop=0.007, statistic="all")
    whole = teo.compute(samples, 16000, given)
    monkeypatch.setattr(teo, "BLOCK", 7)
    np.testing.assert_allclose(teo.compute(samples, 16000, given), whole, rtol=1e-5)
    assert whole.shape == (1 + (5625 - 300) // 70, 48)


def test_level_and_type_change_no_area() -> None:
    raw = noise(8000)
    whole = teo.compute(raw, 16000, teo.Settings())
    np.testing.assert_array_equal(whole, teo.compute(waveform.to_float(raw), 16000, teo.Settings()))
    quiet = waveform.to_float(raw) * np.float32(2**-12)
    np.testing.assert_allclose(teo.compute(quiet, 16000, teo.Settings()), whole, rtol=1e-5)


def test_silence_is_zero() -> None:
    found = teo.compute(np.zeros(1000, np.int16), 16000, teo.Settings(statistic="all"))
    np.testing.assert_array_equal(found, 0)


def test_real_speech(corpora: Path) -> None:
    path = min((corpora / "ravdess").rglob("*.flac"))
    decoded = audio.decode(path)
    samples, rate = decoded.samples[: 3 * decoded.sample_rate], decoded.sample_rate
    found = teo.compute(samples, rate, teo.Settings())
    assert found.shape == (299, 16)
    assert ((found >= 0) & (found < 1.2)).all()


def test_the_kind() -> None:
    found = kind("teo")
    assert found.frame_rate(44100, found.Settings()) == 100
    assert found.remarks(8000, found.Settings()) == []
    for use in (found.remarks, lambda rate, given: found.compute(noise(99), rate, given)):
        with pytest.raises(UsageError, match="up to 3700 Hz, above half"):
            use(7000, found.Settings())


WRONG = "win=0 hop=0 win=11 hop=-1 statistic=median colour=red"


@pytest.mark.parametrize("text", WRONG.split())
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        parse(teo.Settings, [text])
