"""Voice activity: what is no speech, where speech is, and what a detector needs."""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from sertool.audio import voice
from sertool.audio.listening import Ear, Whole, listen
from sertool.audio.voice import energy, silero
from sertool.core.errors import SertoolError

ROOT = Path(__file__).resolve().parent.parent
SPOKEN = sorted((ROOT / "data/demo/corpus").glob("spk0[1-4]/*_s3_r1.flac"))
RATE = 16000
NEEDS = {"silero": ("silero_vad", "onnxruntime"), "webrtc": ("webrtcvad",)}


@pytest.fixture(params=voice.VADS)
def vad(request: pytest.FixtureRequest) -> str:
    for package in NEEDS.get(request.param, ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return request.param


def noise(seconds: float, db: float, rate: int = RATE) -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal(round(seconds * rate))
    return (10 ** (db / 20) * drawn).astype(np.float32)


def pink(seconds: float, db: float) -> np.ndarray:
    spectrum = np.fft.rfft(noise(seconds, 0))
    made = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 20)))
    return (made / made.std() * 10 ** (db / 20)).astype(np.float32)


def speech(samples: np.ndarray, name: str, rate: int = RATE) -> list[voice.Span]:
    found = listen(Whole(samples, rate), name).speech
    assert found is not None
    return found


def test_what_nobody_says_is_no_speech(vad: str) -> None:
    hum = 0.01 * np.sin(2 * np.pi * 50 * np.arange(4 * RATE) / RATE).astype(np.float32)
    for sound in (np.zeros(4 * RATE, np.float32), noise(4, -30), noise(4, -70), pink(4, -35), hum):
        assert speech(sound, vad) == []
    assert speech(np.zeros(10, np.float32), vad) == []
    assert speech(np.zeros(9, np.int16), vad) == []


@pytest.mark.parametrize("behind", [None, -60.0, -45.0])
def test_utterances_are_found_where_they_lie(vad: str, behind: float | None) -> None:
    sound = np.zeros(18 * RATE, np.float32) if behind is None else noise(18, behind)
    truth = []
    for i, path in enumerate(SPOKEN[:4]):
        said, _ = soundfile.read(path, dtype="float32")
        said *= 0.1 / np.sqrt((said**2).mean())
        first = round((1.5 + 4 * i) * RATE)
        sound[first : first + len(said)] += said
        truth.append((first / RATE, (first + len(said)) / RATE))
    found = speech(sound, vad)
    for first, last in truth:
        assert voice.overlap(found, first, last) > 0.6 * (last - first)
    for first, last in zip([0.0, *(b for _, b in truth)], [a for a, _ in truth], strict=False):
        assert voice.overlap(found, first + 0.4, last - 0.3) == 0.0
    assert found == sorted(found)
    assert all(0 <= a < b <= 18 for a, b in found)


def test_the_rate_of_a_recording_and_how_it_is_read_matter_little(vad: str) -> None:
    said, rate = soundfile.read(SPOKEN[0], dtype="int16")
    sound = np.concatenate([np.zeros(rate, np.int16), said, np.zeros(rate, np.int16)])
    whole = speech(sound, vad, rate)
    ear = Ear(vad, rate)
    for block in np.array_split(sound, 37):
        ear.hear(block)
    bitwise = ear.stretches(len(sound) / rate)
    np.testing.assert_allclose(bitwise, whole, atol=0.05)
    doubled = np.repeat(sound, 2)  # a rough resampling: images above 8 kHz
    again = speech(doubled, vad, 2 * rate)
    assert voice.overlap(again, 0, 9) == pytest.approx(voice.overlap(whole, 0, 9), abs=0.3)


def test_an_ear_that_forgets_still_tells_the_time() -> None:
    said, rate = soundfile.read(SPOKEN[0], dtype="float32")
    sound = np.concatenate([noise(30, -60), said, noise(1, -60)])
    ear = Ear("energy", rate, kept=5.0)
    for block in np.array_split(sound, 50):
        ear.hear(block)
    found = ear.stretches(len(sound) / rate)
    assert found
    assert 29.8 < found[0][0] < 30.4
    assert found[-1][1] < 30.3 + len(said) / rate


def test_a_gap_in_a_recording_is_not_its_background() -> None:
    """A telephone that sends nothing in pauses: what comes between is noise, not speech."""
    sound = noise(12, -40)
    sound[3 * RATE : 9 * RATE] = 0
    assert speech(sound, "energy") == []
    level = np.full(1000, -40, np.float32)
    level[200:400] = -100
    np.testing.assert_allclose(energy._background(level), -40, atol=1e-4)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.integers(0, 12))
def test_the_background_is_the_least_around(values: list[float], reach: int) -> None:
    found = energy._running_least(np.array(values), reach)
    for i, least in enumerate(found):
        assert least == min(values[max(0, i - reach) : i + reach + 1])


@given(st.lists(st.booleans(), max_size=60))
def test_stretches_by_hand(active: list[bool]) -> None:
    hop, total = 0.05, len(active) * 0.05
    found = voice.stretches(active, hop, total) if active else []
    assert all(b - a >= min(voice.SHORTEST, total / 2) for a, b in found)
    for (_, end), (begin, _) in pairwise(found):
        assert begin - end >= voice.GAP - 2 * voice.AROUND - 1e-9
    if active and all(active):
        assert found == [(0.0, total)]
    if not any(active):
        assert found == []


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=6),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_overlap_by_hand(pieces: list[tuple[int, int]], first: int, last: int) -> None:
    at, spans = 0, []
    for gap, length in pieces:
        spans.append((at + gap, at + gap + length))
        at += gap + length
    inside = {t for a, b in spans for t in range(a, b)}
    assert voice.overlap(spans, first, last) == len(inside & set(range(first, last)))


@pytest.mark.parametrize("name", ["silero", "webrtc"])
def test_what_is_not_installed_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    silero._session.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for package in ("onnxruntime", "webrtcvad"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SertoolError, match=rf"pip install 'sertool\[{name}\]'"):
        voice.detector(name)


def test_silero_is_read_without_its_package() -> None:
    for package in NEEDS["silero"]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    voice.detector("silero")
    assert "silero_vad" not in sys.modules


def test_two_thresholds() -> None:
    scores = np.array([0.4, 0.6, 0.4, 0.3, 0.4, 0.5, 0.36, 0.1])
    found = silero._hysteresis(scores, 0.5, 0.35)
    assert found.tolist() == [False, True, True, False, False, True, True, False]


@pytest.mark.parametrize("corpus", ["ravdess/Actor_0[1-4]", "emodb-339", "emovo/*"])
def test_no_utterance_is_lost(corpora: Path, corpus: str) -> None:
    paths = sorted(corpora.glob(f"{corpus}/*.flac"))[::12]
    assert paths
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert speech(samples.mean(1), "energy", rate), path
