"""The demo corpus is what its script makes, and its speech is what the rules ask for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

DEMO = Path(__file__).parents[2] / "data" / "demo"
SHARED_NAMES = ("make", "phones", "prosody", "synth")  # the script's own modules


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """The script as a module; its plain module names are not left behind for other tests."""
    before = {name: sys.modules.pop(name, None) for name in SHARED_NAMES}
    sys.path.insert(0, str(DEMO))
    try:
        import make

        return make
    finally:
        sys.path.remove(str(DEMO))
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


@pytest.fixture(scope="module")
def tracks(make: ModuleType) -> dict[str, list]:
    """What all takes of each emotion aim at, in the order of speaker, sentence, repetition."""
    return {
        emotion: [make.compose(t, t.rng()) for t in make.all_takes() if t.emotion == emotion]
        for emotion in make.EMOTIONS
    }


def hold(make: ModuleType, letter: str, f0: float = 100.0, seconds: float = 0.4) -> np.ndarray:
    """A sound held by a voice without breath or jitter, a tract of 17.5 cm."""
    phone = make.parse(f"'{letter}")[0].phone
    n = int(seconds * 500)
    row = np.array([phone.f1, phone.f2, phone.f3, 3500.0, 4500.0])
    prosody = make.perform.__globals__
    tracks = make.Tracks(
        f0=np.full(n, f0),
        formants=np.tile(row, (n, 1)),
        bandwidths=np.tile(prosody["BANDWIDTHS"], (n, 1)),
        nasal_zero=np.full(n, phone.nasal_zero),
        voicing=np.full(n, phone.voicing),
        aspiration=np.full(n, phone.aspiration),
        frication=np.full(n, phone.frication),
        friction_pole=np.full(n, phone.friction_pole),
        friction_bandwidth=np.full(n, phone.friction_bandwidth),
        voice=prosody["Voice"](0.6, 0.0002, 0.0, 0.0),
        tract=1.0,
    )
    return make.render([tracks], [np.random.default_rng(0)])[0][1600:]


def formant_peaks(samples: np.ndarray, order: int = 18) -> np.ndarray:
    """Frequencies of the resonances by linear prediction (autocorrelation method), in Hz."""
    x = np.diff(samples) * np.hamming(len(samples) - 1)
    r = np.correlate(x, x, "full")[len(x) - 1 : len(x) + order]
    lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    roots = np.roots(np.concatenate([[1.0], -np.linalg.solve(r[lags], r[1:])]))
    roots = roots[(roots.imag > 0) & (np.abs(roots) > 0.9)]
    return np.sort(np.angle(roots) * 16000 / (2 * np.pi))


def f0_by_autocorrelation(x: np.ndarray, near: float) -> float:
    """F0 of a stretch in Hz, the best lag within a fifth around `near`."""
    x = x - x.mean()
    r = np.correlate(x, x, "full")[len(x) - 1 :] / np.arange(len(x), 0, -1)
    low, high = int(16000 / near / 1.5), int(16000 / near * 1.5) + 1
    return 16000 / (low + int(np.argmax(r[low:high])))


def share_above(samples: np.ndarray, hz: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(power[np.fft.rfftfreq(len(samples), 1 / 16000) > hz].sum() / power.sum())


def test_layout_and_size(make: ModuleType) -> None:
    files = sorted((DEMO / "corpus").rglob("*.flac"))
    assert [f.relative_to(DEMO / "corpus").as_posix() for f in files] == [
        take.path for take in make.all_takes()
    ]
    assert sum(f.stat().st_size for f in files) < 10_000_000
    info = soundfile.info(files[0])
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


def test_takes_are_remade_sample_for_sample_in_any_company(make: ModuleType) -> None:
    takes = [
        make.Take(1, "anger", "s1", 1),
        make.Take(6, "happiness", "s2", 2),
        make.Take(11, "sadness", "s1", 1),
    ]
    for take, samples in zip(takes, make.make_takes(takes), strict=True):
        committed, _ = soundfile.read(DEMO / "corpus" / take.path, dtype="int16")
        np.testing.assert_array_equal(samples, committed, err_msg=take.path)


def test_table_of_speakers_is_remade(make: ModuleType, tmp_path: Path) -> None:
    make.write_speakers(tmp_path / "speakers.tsv")
    committed = (DEMO / "speakers.tsv").read_bytes()
    assert (tmp_path / "speakers.tsv").read_bytes() == committed
    rows = [line.split("\t")[:2] for line in committed.decode().splitlines()]
    assert rows[0] == ["speaker", "gender"]
    assert rows[1:3] == [["spk01", "male"], ["spk02", "female"]]


def test_recordings_are_clean_and_apart() -> None:
    heard = [soundfile.read(f, dtype="int16")[0] for f in sorted((DEMO / "corpus").rglob("*_s1_*"))]
    assert len({samples.tobytes() for samples in heard}) == len(heard)
    for samples in heard:
        assert 0.5 * 16000 < len(samples) < 2.0 * 16000
        assert 300 < np.abs(samples.astype(int)).max() < 32767


@pytest.mark.parametrize("letter", "ieaou")
def test_vowels_have_their_formants(make: ModuleType, letter: str) -> None:
    phone = make.parse(letter)[0].phone
    peaks = formant_peaks(hold(make, letter))
    for target in (phone.f1, phone.f2, phone.f3):
        nearest = peaks[np.argmin(np.abs(peaks - target))]
        assert nearest == pytest.approx(target, rel=0.10, abs=40), (letter, peaks)


def test_consonants_have_their_noise_and_murmur(make: ModuleType) -> None:
    assert share_above(hold(make, "s"), 4000) > 0.8
    assert share_above(hold(make, "S"), 2000) > 0.5
    assert share_above(hold(make, "S"), 4500) < 0.3
    assert share_above(hold(make, "a"), 4000) < 0.02
    assert share_above(hold(make, "m"), 800) < 0.15
    closure, vowel = hold(make, "t")[1600:], hold(make, "a")[1600:]
    assert closure.std() < 1e-3 * vowel.std()


@pytest.mark.parametrize("emotion", ["anger", "happiness", "neutral", "sadness"])
def test_pitch_heard_is_pitch_asked_for(make: ModuleType, emotion: str) -> None:
    errors = []
    takes = [make.Take(speaker, emotion, "s1", 1) for speaker in (1, 2)]
    for take, samples in zip(takes, make.make_takes(takes), strict=True):
        aims = make.compose(take, take.rng())
        loud = np.flatnonzero(aims.voicing > 0.4 * aims.voicing.max())
        for frame in loud[10:-10:12]:
            middle = frame * 32 + 16
            stretch = samples[middle - 320 : middle + 320].astype(float)
            heard = f0_by_autocorrelation(stretch, aims.f0[frame])
            errors.append(12 * np.log2(heard / aims.f0[frame]))
    assert len(errors) > 20
    assert np.median(np.abs(errors)) < 0.5  # semitones
    assert np.mean(np.abs(errors) < 1.5) > 0.9


def test_emotions_follow_the_published_directions(tracks: dict[str, list]) -> None:
    def mean(measure: Callable) -> dict[str, float]:
        return {emotion: float(np.mean([measure(t) for t in ts])) for emotion, ts in tracks.items()}

    pitch = mean(lambda t: np.log2(np.median(t.f0)))
    assert min(pitch["anger"], pitch["happiness"]) > pitch["neutral"] > pitch["sadness"]
    span = mean(lambda t: np.ptp(np.log2(t.f0)))
    assert min(span["anger"], span["happiness"]) > span["neutral"]
    length = mean(lambda t: t.samples)
    assert max(length["anger"], length["happiness"]) < length["neutral"] < length["sadness"]
    effort = mean(lambda t: np.log(np.mean(t.voicing**2)))
    assert min(effort["anger"], effort["happiness"]) > effort["neutral"] > effort["sadness"]
    tilt = mean(lambda t: t.voice.return_time)
    assert max(tilt["anger"], tilt["happiness"]) < tilt["neutral"] < tilt["sadness"]
    rough = mean(lambda t: t.voice.jitter)
    assert min(rough["anger"], rough["sadness"]) > rough["neutral"] > rough["happiness"]
    rise = mean(lambda t: np.log2(t.f0[-40] / np.median(t.f0)))
    assert rise["happiness"] > 0 > max(rise["anger"], rise["sadness"])


def test_emotions_overlap_between_speakers(tracks: dict[str, list]) -> None:
    """No level alone tells an emotion: neutral speech of some is higher than anger of others."""
    neutral = [np.median(t.f0) for t in tracks["neutral"]]
    angry = [np.median(t.f0) for t in tracks["anger"]]
    assert np.mean(np.greater.outer(neutral, angry)) > 0.2


def test_command_line_wants_an_existing_folder(
    make: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make.main([]) == 2
    assert make.main([str(tmp_path / "none")]) == 2
    assert "usage" in capsys.readouterr().err
