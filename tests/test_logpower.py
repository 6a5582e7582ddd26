"""Kind `logpower` against a transform written out in float64, at any rate and length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from made_settings import parse

from sertool.audio import decoding as audio
from sertool.audio import waveform
from sertool.core.errors import UsageError
from sertool.features import frames, kind, logpower


def reference(
    samples: np.ndarray, win: int, hop: int, n_fft: int, bins: int, window: str = "hamming"
) -> np.ndarray:
    """Sheet section 2, frame by frame: a window at the frame's start, zeros after it."""
    y = waveform.to_float(samples).astype(np.float64)
    y = np.pad(y, (0, max(0, win - len(y))))
    shape = scipy.signal.get_window(window, win, fftbins=True)
    starts = range(0, len(y) - win + 1, hop)
    rows = [np.fft.rfft(y[start : start + win] * shape, n_fft)[:bins] for start in starts]
    return 10 * np.log10(np.abs(np.array(rows)) ** 2 + 1e-10)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9999, 9999, count).astype(np.int16)


def check(samples: np.ndarray, rate: int, *assignments: str, **expected: int) -> None:
    ours = logpower.compute(samples, rate, parse(logpower.Settings, list(assignments)))
    assert ours.dtype == np.float32
    theirs = reference(samples, **expected)  # type: ignore[arg-type]
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("seconds", "rows"), [(3.0, 297), (1.0, 97), (0.04, 1), (0.05, 2)])
def test_the_papers_frames(seconds: float, rows: int) -> None:
    samples = noise(round(seconds * 16000))
    check(samples, 16000, win=640, hop=160, n_fft=1600, bins=400)
    assert logpower.compute(samples, 16000, logpower.Settings()).shape == (rows, 400)


@given(st.integers(1, 3000), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_any_length(count: int, seed: int) -> None:
    """Down to one sample: what does not fill a window is padded to one."""
    check(noise(count, seed), 16000, win=640, hop=160, n_fft=1600, bins=400)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (8000, {"win": 320, "hop": 80, "n_fft": 800}),
        (22050, {"win": 882, "hop": 220, "n_fft": 2205}),  # an odd rest around the window
        (44100, {"win": 1764, "hop": 441, "n_fft": 4410}),
        (48000, {"win": 1920, "hop": 480, "n_fft": 4800}),
    ],
)
def test_other_rates(rate: int, expected: dict[str, int]) -> None:
    for more in (0, -1):  # the last frame just fits, and just not
        count = expected["win"] + 20 * expected["hop"] + more
        check(noise(count), rate, bins=400, **expected)
    assert logpower.remarks(rate, logpower.Settings()) == []


def test_other_settings() -> None:
    texts = ["win=0.02", "hop=0.005", "grid=20", "top=3000", "window=hann"]
    expected = {"win": 320, "hop": 80, "n_fft": 800, "bins": 150, "window": "hann"}
    check(noise(5000), 16000, *texts, **expected)  # type: ignore[arg-type]
    whole = parse(logpower.Settings, ["win=0.1"])  # a window as long as the transform
    assert logpower.compute(noise(1600), 16000, whole).shape == (1, 400)


def test_real_speech(corpora: Path) -> None:
    """Quiet bins too: no range below the peak is left out."""
    for path in sorted((corpora / "emodb-339").glob("*.flac"))[::60]:
        decoded = audio.decode(path)
        assert decoded.sample_rate == 16000
        check(decoded.samples, 16000, win=640, hop=160, n_fft=1600, bins=400)


def test_a_quiet_bin_beside_a_loud_tone() -> None:
    """Bins 130 dB below a tone in the same frame are right: float32 would miss them by decibels."""
    time = np.arange(1600) / 16000
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    check(tone, 16000, "window=blackman", win=640, hop=160, n_fft=1600, bins=400, window="blackman")  # type: ignore[arg-type]


def test_silence_is_the_floor() -> None:
    silence = np.zeros(1000, np.int16)
    np.testing.assert_allclose(logpower.compute(silence, 16000, logpower.Settings()), -100)
    higher = logpower.Settings(floor=1e-3)
    np.testing.assert_allclose(logpower.compute(silence, 16000, higher), -30)


def test_int16_and_float_give_the_same_bits() -> None:
    raw = noise(8000)
    given = logpower.Settings()
    whole = logpower.compute(raw, 16000, given)
    np.testing.assert_array_equal(whole, logpower.compute(waveform.to_float(raw), 16000, given))


def test_long_files_in_bounded_memory() -> None:
    given = logpower.Settings()
    logpower.compute(np.ones(1 << 18, np.int16), 16000, given)
    held = {name: array.nbytes for name, array in frames._scratch.arrays.items()}
    logpower.compute(np.ones(60 * 16000, np.int16), 16000, given)
    assert {name: array.nbytes for name, array in frames._scratch.arrays.items()} == held


def test_rates_that_do_not_fit() -> None:
    found = kind("logpower")
    given = found.Settings()
    assert found.frame_rate(16000, given) == 100
    assert found.remarks(8000, given) == []
    for use in (found.remarks, found.frame_rate):
        with pytest.raises(UsageError, match="above half the sample rate of 7999"):
            use(7999, given)
    with pytest.raises(UsageError, match="above half"):
        found.compute(noise(9), 7999, given)
    with pytest.raises(UsageError, match="must each hold a sample"):
        found.remarks(16000, found.Settings(hop=1e-5))
    (line,) = found.remarks(11025, given)
    assert line.startswith("bins lie 10.0045 Hz apart, not 10")


WRONG = (
    "win=0 hop=0 grid=0 grid=0.0001 win=0.2 top=4 floor=0 window=nonsense window=kaiser colour=red"
)


@pytest.mark.parametrize("text", WRONG.split())
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        parse(logpower.Settings, [text])
