"""Kind `voice`: against Praat and pYIN on speech, sounds that are known, and loops."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_settings import parse

from sertool.audio.decoding import decode
from sertool.audio.waveform import resample, to_float
from sertool.core.errors import UsageError
from sertool.features import kind
from sertool.features.acoustic import slopes
from sertool.features.voice import descriptors, functionals, periods, pitch, spectrum
from sertool.features.voice.descriptors import HOP, SPEECH, VOICE, Frames
from sertool.features.voice.kind import Settings, compute
from sertool.features.voice.spectrum import RATE

ROOT = Path(__file__).resolve().parent.parent
# Of Praat 6.1.38 (parselmouth 0.4.7), on the recording at 16 kHz without its mean:
# "To Pitch (ac)" every 0.01 s, 75 to 600 Hz: "Get value at time" t / 100, nearest, 0 undefined;
# "To PointProcess (cc)" and its local jitter and shimmer (0.0001, 0.02, 1.3, 1.6);
# "To Harmonicity (ac)" (0.01, 75, 0.1, 4.5): mean over frames with a pitch;
# "To Formant (burg)" (0.01, 5, 5500, 0.025, 50): median over frames with a pitch.
PRAAT: dict[str, Any] = json.loads((ROOT / "tests/data/praat.json").read_text())


Spoken = tuple[np.ndarray, dict[str, Any]]


def recording(name: str, corpora: Path | None) -> np.ndarray:
    """A recording's samples (n,) at 16 kHz."""
    demo = name.startswith("demo/")
    folder = ROOT / "data/demo/corpus" if demo else corpora
    assert folder is not None
    sound = decode(folder / name.removeprefix("demo/"))
    return resample(sound.samples, sound.sample_rate, RATE).astype(np.float64)


@pytest.fixture(params=PRAAT)
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """A recording at 16 kHz, and what Praat says about it."""
    name: str = request.param
    corpora = None if name.startswith("demo/") else request.getfixturevalue("corpora")
    return recording(name, corpora), PRAAT[name]


def hertz(frames: Frames) -> np.ndarray:
    semitones = frames.voice[:, VOICE.index("pitch")]
    return np.where(frames.voiced, 27.5 * 2 ** (semitones / 12), 0)


def errors(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Return gross pitch error (more than 20 % off where both have one), and voicing errors."""
    both = (ours > 0) & (theirs > 0)
    assert both.any()
    off = np.abs(ours[both] / theirs[both] - 1)
    return float((off > 0.2).mean()), float(((ours > 0) != (theirs > 0)).mean())


def test_pitch_is_praats(spoken: Spoken) -> None:
    """The worst is a falsetto, of which a moment is an octave away."""
    samples, praat = spoken
    ours, theirs = hertz(descriptors.describe(samples, 75, 600)), np.array(praat["pitch"])
    gross, voicing = errors(ours, theirs)
    assert gross <= 0.06
    assert voicing <= 0.08
    both = (ours > 0) & (theirs > 0)
    assert np.median(np.abs(ours[both] / theirs[both] - 1)) < 0.01


def test_pitch_of_all_recordings_is_praats(corpora: Path) -> None:
    found = [descriptors.describe(recording(name, corpora), 75, 600) for name in PRAAT]
    theirs = np.concatenate([praat["pitch"] for praat in PRAAT.values()])
    gross, voicing = errors(np.concatenate([hertz(one) for one in found]), theirs)
    assert gross < 0.015
    assert voicing < 0.05


def test_pitch_is_pyins(spoken: Spoken) -> None:
    """Another method altogether, and one that hears a voice in other places."""
    samples, _ = spoken
    frame = {"frame_length": 1024, "hop_length": HOP, "fill_na": 0.0}
    theirs, voiced, _ = librosa.pyin(samples, fmin=65, fmax=700, sr=RATE, **frame)
    ours = hertz(descriptors.describe(samples, 65, 700))
    gross, voicing = errors(ours, np.where(voiced, theirs, 0)[: len(ours)])
    assert gross <= 0.05
    assert voicing <= 0.2


def test_quality_and_formants_are_praats(spoken: Spoken) -> None:
    """Jitter and shimmer to a factor, as methods differ; formants where they usually are."""
    samples, praat = spoken
    frames = descriptors.describe(samples, 75, 600)
    sound = periods.Sound(samples - samples.mean())
    marks = periods.marks(sound, hertz(frames), RATE, HOP)
    jitter, shimmer = periods.jitter(marks)[1].mean(), periods.shimmer(sound, marks)[1].mean()
    assert abs(math.log(jitter / praat["jitter"])) < math.log(1.75)
    assert abs(math.log(shimmer / praat["shimmer"])) < math.log(1.5)
    table = dict(zip(VOICE, frames.voice[frames.voiced].T, strict=True))
    assert table["harmonicity"].mean() == pytest.approx(praat["harmonicity"], abs=2)
    for i, formant in enumerate(praat["formants"], 1):
        own = table[f"formant {i}"]
        assert np.median(own[own > 0]) == pytest.approx(formant, rel=0.25 if i == 1 else 0.12)


def pulses(lengths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """A train of band-limited pulses, these numbers of samples apart."""
    places = np.cumsum(lengths)
    time = np.arange(int(places[-1] + lengths[-1]))
    return np.sum(heights[:, None] * np.sinc((time - places[:, None]) / 4), axis=0)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.03])
def test_jitter_and_shimmer_of_known_pulses(share: float) -> None:
    """Periods, and amplitudes, are by turns a share longer and shorter than their mean."""
    turns = np.where(np.arange(150) % 2, 1 + share / 2, 1 - share / 2)
    ones = np.ones(150)
    for lengths, heights, measure in ((turns, ones, "jitter"), (ones, turns, "shimmer")):
        sound = periods.Sound(pulses(100.37 * lengths, heights))
        marks = periods.marks(sound, np.full(len(sound.samples) // HOP, RATE / 100.37), RATE, HOP)
        assert 145 <= sum(map(len, marks)) <= 151
        found = {"jitter": periods.jitter(marks)[1], "shimmer": periods.shimmer(sound, marks)[1]}
        assert found.pop(measure).mean() == pytest.approx(share, rel=0.1)
        for other in found.values():
            assert other.mean() < 0.1 * share + 2e-3


def test_no_neighbours() -> None:
    """A period that is left out, and an amplitude that leaps, count for nothing."""
    run = np.cumsum([50.0, 100, 100, 200, 100, 100])
    places, values = periods.jitter([run, np.array([3.0])])
    np.testing.assert_array_equal(places, [150, 550])
    np.testing.assert_array_equal(values, 0)
    frames = periods.over_frames(places, np.array([1.0, 3.0]), 4, 100)
    np.testing.assert_allclose(frames, [1, 1, 1.25, 1.75])
    np.testing.assert_array_equal(periods.over_frames(places[:0], places[:0], 3, 100), 0)


@given(st.integers(0, 99), st.integers(2, 6))
@settings(deadline=None, max_examples=25)
def test_the_path_is_the_best_of_all(seed: int, n: int) -> None:
    """Every path through two candidates and none, tried one by one."""
    random = np.random.default_rng(seed)
    lags, strengths = random.uniform(40, 160, (n, 2)), random.uniform(0.2, 1, (n, 2))
    loudness = random.uniform(0, 0.08, n)

    def worth(path: tuple[int, ...]) -> float:
        total = 0.0
        for i, k in enumerate(path):
            if k < 0:
                total += 0.45 + max(0, 2 - loudness[i] * 1.45 / 0.03)
            else:
                total += strengths[i, k] - 0.01 * math.log2(75 * lags[i, k] / RATE)
            before = path[i - 1] if i else k
            if (before < 0) != (k < 0):
                total -= 0.14
            elif i and k >= 0:
                total -= 0.35 * abs(math.log2(lags[i, k] / lags[i - 1, before]))
        return total

    best = max(itertools.product([-1, 0, 1], repeat=n), key=worth)
    found = pitch.path(lags, strengths, loudness, RATE, 75)
    assert worth(tuple(found.tolist())) == pytest.approx(worth(best))


def test_a_path_is_the_same_put_together_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    candidates = random.uniform(40, 160, (301, 6)), random.uniform(0.2, 1, (301, 6))
    loudness = random.uniform(0, 0.1, 301)
    whole = pitch.path(*candidates, loudness, RATE, 75)
    assert len(set(whole.tolist())) == 7
    monkeypatch.setattr(pitch, "STEPS", 7)
    np.testing.assert_array_equal(pitch.path(*candidates, loudness, RATE, 75), whole)


@given(st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_no_path_has_a_voice_where_it_is_silent(seed: int) -> None:
    """However strong its candidates: what is not looked for there is not missed."""
    random = np.random.default_rng(seed)
    plan = pitch.plan(RATE, 65, 700)
    lags = random.uniform(RATE / 700, RATE / 65, (40, 6))
    loudness = np.where(random.random(40) < 0.3, random.uniform(0, 0.04, 40), 1)
    silent = pitch.silent(loudness, plan)
    found = pitch.path(lags, np.ones((40, 6)), loudness, RATE, 65)
    assert (found[silent] == -1).all()
    assert (found[loudness == 1] >= 0).any()
    assert pitch.silent(np.array([0, 0.023, 0.03]), plan).tolist() == [True, True, False]


def test_frames_around_the_sound_are_left_out_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only those within the gate, and the same whether spectra are kept or taken again."""
    samples = to_float(decode(sorted((ROOT / "data/demo/corpus/spk02").glob("*.flac"))[0]).samples)
    sound = np.pad(samples.astype(np.float64), (8000, 4000))
    sound += np.random.default_rng(0).normal(0, 1e-4, len(sound))
    every, part = descriptors.describe(sound, 65, 700), descriptors.describe(sound, 65, 700, 35.0)
    monkeypatch.setattr(descriptors, "KEPT", 0)
    again = descriptors.describe(sound, 65, 700, 35.0)
    energy = every.speech[:, SPEECH.index("energy")]
    loud = np.flatnonzero(energy >= energy.max() - 35)
    heard = slice(loud[0], loud[-1] + 1)
    assert 40 < loud[0] < loud[-1] < len(energy) - 20
    for field in ("speech", "voice", "voiced"):
        np.testing.assert_array_equal(getattr(again, field), getattr(part, field))
        np.testing.assert_allclose(getattr(part, field), getattr(every, field)[heard], rtol=1e-9)


@pytest.mark.parametrize("tone", [66.0, 123.4, 350.0, 690.0])
def test_pitch_of_tones(tone: float) -> None:
    time = np.arange(RATE) / RATE
    sound = sum(np.sin(2 * np.pi * tone * k * time) / k for k in range(1, 9))
    found = hertz(descriptors.describe(0.1 * np.asarray(sound), 65, 700))
    np.testing.assert_allclose(found[3:-3], tone, rtol=2e-3)


def test_spectrum_by_its_definition() -> None:
    """One frame, by sums in the order of their formulas; flux between blocks as within one."""
    frames = np.random.default_rng(1).standard_normal((5, spectrum.LENGTH)) * 0.1
    found, shape = spectrum.describe(frames, None)
    table = dict(zip(spectrum.NAMES, found[2], strict=True))
    window = np.hanning(spectrum.LENGTH + 1)[:-1]
    power = np.abs(np.fft.rfft(frames[2] * window, 512)) ** 2 / np.square(window).sum()
    share, bins = power / power.sum(), np.arange(257) * 31.25
    centroid = sum(share * bins)
    spread = math.sqrt(sum(share * (bins - centroid) ** 2))
    assert table["energy"] == pytest.approx(10 * math.log10(np.mean(frames[2] ** 2)))
    assert table["centroid"] == pytest.approx(centroid, rel=1e-4)
    assert table["spread"] == pytest.approx(spread, rel=1e-4)
    skewness = sum(share * (bins - centroid) ** 3) / spread**3
    assert table["skewness"] == pytest.approx(skewness, rel=1e-3)
    kurtosis = sum(share * (bins - centroid) ** 4) / spread**4
    assert table["kurtosis"] == pytest.approx(math.log(kurtosis), rel=1e-4)
    assert table["entropy"] == pytest.approx(-sum(share * np.log(share)), rel=1e-4)
    assert table["roll-off 50"] == bins[np.flatnonzero(np.cumsum(share) >= 0.5)[0]]
    level = 10 * np.log10(power)
    slope = np.polyfit(bins[16:49] / 1000, level[16:49], 1)[0]
    assert table["slope 500-1500"] == pytest.approx(slope, rel=1e-4)
    hammarberg = level[:65].max() - level[64:161].max()
    assert table["hammarberg"] == pytest.approx(hammarberg, rel=1e-4)
    alpha = 10 * math.log10(power[2:33].sum() / power[32:161].sum())
    assert table["alpha ratio"] == pytest.approx(alpha, rel=1e-4)
    first, last = spectrum.describe(frames[:2], None)
    rest, again = spectrum.describe(frames[2:], last)
    np.testing.assert_allclose(np.concatenate([first, rest]), found, atol=1e-9)
    np.testing.assert_allclose(again, shape)
    assert found[0, spectrum.NAMES.index("flux")] == 0


def some_frames(n: int, voiced: np.ndarray, seed: int = 0) -> Frames:
    random = np.random.default_rng(seed)
    speech = random.standard_normal((n, len(SPEECH)))
    voice = np.where(voiced[:, None], random.uniform(1, 9, (n, len(VOICE))), 0)
    return Frames(speech, voice, voiced)


def test_functionals_by_loops() -> None:
    voiced = np.repeat([False, True, False, True, False], [4, 9, 6, 12, 3])
    frames = some_frames(34, voiced)
    frames.speech[[0, 1, 33], 1] = -50  # too soft to be heard, at both ends and within
    frames.speech[15, 1] = -50
    found = functionals.functionals(frames)
    heard, loud = slice(2, 33), [i for i in range(2, 33) if i != 15]
    wide, narrow = len(SPEECH), len(VOICE)
    for column in (0, 1, 30):
        values = frames.speech[loud, column]
        np.testing.assert_allclose(found[column], sum(values) / len(values))
        np.testing.assert_allclose(found[wide + column], np.std(values))
        np.testing.assert_allclose(found[4 * wide + column], np.median(values))
        t = np.linspace(-1, 1, 31)
        slope = np.polyfit(t, frames.speech[heard, column], 1)[0]
        np.testing.assert_allclose(found[7 * wide + column], slope)
        change = slopes(frames.speech[heard])[[i - 2 for i in loud], column]
        np.testing.assert_allclose(found[10 * wide + column], np.std(change))
        sounding = frames.speech[voiced, column]
        np.testing.assert_allclose(found[16 * wide + column], np.mean(sounding))
        np.testing.assert_allclose(found[17 * wide + column], np.std(sounding))
    rest = found[18 * wide :]
    for column in (0, 5):
        values = frames.voice[voiced, column]
        np.testing.assert_allclose(rest[column], np.mean(values))
        np.testing.assert_allclose(rest[6 * narrow + column], np.percentile(values, 95))
        inner = [*range(6, 11), *range(21, 29)]  # two frames from the ends of a voice
        change = slopes(frames.voice[heard])[[i - 2 for i in inner], column]
        np.testing.assert_allclose(rest[9 * narrow + column], np.mean(change))
    timing = rest[16 * narrow : 16 * narrow + 12]
    expected = [0.31, 21 / 31, 30 / 31, 2 / 0.31, 0.105, 0.015, 0.12]
    np.testing.assert_allclose(timing[:7], expected)
    np.testing.assert_allclose(timing[7:11], [3 / 0.31, 10 / 300, np.std([2, 6, 2]) / 100, 0.06])


def test_the_modulation_spectrum_finds_the_swing() -> None:
    """Levels that swing four times a second have their power in the band from 3 to 5 Hz."""
    swing = np.sin(2 * np.pi * 4 * np.arange(300) / 100)[:, None] * np.ones(spectrum.BANDS)
    found = functionals._modulation(swing).reshape(7, 8)
    assert (found.argmax(0) == 2).all()
    assert (found[2] - np.delete(found, 2, 0).max(0) > 2).all()


@given(st.integers(1, 3000), st.sampled_from([4000, 8000, 16000, 44100]), st.booleans())
@settings(deadline=None, max_examples=20)
def test_any_length(count: int, rate: int, whole: bool) -> None:
    samples = np.random.default_rng(count).integers(-9999, 9999, count).astype(np.int16)
    found = compute(samples, rate, Settings(functionals=whole))
    frames = 1 + -(-count * RATE // rate) // HOP
    assert found.shape == ((1, 1390) if whole else (frames, descriptors.DIMS))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_without_level_a_louder_recording_says_the_same() -> None:
    random = np.random.default_rng(0)
    t = np.arange(2 * RATE) / RATE
    swing = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)
    tone = np.sin(2 * np.pi * np.cumsum(150 + 30 * np.sin(2 * np.pi * 2 * t)) / RATE)
    sound = 0.2 * swing * (tone + 0.3 * random.standard_normal(len(t)))
    quiet, loud = (compute(sound * gain, RATE, Settings(level=False))[0] for gain in (1, 4))
    assert len(quiet) == 1183
    np.testing.assert_allclose(quiet, loud, atol=2e-2)
    whole = [compute(sound * gain, RATE, Settings())[0] for gain in (1, 4)]
    differ = np.abs(whole[0] - whole[1]) > 2e-2 * (1 + np.abs(whole[0]))
    kept = functionals.without_level()
    np.testing.assert_array_equal(whole[0][kept], quiet)
    assert not set(np.flatnonzero(differ)) & set(kept.tolist())
    assert differ.sum() > 150


def test_level_is_of_functionals() -> None:
    with pytest.raises(ValueError, match="functionals"):
        Settings(functionals=False, level=False)


@pytest.mark.parametrize("level", [0, 1, -2000])
def test_silence_and_what_does_not_move(level: int) -> None:
    for whole in (True, False):
        found = compute(np.full(9000, level, np.int16), RATE, Settings(functionals=whole))
        assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, len(SPEECH) :], 0)


def test_blocks_types_and_silence_around_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    path = sorted((ROOT / "data/demo/corpus/spk02").glob("*.flac"))[0]
    samples = decode(path).samples
    assert samples.dtype == np.int16
    fade = np.minimum(1, np.arange(len(samples)) / 1600)  # no frame at the ends is loud
    samples = np.round((samples - samples.mean()) * fade * fade[::-1]).astype(np.int16)
    whole = compute(samples, RATE, Settings(functionals=False))
    np.testing.assert_array_equal(compute(to_float(samples), RATE, Settings(False)), whole)
    row = compute(samples, RATE, Settings())
    around = compute(np.pad(samples, (3200, 8000)), RATE, Settings())
    assert np.isclose(around, row, rtol=0.02, atol=0.02).mean() > 0.95
    monkeypatch.setattr(descriptors, "BLOCK", 7)
    np.testing.assert_allclose(compute(samples, RATE, Settings(False)), whole, rtol=1e-4, atol=1e-4)


def test_the_kind() -> None:
    found = kind("voice")
    assert found.frame_rate(48000, Settings(functionals=False)) == 100
    assert found.frame_rate(48000, Settings()) == 0
    assert found.remarks(16000, Settings()) == []
    (line,) = found.remarks(8000, Settings())
    assert line.startswith("bands above 4000 Hz are empty")
    for use in (found.remarks, lambda rate, given: compute(np.ones(99, np.int16), rate, given)):
        with pytest.raises(UsageError, match="too low"):
            use(2000, Settings())


WRONG = "fmin=0 fmax=100 fmax=5000 functionals=maybe colour=red"


@pytest.mark.parametrize("text", WRONG.split())
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        parse(Settings, [text])
