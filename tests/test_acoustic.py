"""Kind `acoustic` on sounds whose pitch and formants are known, against librosa and loops."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.linalg
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from made_settings import parse

from sertool.audio import decoding as audio
from sertool.audio import waveform
from sertool.core.errors import UsageError
from sertool.features import acoustic, kind

EVERY = acoustic.Settings(functionals=False)
VOWELS = {
    "a": (730, 1090, 2440, 3500, 4500),
    "i": (270, 2290, 3010, 3700, 4600),
    "u": (300, 870, 2240, 3300, 4300),
}


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9999, 9999, count).astype(np.int16)


def vowel(pitch: float, at: tuple[int, ...], rate: int, seconds: float = 0.5) -> np.ndarray:
    """Every harmonic of a pitch through a filter with two poles for each formant."""
    time = np.arange(int(seconds * rate)) / rate
    x = sum(np.cos(2 * np.pi * k * pitch * time) for k in range(1, int(rate / 2 / pitch)))
    for hertz, width in zip(at, (60, 80, 100, 120, 140), strict=True):
        if hertz < rate / 2 - 200:
            r = np.exp(-np.pi * width / rate)
            x = scipy.signal.lfilter([1], [1, -2 * r * np.cos(2 * np.pi * hertz / rate), r * r], x)
    x = scipy.signal.lfilter([1], [1, -np.exp(-2 * np.pi * 50 / rate)], x)
    return np.round(9000 * x / np.abs(x).max()).astype(np.int16)


@pytest.mark.parametrize("name", VOWELS)
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 48000])
@pytest.mark.parametrize("hertz", [85, 150, 220, 410])
def test_vowels(name: str, rate: int, hertz: float) -> None:
    """Pitch to 0.5 %. Formants to a quarter of the pitch: harmonics are all that tells of them."""
    found = acoustic.describe(vowel(hertz, VOWELS[name], rate), rate, EVERY)[5:-5]
    np.testing.assert_allclose(found[:, 0], hertz, rtol=5e-3)
    if hertz < 300:  # above, a harmonic between two formants draws them both
        middle = np.median(found[:, 3:7], axis=0)
        np.testing.assert_allclose(middle, VOWELS[name][:4], atol=max(35, 0.25 * hertz), rtol=0.01)


@pytest.mark.parametrize("hertz", [76.0, 80.5, 333.3])
def test_pitch_of_pure_tones(hertz: float) -> None:
    """A low tone has but three periods in the window, whose fading must not shorten them."""
    tone = (0.3 * np.sin(2 * np.pi * hertz * np.arange(8000) / 16000)).astype(np.float32)
    found = acoustic.describe(tone, 16000, EVERY)[:, 0]
    np.testing.assert_allclose(found, hertz, rtol=4e-3)


def test_pitch_that_glides() -> None:
    rate = 16000
    hertz = np.linspace(100, 300, rate)
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    glide = sum(np.sin(k * phase) / k for k in range(1, 12)).astype(np.float32) * 0.1
    found = acoustic.describe(glide, rate, EVERY)
    middle = hertz[160 * np.arange(len(found)) + 320]
    np.testing.assert_allclose(found[2:-2, 0], middle[2:-2], rtol=0.02)


def test_noise_and_pauses_have_no_pitch() -> None:
    rate = 16000
    sound = np.concatenate([vowel(150, VOWELS["a"], rate), noise(rate) // 4])
    sound = np.concatenate([sound, np.round(vowel(200, VOWELS["a"], rate) / 100).astype(np.int16)])
    found = acoustic.describe(sound, rate, EVERY)[:, 0]
    assert (found[:46] > 0).all()
    assert (found[52:144] == 0).mean() > 0.97
    assert (found[152:] == 0).all()  # below 0.03 of the sound's peak


def test_pitch_is_librosas(corpora: Path) -> None:
    """Two methods on real speech, most of it gliding, agree mostly, and hardly err by octaves."""
    decoded = audio.decode(min((corpora / "emodb-339").glob("*.flac")))
    rate = decoded.sample_rate
    ours = acoustic.describe(decoded.samples, rate, EVERY)[:, 0]
    y = waveform.to_float(decoded.samples)
    yin = librosa.yin(y, fmin=75, fmax=600, sr=rate, frame_length=640, hop_length=160, center=False)
    voiced = ours > 0
    assert 0.2 < voiced.mean() < 0.9
    apart = np.log2(ours[voiced] / yin[: len(ours)][voiced])
    assert abs(np.median(apart)) < 0.01
    assert (np.abs(apart) < 0.06).mean() > 0.75
    assert (np.abs(apart) < 0.5).mean() > 0.9


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_energy_crossings_and_cepstra_are_librosas(rate: int) -> None:
    samples = noise(rate // 3) // 3 + vowel(120, VOWELS["u"], rate, 1.0)[: rate // 3]
    found = acoustic.describe(samples, rate, EVERY)
    y = waveform.to_float(samples)
    frame = {"frame_length": round(0.04 * rate), "hop_length": round(0.01 * rate)}
    rms = librosa.feature.rms(y=y, center=False, **frame)[0]
    np.testing.assert_allclose(found[:, 1], 20 * np.log10(rms), atol=1e-3)
    crossings = librosa.feature.zero_crossing_rate(y, center=False, **frame)[0]
    np.testing.assert_allclose(found[:, 2], crossings, atol=1e-12)
    cepstra = librosa.feature.mfcc(
        y=y, sr=rate, n_mfcc=13, n_mels=26, n_fft=frame["frame_length"],
        hop_length=frame["hop_length"], center=False,
    )[1:]  # fmt: skip
    np.testing.assert_allclose(found[:, 7:19], cepstra.T, atol=5e-3)
    delta = librosa.feature.delta(cepstra, width=5, mode="nearest").T
    np.testing.assert_allclose(found[:, 19:], delta, atol=5e-3)


@given(st.lists(st.integers(-9, 9), min_size=4, max_size=60))
@settings(deadline=None, max_examples=30)
def test_energy_and_crossings_by_loops(values: list[int]) -> None:
    samples = np.array(values, np.int16)
    found = acoustic.describe(samples, 4000, EVERY)
    frame = [*values, *[0] * (160 - len(values))]
    power = sum((v / 32768) ** 2 for v in frame) / 160
    assert found[0, 1] == pytest.approx(10 * math.log10(power + 1e-10))
    crossed = sum((a < 0) != (b < 0) for a, b in itertools.pairwise(frame))
    assert found[0, 2] == pytest.approx(crossed / 160)
    assert found.shape == (1, 31)


@given(st.integers(1, 12), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_the_predictor_solves_its_equations(order: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((3, 50))
    r = np.stack([[row[: 50 - k] @ row[k:] for k in range(order + 1)] for row in x])
    ours = acoustic.predictor(r, order)
    theirs = [scipy.linalg.solve_toeplitz(row[:-1], -row[1:]) for row in r]
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@given(st.integers(1, 900), st.sampled_from([4000, 8000, 16000]), st.booleans())
@settings(deadline=None, max_examples=25)
def test_any_length(count: int, rate: int, whole: bool) -> None:
    found = acoustic.compute(noise(count), rate, acoustic.Settings(functionals=whole))
    win, hop = round(0.04 * rate), round(0.01 * rate)
    frames = 1 + (max(count, win) - win) // hop
    assert found.shape == ((1, 155) if whole else (frames, 31))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize("count", [1, 1000, 9000])
def test_silence(count: int) -> None:
    found = acoustic.describe(np.zeros(count, np.int16), 16000, EVERY)
    np.testing.assert_array_equal(found[:, [0, 2, 3, 4, 5, 6]], 0)
    np.testing.assert_allclose(found[:, 1], -100)
    np.testing.assert_allclose(found[:, 19:], 0, atol=1e-4)
    assert np.isfinite(
        acoustic.compute(np.zeros(count, np.int16), 16000, acoustic.Settings())
    ).all()


def test_statistics_by_loops() -> None:
    frames = np.random.default_rng(0).standard_normal((20, 31))
    frames[:, :1] = np.where(frames[:, :1] > 0, 200 + frames[:, :1], 0)
    frames[:, 3:7] = np.where(frames[:, 3:7] > -1, 900 + frames[:, 3:7], 0)
    frames[:, 6] = 0  # a formant that is never found
    found = acoustic.statistics(frames).reshape(5, 31)
    for i in range(31):
        column = [row[i] for row in frames]
        if i in (0, 3, 4, 5, 6):
            column = [row[i] for row in frames if row[0] > 0 and row[i] > 0]
        column = column or [0.0]
        mean, low, high = sum(column) / len(column), min(column), max(column)
        sd = math.sqrt(sum((v - mean) ** 2 for v in column) / len(column))
        np.testing.assert_allclose(found[:, i], [mean, sd, low, high, high - low], atol=1e-9)
    unvoiced = acoustic.statistics(frames * (np.arange(31) > 0)).reshape(5, 31)
    np.testing.assert_array_equal(unvoiced[:, [0, 3, 4, 5, 6]], 0)


def test_blocks_and_types_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = vowel(150, VOWELS["i"], 16000)
    whole = acoustic.compute(samples, 16000, EVERY)
    as_float = acoustic.compute(waveform.to_float(samples), 16000, EVERY)
    np.testing.assert_array_equal(as_float, whole)
    monkeypatch.setattr(acoustic, "BLOCK", 7)
    np.testing.assert_allclose(acoustic.compute(samples, 16000, EVERY), whole, rtol=1e-4)


def test_the_kind() -> None:
    found = kind("acoustic")
    assert found.frame_rate(16000, EVERY) == 100
    assert found.frame_rate(16000, found.Settings()) == 0
    assert found.remarks(16000, found.Settings()) == []
    (line,) = found.remarks(8000, found.Settings())
    assert line.startswith("formants are sought up to 4000 Hz only")
    for use in (found.remarks, lambda rate, given: found.compute(noise(99), rate, given)):
        with pytest.raises(UsageError, match="too low"):
            use(1000, found.Settings())


WRONG = "win=0 hop=0 win=2 fmin=70 fmax=75 top=100 functionals=maybe colour=red"


@pytest.mark.parametrize("text", WRONG.split())
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        parse(acoustic.Settings, [text])
