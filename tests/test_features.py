"""Feature kinds against librosa and against transforms written out in float64."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_settings import parse

from sertool.audio import decoding as audio
from sertool.audio import waveform
from sertool.core.errors import ItemError, UsageError
from sertool.core.settings import describe
from sertool.features import KINDS, frames, kind, mel, mfcc, rounding, spectrogram, wave
from sertool.features.stage import Stage

RATES = (8000, 16000, 22050, 48000, 192000)


def speechlike(samples: int, rate: int, seed: int = 0) -> np.ndarray:
    """Harmonics of a wandering pitch under a falling spectrum, with pauses, in int16."""
    random = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    pitch = 140 * (1 + 0.2 * np.sin(2 * np.pi * 1.5 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = sum(np.sin(k * phase) / k**1.5 for k in range(1, 20) if 200 * k < rate / 2)
    wave = wave * (np.sin(2 * np.pi * 1.1 * time) > -0.5) + 0.003 * random.standard_normal(samples)
    return np.round(wave / max(np.abs(wave).max(), 1e-9) * 20000).astype(np.int16)


def reference(samples: np.ndarray, rate: int, given: Any) -> np.ndarray:
    """librosa's power (frames, bins or bands), in the settings' precision."""
    y = waveform.to_float(samples).astype(given.precision)
    frame = {"n_fft": given.n_fft, "hop_length": given.hop_length, "center": given.center}
    frame |= {"win_length": given.win_length, "window": given.window}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short signals, empty filters
        if not isinstance(given, mel.Bands):
            return (np.abs(librosa.stft(y, **frame)) ** 2).T
        bands = {"n_mels": given.n_mels, "fmin": given.fmin, "fmax": given.fmax, "htk": given.htk}
        bands |= {"norm": given.norm, "power": given.power}
        return librosa.feature.melspectrogram(y=y, sr=rate, **frame, **bands).T


def assert_like_librosa(samples: np.ndarray, rate: int, given: Any, decibels: float) -> None:
    """Compare in dB within 80 dB of the peak, and linear power everywhere."""
    compute = mel.compute if isinstance(given, mel.Settings) else spectrogram.compute
    expected = reference(samples, rate, given)
    power = compute(samples, rate, dataclasses.replace(given, scale="power"))
    assert power.shape == expected.shape
    assert power.dtype == np.float32
    np.testing.assert_allclose(power, expected, atol=1e-6 * expected.max(), rtol=0)
    levels = {"amin": 1e-30, "top_db": None}
    ours = compute(samples, rate, dataclasses.replace(given, **levels))
    theirs = librosa.power_to_db(expected, **levels)
    heard = theirs >= theirs.max() - 80
    np.testing.assert_allclose(ours[heard], theirs[heard], atol=decibels, rtol=0)


MEL_CASES = [
    {},
    {"n_fft": 1024, "hop_length": 256},
    {"n_fft": 400, "hop_length": 160, "n_mels": 64, "htk": True, "norm": None},
    {"n_fft": 512, "hop_length": 160, "win_length": 400, "window": "hamming", "fmax": 3800.0},
    {"n_fft": 1024, "hop_length": 1500, "window": "blackman", "fmin": 60.0, "n_mels": 40},
    {"n_fft": 501, "hop_length": 77, "win_length": 300, "window": "boxcar", "n_mels": 20},
    {"n_fft": 512, "window": "bohman", "n_mels": 30, "center": False},
]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("case", MEL_CASES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_mel_is_librosas(rate: int, case: dict[str, Any], precision: str) -> None:
    samples = speechlike(rate // 2, rate)
    given = mel.Settings(**case, precision=precision)
    assert_like_librosa(samples, rate, given, 1e-3 if precision == "float32" else 1e-4)


@pytest.mark.parametrize("case", MEL_CASES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_spectrogram_is_librosas(case: dict[str, Any], precision: str) -> None:
    known = {field.name for field in dataclasses.fields(spectrogram.Settings)}
    case = {name: value for name, value in case.items() if name in known}
    given = spectrogram.Settings(**case, precision=precision)
    samples = speechlike(24000, 48000)
    assert_like_librosa(samples, 48000, given, 1e-2 if precision == "float32" else 1e-4)


@pytest.mark.parametrize("corpus", ["ravdess/Actor_03", "ravdess/Actor_06", "emodb-339"])
@pytest.mark.parametrize("case", [{}, {"n_fft": 1024, "hop_length": 256}, {"n_fft": 512}])
def test_real_speech(corpora: Path, corpus: str, case: dict[str, int]) -> None:
    for path in sorted((corpora / corpus).glob("*.flac"))[::25]:
        decoded = audio.decode(path)
        rate = decoded.sample_rate
        assert_like_librosa(decoded.samples, rate, mel.Settings(**case), 1e-3)
        assert_like_librosa(decoded.samples, rate, spectrogram.Settings(**case), 1e-2)
        finer = mel.Settings(**case, precision="float64")
        assert_like_librosa(decoded.samples, rate, finer, 1e-4)


def test_the_worst_of_real_speech(corpora: Path) -> None:
    """Files where a transform in float32 alone misses 1e-3 dB; one of them by a factor of 3."""
    cases = {
        "ravdess/Actor_03/03-01-08-01-02-02-03.flac": {"n_fft": 1024, "hop_length": 256},
        "emodb-339/09a01Wb.flac": {"n_fft": 512, "hop_length": 160},
    }
    for name, case in cases.items():
        decoded = audio.decode(corpora / name)
        assert_like_librosa(decoded.samples, decoded.sample_rate, mel.Settings(**case), 1e-3)


@pytest.mark.parametrize("samples", [1, 2, 100, 511, 512, 513, 2047])
@pytest.mark.parametrize("n_fft", [512, 2048, 333])
def test_short_signals(samples: int, n_fft: int) -> None:
    signal = speechlike(samples, 16000)
    given = mel.Settings(n_fft=n_fft, hop_length=100, n_mels=30)
    assert_like_librosa(signal, 16000, given, 1e-3)
    if samples < n_fft:
        with pytest.raises(ItemError, match="shorter than one frame"):
            mel.compute(signal, 16000, dataclasses.replace(given, center=False))


@given(
    samples=st.integers(1, 3000),
    n_fft=st.integers(2, 600),
    hop=st.integers(1, 700),
    center=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_blocks_change_nothing(samples: int, n_fft: int, hop: int, center: bool, seed: int) -> None:
    """Frames cut block by block are the frames of the padded whole, whatever the block."""
    signal = np.random.default_rng(seed).integers(-9999, 9999, samples).astype(np.int16)
    framing = frames.Framing(n_fft, hop, window="boxcar", center=center, precision="float64")
    padded = np.pad(signal / 32768, n_fft // 2 if center else 0)
    if len(padded) < n_fft:
        return
    whole = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    expected = np.abs(np.fft.rfft(whole)) ** 2
    kept, frames.BLOCK = frames.BLOCK, 2000
    try:
        parts = [(rows, power.copy()) for rows, power, _ in frames.powers(signal, framing)]
        wanted = np.arange(0, len(whole), 3)
        few = [power.copy() for _, power, _ in frames.powers(signal, framing, only=wanted)]
    finally:
        frames.BLOCK = kept
    assert [rows.start for rows, _ in parts[1:]] == [rows.stop for rows, _ in parts[:-1]]
    np.testing.assert_allclose(np.concatenate([p for _, p in parts]), expected, atol=1e-9)
    np.testing.assert_allclose(np.concatenate(few), expected[wanted], atol=1e-9)


def test_long_files_in_bounded_memory() -> None:
    """Ten minutes go through the same scratch as one second."""
    given = mel.Settings(n_fft=1024, hop_length=512, n_mels=4, fmax=4000.0)
    mel.compute(np.ones(1 << 18, np.int16), 16000, given)
    held = {name: array.nbytes for name, array in frames._scratch.arrays.items()}
    mel.compute(np.ones(600 * 16000, np.int16), 16000, given)
    assert {name: array.nbytes for name, array in frames._scratch.arrays.items()} == held
    assert sum(held.values()) < 16 << 20


def test_int16_and_float_give_the_same_bits() -> None:
    raw = speechlike(16000, 16000)
    for name, options in [("mel", {}), ("mfcc", {}), ("spectrogram", {"n_fft": 512}), ("wave", {})]:
        found = kind(name)
        given = found.Settings(**options)
        whole = found.compute(raw, 16000, given)
        np.testing.assert_array_equal(whole, found.compute(waveform.to_float(raw), 16000, given))
        np.testing.assert_array_equal(whole, found.compute(raw, 16000, given))
        assert whole.dtype == np.float32


@pytest.mark.parametrize(
    "levels",
    [
        {},
        {"top_db": None},
        {"ref": "max"},
        {"ref": "max", "top_db": 20.0},
        {"ref": 0.25, "amin": 1e-3, "top_db": 50.0},
        {"ref": 1e-12},
    ],
)
def test_decibels_are_librosas(levels: dict[str, Any]) -> None:
    samples = speechlike(8000, 16000)
    expected = dict(levels, ref=np.max if levels.get("ref") == "max" else levels.get("ref", 1.0))
    given = mel.Settings(n_fft=512, n_mels=40, **levels)
    power = reference(samples, 16000, given)
    theirs = librosa.power_to_db(power, **expected)
    np.testing.assert_allclose(mel.compute(samples, 16000, given), theirs, atol=1e-3)
    flat = spectrogram.Settings(n_fft=512, **levels)
    theirs = librosa.power_to_db(reference(samples, 16000, flat), **expected)
    heard = theirs >= theirs.max() - 80
    ours = spectrogram.compute(samples, 16000, flat)
    np.testing.assert_allclose(ours[heard], theirs[heard], atol=1e-2)


def test_other_scales() -> None:
    samples = speechlike(8000, 16000)
    for module in (mel, spectrogram):
        given = module.Settings(n_fft=512, amin=1e-8)
        power = module.compute(samples, 16000, dataclasses.replace(given, scale="power"))
        magnitude = module.compute(samples, 16000, dataclasses.replace(given, scale="magnitude"))
        log = module.compute(samples, 16000, dataclasses.replace(given, scale="log"))
        np.testing.assert_allclose(magnitude, np.sqrt(power), rtol=1e-6)
        np.testing.assert_allclose(log, np.log(np.maximum(power, 1e-8)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("power", [1.0, 1.5, 3.0])
def test_exponents(power: float) -> None:
    samples = speechlike(8000, 16000)
    given = mel.Settings(n_fft=512, n_mels=40, power=power, scale="power")
    expected = reference(samples, 16000, given)
    ours = mel.compute(samples, 16000, given)
    np.testing.assert_allclose(ours, expected, atol=1e-6 * expected.max())


def test_settings_that_give_what_is_not_finite_fail_the_item(recwarn: Any) -> None:
    loud = np.full(4000, 1e9, np.float32) * np.sin(np.arange(4000)).astype(np.float32)
    for name, chosen in (
        ("mel", {"amin": 1e300}),
        ("mfcc", {"amin": 1e300}),
        ("mel", {"power": 8, "scale": "power"}),
        ("image", {"power": 8, "base": "mel"}),
    ):
        with pytest.raises(ItemError, match="not finite"):
            Stage(name, chosen, sample_rate=16000).compute(loud, 16000)
    assert not recwarn.list
    with pytest.raises(ValueError, match="power must be above 0, at most 8"):
        mel.Settings(power=1e5)


def test_silence_is_the_floor() -> None:
    silence = np.zeros(5000, np.int16)
    for name in ("mel", "spectrogram"):
        found = kind(name)
        np.testing.assert_allclose(found.compute(silence, 16000, found.Settings()), -100)
        relative = found.Settings(ref="max")
        np.testing.assert_allclose(found.compute(silence, 16000, relative), 0, atol=1e-4)
    assert np.isfinite(mfcc.compute(silence, 16000, mfcc.Settings())).all()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("n_fft", "n_mels"), [(512, 128), (2048, 40), (401, 26)])
@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize("norm", ["slaney", None])
@pytest.mark.parametrize(("fmin", "fmax"), [(0.0, None), (30.0, 3500.0), (1200.0, 3900.0)])
def test_filters_are_librosas(
    rate: int, n_fft: int, n_mels: int, htk: bool, norm: Any, fmin: float, fmax: float | None
) -> None:
    bands = mel.Bands(n_fft=n_fft, n_mels=n_mels, htk=htk, norm=norm, fmin=fmin, fmax=fmax)
    shape = {"n_fft": n_fft, "n_mels": n_mels, "fmin": fmin, "fmax": fmax, "htk": htk, "norm": norm}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = librosa.filters.mel(sr=rate, dtype=np.float64, **shape)
    np.testing.assert_allclose(mel.filters(rate, bands), expected, atol=1e-12)
    remarks = mel.remarks(rate, bands)
    assert len(remarks) == (expected.max(axis=1) == 0).any()


def test_empty_filters_are_remarked_and_counted() -> None:
    bands = mel.Settings(n_fft=512, n_mels=128)
    (line,) = mel.remarks(48000, bands)
    empty = np.count_nonzero(mel.filters(48000, bands).max(axis=1) == 0)
    assert line.startswith(f"{empty} of 128 mel bands")
    assert np.isfinite(mel.compute(speechlike(9000, 48000), 48000, bands)).all()
    with pytest.raises(UsageError, match="not below"):
        mel.remarks(8000, mel.Settings(fmin=5000.0))


@given(st.lists(st.floats(0, 96000), min_size=1), st.booleans())
def test_mel_scale_and_back(hz: list[float], htk: bool) -> None:
    values = np.array(hz)
    np.testing.assert_allclose(mel.hz_to_mel(values, htk), librosa.hz_to_mel(values, htk=htk))
    np.testing.assert_allclose(mel.mel_to_hz(mel.hz_to_mel(values, htk), htk), values, atol=1e-6)


WINDOWS = ["hann", "hamming", "blackman", "boxcar", "ones", "bartlett", "nuttall", "cosine"]


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("length", [1, 2, 255, 256])
def test_windows_are_scipys(name: str, length: int) -> None:
    import scipy.signal

    expected = librosa.util.pad_center(scipy.signal.get_window(name, length), size=300)
    np.testing.assert_allclose(frames.window(name, length, 300), expected, atol=1e-15)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("lifter", [0.0, 22.0])
@pytest.mark.parametrize(
    "case", [{}, {"n_fft": 512, "hop_length": 160, "n_mels": 40, "n_mfcc": 40}]
)
def test_mfcc_is_librosas(case: dict[str, int], lifter: float, precision: str) -> None:
    samples = speechlike(16000, 16000)
    given = mfcc.Settings(**case, lifter=lifter, precision=precision)
    levels = librosa.power_to_db(reference(samples, 16000, given))
    np.testing.assert_allclose(mfcc.log_mel(samples, 16000, given), levels, atol=1e-3)
    expected = librosa.feature.mfcc(S=levels.T, n_mfcc=given.n_mfcc, lifter=int(lifter)).T
    ours = mfcc.compute(samples, 16000, given)
    assert ours.shape == expected.shape
    assert ours.dtype == np.float32
    # a coefficient sums n_mels levels with weights whose squares add up to 1
    bound = (1e-3 if precision == "float32" else 2e-5) * np.sqrt(given.n_mels) * (1 + lifter / 2)
    np.testing.assert_allclose(ours, expected, atol=bound)


@given(st.integers(1, 40))
def test_cosines_are_orthonormal(n: int) -> None:
    basis = mfcc.cosines(n, n)
    np.testing.assert_allclose(basis.T @ basis, np.eye(n), atol=1e-12)


def test_doubtful_frames() -> None:
    power = np.full((5, 3), 1.0, np.float32)
    power[1] = 1e-7  # far below the peak, but nothing louder in its frame
    power[2, 1] = 1e-6  # far below its own frame
    power[3, 2] = 1e-9  # further than 80 dB below the peak: need not be right
    power[4] = 10.0  # near the peak
    energies = np.array([1, 1e-7, 1, 1, 1], np.float32) * 100
    gains = np.ones(3, np.float32)
    assert rounding.doubtful(power, energies, gains, 5e-4).tolist() == [2, 4]
    assert rounding.doubtful(power * 0, energies, gains, 5e-4).tolist() == []


def test_wave_keeps_samples() -> None:
    raw = speechlike(1000, 16000)
    np.testing.assert_array_equal(wave.compute(raw, 16000, wave.Settings()) * 32768, raw)
    assert wave.frame_rate(16000, wave.Settings()) == 16000


def test_the_table_of_kinds() -> None:
    for name in KINDS:
        found = kind(name)
        assert found.name == name
        assert found.summary
        assert found.dims.startswith("(")
        for _, _, _, help_line in describe(found.Settings):
            assert help_line
        assert parse(found.Settings, []) == found.Settings()
    assert kind("mel").frame_rate(16000, mel.Settings(hop_length=160)) == 100
    with pytest.raises(UsageError, match="spectrogram"):
        kind("melody")


WRONG = """
    n_fft=1 hop_length=0 win_length=4096 window=nonsense window=kaiser amin=0 n_mels=0 fmin=-1
    fmin=9000 top_db=-1 ref=0 ref=min power=0 scale=bel precision=float16 n_mfcc=0 n_mfcc=200
    lifter=-1 norm=l1 colour=red n_fft=many
"""


@pytest.mark.parametrize("text", WRONG.split())
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        parse(mfcc.Settings, ["fmax=8000", text])


def test_settings_from_text() -> None:
    given = parse(mel.Settings, ["ref=max", "top_db=none", "fmax=none", "norm=none", "fmax=4000"])
    assert (given.ref, given.top_db, given.fmax, given.norm) == ("max", None, 4000.0, None)
