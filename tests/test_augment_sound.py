"""Sound made louder, moved, stretched, higher, narrower, coded: each contract by itself."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from sertool.augmentations import channels, parts, tempo, wave
from sertool.augmentations.channels import ORDER
from sertool.augmentations.copies import of_waveform
from sertool.augmentations.wave import CODECS
from sertool.core.errors import UsageError
from sertool.core.seeds import rng

RATE = 16000
SLOW = settings(deadline=None, max_examples=12)


def noise(n: int = 800, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def sine(hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def voiced(rate: int = RATE, seconds: float = 0.5) -> np.ndarray:
    """Return harmonics of 150 Hz below 3 kHz, which fall off and swell: something like a vowel."""
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * 150 * k * time + k * k) / k for k in range(1, 20))
    wave = tones * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    return (0.15 * wave).astype(np.float32)


def frequency(samples: np.ndarray, rate: int = RATE) -> float:
    """Return the frequency of the largest peak, between bins, away from both ends."""
    inner = samples[len(samples) // 6 : -len(samples) // 6].astype(np.float64)
    size = 1 << 18
    power = np.abs(np.fft.rfft(inner * np.hanning(len(inner)), size))
    return float(power.argmax()) * rate / size


def decibels(after: np.ndarray, before: np.ndarray) -> float:
    inner = slice(len(before) // 4, -len(before) // 4)
    power = np.mean(after[inner].astype(float) ** 2) / np.mean(before[inner].astype(float) ** 2)
    return 10 * float(np.log10(max(power, 1e-30)))


def ratio(clean: np.ndarray, changed: np.ndarray) -> float:
    wide = clean.astype(np.float64)
    return 10 * float(np.log10(np.mean(wide**2) / np.mean((changed - wide) ** 2)))


@given(gain=st.floats(-90, 90), level=st.floats(1e-3, 1))
def test_the_gain_is_exact(gain: float, level: float) -> None:
    clean = noise(level=level)
    loud = channels.amplified(clean, gain)
    assert loud.dtype == np.float32
    expected = clean.astype(np.float64) * 10 ** (gain / 20)
    np.testing.assert_allclose(loud, expected, rtol=2e-7)


@given(n=st.integers(1, 40), share=st.floats(0, 0.99), seed=st.integers(0, 50))
def test_a_shift_moves_and_fills_with_silence(n: int, share: float, seed: int) -> None:
    clean = np.arange(1, n + 1, dtype=np.float32)
    moved, drawn = wave.Shift(share)(clean, RATE, rng(seed))
    by = drawn["samples"]
    assert abs(by) <= round(share * n)
    expected = [clean[i - by] if 0 <= i - by < n else 0 for i in range(n)]
    np.testing.assert_array_equal(moved, expected)


def test_shifts_go_both_ways_and_all_the_way() -> None:
    drawn = [wave.Shift(0.5)(noise(1000), RATE, rng(k))[1]["samples"] for k in range(300)]
    assert min(drawn) < -480
    assert max(drawn) > 480


@SLOW
@given(speed=st.floats(0.5, 2), n=st.integers(1, 5000), rate=st.sampled_from([8000, 44100]))
def test_a_stretch_has_its_length(speed: float, n: int, rate: int) -> None:
    made = tempo.stretched(noise(n), rate, speed)
    assert (len(made), made.dtype) == (max(1, round(n / speed)), np.float32)
    assert np.isfinite(made).all()


@SLOW
@given(speed=st.floats(0.6, 1.7), hertz=st.floats(150, 3000), rate=st.sampled_from([8000, RATE]))
def test_a_stretch_keeps_the_pitch(speed: float, hertz: float, rate: int) -> None:
    made = tempo.stretched(sine(hertz, 1.0, rate), rate, speed)
    assert frequency(made, rate) == pytest.approx(hertz, rel=0.01)


@SLOW
@given(semitones=st.floats(-7, 7), hertz=st.floats(200, 2000), rate=st.sampled_from([8000, RATE]))
def test_a_pitch_is_the_ratio_asked_for(semitones: float, hertz: float, rate: int) -> None:
    clean = sine(hertz, 1.0, rate)
    made = tempo.pitched(clean, rate, semitones)
    assert (made.shape, made.dtype) == (clean.shape, np.float32)
    assert frequency(made, rate) == pytest.approx(hertz * 2 ** (semitones / 12), rel=0.01)


@pytest.mark.parametrize("n", [1, 2, 15, 300])
def test_short_sounds_and_no_change(n: int) -> None:
    clean = noise(n)
    assert tempo.pitched(clean, RATE, 3).shape == (n,)
    np.testing.assert_array_equal(tempo.pitched(clean, RATE, 0), clean)
    np.testing.assert_array_equal(tempo.stretched(clean, RATE, 1), clean)
    assert channels.band_passed(clean, RATE, 300, 3400).shape == (n,)


@SLOW
@given(speed=st.floats(0.5, 2), semitones=st.floats(-6, 6), hiss=st.floats(0, 1))
def test_a_stretch_and_a_pitch_keep_the_level(speed: float, semitones: float, hiss: float) -> None:
    """A phase vocoder alone makes noise and real speech softer by decibels, tones hardly."""
    clean = voiced() + hiss * noise(len(voiced()))
    for made in (tempo.stretched(clean, RATE, speed), tempo.pitched(clean, RATE, semitones)):
        before, after = (np.mean(x.astype(np.float64) ** 2) for x in (clean, made))
        assert 10 * np.log10(after / before) == pytest.approx(0, abs=1e-3)
    silence = np.zeros(3000, np.float32)
    assert not tempo.stretched(silence, RATE, speed).any()
    assert not tempo.pitched(silence, RATE, semitones).any()


def test_the_window_is_as_long_at_any_rate() -> None:
    assert tempo.window(10**6, 22050) == 2048  # librosa's own
    for rate in (8000, 16000, 48000):
        assert 0.06 < tempo.window(10**6, rate) / rate < 0.14


@settings(deadline=None, max_examples=30)
@given(low=st.floats(100, 1000), width=st.floats(2, 6), data=st.data())
def test_a_band_keeps_what_is_in_it_alone(low: float, width: float, data: st.DataObject) -> None:
    high = low * width
    inside = data.draw(st.floats(1.4 * low, max(1.4 * low, high / 1.4)))
    for hertz, most, least in [
        (low / 2, -48, -200),
        (low / 2.5, -48, -400),
        (low, -5.5, -6.5),
        (high, -5.5, -6.5),
    ]:
        tone = sine(hertz, 1.0)
        assert least < decibels(channels.band_passed(tone, RATE, low, high), tone) < most
    if 2 * high < RATE / 2 - 200:
        tone = sine(2 * high, 1.0)
        assert decibels(channels.band_passed(tone, RATE, low, high), tone) < -48
    if inside <= high / 1.4:
        tone = sine(inside, 1.0)
        made = channels.band_passed(tone, RATE, low, high)
        assert -1 < decibels(made, tone) < 0.1
        middle = slice(len(tone) // 4, -len(tone) // 4)
        lag = np.vdot(signal.hilbert(made)[middle], signal.hilbert(tone)[middle])
        assert abs(np.angle(lag)) < 0.01  # nothing moves in time


def test_the_band_is_scipys_filter_squared() -> None:
    impulse = np.zeros(RATE, np.float32)
    impulse[RATE // 2] = 1
    made = np.abs(np.fft.rfft(channels.band_passed(impulse, RATE, 300, 3400)))
    b, a = signal.butter(ORDER, [300, 3400], "bandpass", fs=RATE)
    bins = np.arange(200, 5000)
    _, wanted = signal.freqz(b, a, bins, fs=RATE)
    np.testing.assert_allclose(made[bins], np.abs(wanted) ** 2, atol=1e-4)


BOUNDS = {"mp3": 15, "ogg": 15, "opus": 12, "gsm": 8, "mulaw": 30, "alaw": 30}  # dB


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_a_codec_keeps_length_place_and_most_of_the_sound(name: str, rate: int) -> None:
    clean = voiced(rate, 1.0)[: rate - 37]
    made, beyond = channels.coded(clean, rate, *CODECS[name])
    assert (made.shape, made.dtype, beyond) == (clean.shape, np.float32, 0)
    assert ratio(clean, made) > BOUNDS[name]
    assert not np.array_equal(made, clean)
    lag = signal.correlate(made, clean, method="fft").argmax() - (len(clean) - 1)
    assert abs(lag) <= rate / 8000
    again, _ = channels.coded(clean, rate, *CODECS[name])
    np.testing.assert_array_equal(made, again)


@pytest.mark.parametrize("name", CODECS)
def test_codecs_of_short_odd_and_loud_sounds(name: str) -> None:
    for n, rate in [(1, 16000), (700, 16001), (333, 96000)]:
        assert channels.coded(noise(n), rate, *CODECS[name])[0].shape == (n,)
    loud = 5 * sine(200, 0.2)
    made, beyond = channels.coded(loud, RATE, *CODECS[name])
    assert beyond == np.sum(np.abs(loud) > 1) > 0
    np.testing.assert_array_equal(made, channels.coded(loud.clip(-1, 1), RATE, *CODECS[name])[0])


def test_a_law_is_the_standards() -> None:
    """G.711: steps of at most 1/16 of the value, so that the error is below 1/32 of it."""
    clean = np.linspace(-0.95, 0.95, 2001, dtype=np.float32)
    for name in ("mulaw", "alaw"):
        made, _ = channels.coded(clean, 8000, *CODECS[name])
        assert (np.abs(made - clean) <= np.abs(clean) / 30 + 1e-3).all()
        assert len(np.unique(made)) < 256


@pytest.mark.parametrize("name", ["mulaw", "alaw"])
def test_g711_is_coded_at_its_own_8_khz(name: str) -> None:
    """What comes back is what soundfile makes of the sound as sampled at 8 kHz, and no more."""
    _, subtype, _ = CODECS[name]
    sampled = io.BytesIO()
    soundfile.write(sampled, voiced(8000, 1.0), 8000, subtype, format="WAV")
    wanted, _ = soundfile.read(io.BytesIO(sampled.getvalue()), dtype="float32")
    made, _ = channels.coded(voiced(RATE, 1.0), RATE, *CODECS[name])
    inner = slice(400, -400)  # away from the resampler's ends
    assert ratio(wanted[inner], made[::2][inner]) > ratio(wanted[inner], voiced(8000, 1.0)[inner])
    wide, _ = channels.coded(noise(RATE), RATE, *CODECS[name])
    power = np.abs(np.fft.rfft(wide)) ** 2  # bins of 1 Hz
    assert power[4400:].mean() < 1e-5 * power[500:3500].mean()


def one(steps: dict, samples: np.ndarray, k: int = 1) -> tuple[np.ndarray, dict, list[str]]:
    made = parts("wave", steps)
    made = {n: p.prepared(RATE, print) if hasattr(p, "prepared") else p for n, p in made.items()}
    return next(of_waveform(samples, RATE, made, [rng(0, "c/x", k)]))


@given(gain=st.floats(-30, 30), level=st.floats(0.01, 0.3))
def test_int16_is_cut_off_and_said(gain: float, level: float) -> None:
    clean = np.rint(noise(300, level=level) * 32768).clip(-32768, 32767).astype(np.int16)
    made, drawn, notes = one({"gain": [gain, gain]}, clean)
    exact = np.rint(clean * 10 ** (drawn["gain"]["gain_db"] / 20))
    assert made.dtype == np.int16
    assert np.abs(made - exact.clip(-32768, 32767)).max() <= 1
    outside = max(exact.max() - 32767, -32768 - exact.min())
    if abs(outside) > 2:  # not a matter of rounding
        assert notes == ["clipped"] * int(outside > 0)
        lost = np.count_nonzero((exact > 32767) | (exact < -32768))
        assert drawn.get("clipped", 0) == pytest.approx(lost, abs=1)


def test_float32_goes_beyond_full_scale_and_nothing_is_lost() -> None:
    clean = noise(300, level=0.5)
    made, _, notes = one({"gain": [20, 20]}, clean)
    np.testing.assert_allclose(made, 10 * clean, rtol=1e-6)
    assert notes == []
    assert one({"codec": [("mulaw",)], "gain": [20, 20]}, clean)[2] == ["clipped"]


def test_every_draw_is_in_its_range_and_told() -> None:
    asked = {
        "pitch": [-2, 3],
        "time-stretch": [0.8, 1.2],
        "gain": [-6, 6],
        "band-pass": [100, 200, 3000, 4000],
        "codec": [("mulaw", "alaw")],
        "awgn": [15, 30],
    }
    told = [one(asked, noise(400), k)[1] for k in range(1, 9)]
    assert list(told[0]) == ["pitch", "time-stretch", "awgn", "band-pass", "gain", "codec"]
    for drawn in told:
        assert -2 <= drawn["pitch"]["semitones"] <= 3
        assert 0.8 <= drawn["time-stretch"]["speed"] <= 1.2
        assert -6 <= drawn["gain"]["gain_db"] <= 6
        low, high = drawn["band-pass"]["hz"]
        assert 100 <= low <= 200
        assert 3000 <= high <= 4000
    assert {drawn["codec"]["codec"] for drawn in told} == {"mulaw", "alaw"}
    assert len({str(drawn) for drawn in told}) == 8


def test_the_order_of_codecs_is_none_of_a_draw() -> None:
    made = [wave.Codec(names) for names in [("alaw", "mp3", "mp3"), ("mp3", "alaw")]]
    assert made[0] == made[1]
    assert made[0].recorded == [["mp3", "alaw"]]
    assert wave.Gain((-6, 6)).recorded == [-6, 6]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("gain", [-200, 0], "--gain -200:0: needs LOW:HIGH, two numbers, -100 to 100 dB"),
        ("pitch", [0, 60], "--pitch 0:60"),
        ("time-stretch", [0, 1], "--time-stretch 0:1"),
        ("shift", [1.0], "shift 1"),
        ("band-pass", [0, 0, 300, 300], "--band-pass"),
        ("band-pass", [400, 400, 300, 300], "--band-pass 400"),
        ("band-pass", [300, 300, 8000, 8000], "must be below 8000 Hz"),
        ("codec", [("mp4",)], "--codec mp4: needs mp3"),
        ("awgn", [-900, 0], "--awgn"),
    ],
)
def test_wrong_values(name: str, values: list, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        one({name: values}, noise())


def test_a_codec_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sertool.audio.decoding.codes", lambda container, coding: False)
    with pytest.raises(UsageError, match="--codec opus: this machine's libsndfile does"):
        one({"codec": [("opus",)]}, noise())


@pytest.mark.parametrize("made", ["Pitch((-1, 1))", "TimeStretch((0.9, 1.1))"])
def test_librosa_is_compiled_before_there_are_processes(made: str) -> None:
    code = f"import sys; from sertool.augmentations.wave import *; {made}.prepared(16000, print);"
    code += "assert 'librosa.util.utils' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
