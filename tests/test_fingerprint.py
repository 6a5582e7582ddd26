"""Fingerprints: their definition, what they survive, what they tell apart, where they are kept."""

from __future__ import annotations

import shutil
import string
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.audio import decoding as audio
from sertool.audio import fingerprint, waveform
from sertool.audio.decoding import decode
from sertool.audio.fingerprint import fingerprint as print_of
from sertool.audio.fingerprint import near
from sertool.audio.waveform import resample
from sertool.features.hearing import Hearing
from sertool.features.pipeline import Pipeline
from sertool.features.stage import Stage
from sertool.formats.store import Store
from sertool.items import Item

DEMO = Path(__file__).parents[1] / "data" / "demo" / "corpus"
BASE64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
TWIN = "spk01_sadness_s4_r2.flac"
RATES = (8000, 11025, 12000, 16000, 22050, 32000, 44100, 48000)


def speech(voice: int, take: int = 0, seconds: float = 3.0, rate: int = 16000) -> np.ndarray:
    """Return harmonics through moving formants, as float32; takes differ in tempo and pitch."""
    random = np.random.default_rng(voice)
    syllables = int(seconds * 5) + 1
    pitch, level = random.uniform(100, 250, syllables), random.uniform(0.05, 1, syllables)
    formants = random.uniform([300, 900, 2200], [900, 2200, 3200], (syllables, 3))
    other = np.random.default_rng([voice, take])
    starts = np.cumsum(0.2 * other.uniform(0.5, 1.5, syllables)) - 0.2
    pitch = pitch * other.uniform(0.92, 1.08, syllables)
    time = np.arange(int(seconds * rate)) / rate
    contour = np.interp(time, starts, pitch)
    phase = 2 * np.pi * np.cumsum(contour) / rate
    tracks = [np.interp(time, starts, track) for track in formants.T]
    wave = np.zeros(len(time))
    for k in range(1, 16):
        gain = sum(1 / (1 + ((k * contour - track) / 80) ** 2) for track in tracks)
        wave += gain * np.sin(k * phase)
    beat = np.interp(time, starts, np.arange(syllables))
    wave *= np.interp(time, starts, level) * (0.6 - 0.4 * np.cos(2 * np.pi * beat))
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def noisy(samples: np.ndarray, snr: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    power = np.sqrt(np.mean(samples.astype(np.float64) ** 2)) * 10 ** (-snr / 20)
    return (samples + power * noise).astype(np.float32)


def cut(samples: np.ndarray, rate: int, before: float, after: float) -> np.ndarray:
    """Take seconds off either end, or put silence there where negative."""
    first, last = round(before * rate), len(samples) - round(after * rate)
    inside = samples[max(first, 0) : min(last, len(samples))]
    return np.pad(inside, (max(-first, 0), max(last - len(samples), 0)))


def words(text: str) -> list[int]:
    """Return the words of a fingerprint, read digit by digit."""
    digits = [BASE64.index(c) for c in text[1:]]
    return [
        sum(d << (18 - 6 * k) for k, d in enumerate(digits[i : i + 4]))
        for i in range(0, len(digits), 4)
    ]


def written(listed: Sequence[int]) -> str:
    return "1" + "".join(BASE64[w >> shift & 63] for w in listed for shift in (18, 12, 6, 0))


def defined(samples: np.ndarray, rate: int) -> list[int]:
    """Return the words of a fingerprint of less than four seconds, by its definition alone."""
    step = rate // 4000
    triangle = [*range(1, step + 1), *range(step - 1, 0, -1)]
    x = samples.astype(np.float64)
    count = len(x) // step - 1
    low = [float(np.dot(x[i * step : i * step + 2 * step - 1], triangle)) for i in range(count)]
    rate_low = rate / step
    lag = round(rate_low / 2000)
    moving = np.array(low[lag:]) - np.array(low[:-lag])
    slot = 0.002 * rate_low
    total = int(len(moving) / slot / 16) * 16
    energy = [np.sum(moving[round(k * slot) : round((k + 1) * slot)] ** 2) for k in range(total)]
    # the moment within 32 ms where the energy peaks on average
    turned = sum(e * np.exp(2j * np.pi * k / 16) for k, e in enumerate(energy))
    begin = np.angle(turned) / (2 * np.pi) % 1
    first = int(begin * 16)
    frames = [sum(energy[k : k + 80]) for k in range(first, total - 79, 16)]
    louder = [max(frames[k], frames[k + 3]) for k in range(len(frames) - 3)]
    heard = [e >= sorted(louder)[-9] / 100 for e in louder]
    length = round(0.16 * rate_low / 8) * 8
    turn = np.exp(-2j * np.pi * np.outer(np.arange(29, 204), np.arange(length)) / length)
    window = np.sin(np.pi * np.arange(1, length + 1) / (length + 1)) ** 2
    bands = []
    for k in range(len(frames)):
        at = min(round((begin + k) * 0.032 * rate_low), len(low) - length)
        power = np.abs(turn @ (np.array(low[at : at + length]) * window)) ** 2
        bands.append([power[7 * m : 7 * m + 7].sum() for m in range(25)])
    found = []
    for k in range(len(louder)):
        steps = [[b - a for a, b in pairwise(bands[n])] for n in (k, k + 3)]
        bits = "".join("1" if late > early else "0" for early, late in zip(*steps, strict=True))
        found.append(int(bits, 2) if heard[k] else 0)
    loud = [k for k, yes in enumerate(heard) if yes]
    return found[loud[0] : loud[-1] + 1]


@pytest.mark.parametrize("rate", [6000, 8000, 16000, 22050, 44100, 48000])
def test_as_defined(rate: int) -> None:
    samples = np.round(speech(rate, rate=rate) * 30000).astype(np.int16)
    samples[rate : rate * 3 // 2] //= 50  # a pause
    ours, expected = words(print_of(samples, rate)), defined(samples, rate)
    assert len(ours) == len(expected) > 40 > expected.count(0) > 5
    unequal = [(a ^ b).bit_count() for a, b in zip(ours, expected, strict=True)]
    assert sum(unequal) <= 3  # ties in single precision


def test_the_loudest_of_a_long_recording() -> None:
    whole = speech(1, seconds=5)
    long = np.concatenate([0.2 * speech(2, seconds=6), whole, 0.2 * speech(3, seconds=7)])
    text = print_of(long, 16000)
    assert len(text) == 1 + 4 * 127 <= 512
    assert set(text) <= set(BASE64)
    assert near([text], [print_of(whole, 16000)]) == [(0, 0)]


def test_a_click_does_not_drown_the_rest() -> None:
    whole = speech(1)
    clicked = whole.copy()
    clicked[20000:20020] += 30
    assert near([print_of(clicked, 16000)], [print_of(whole, 16000)]) == [(0, 0)]


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.zeros(0, np.int16), 16000),
        (np.zeros(48000, np.int16), 16000),
        (np.full(48000, 9000, np.int16), 16000),
        (speech(1) * 1e-5, 16000),
        (speech(1)[:9000], 16000),
        (speech(1), 3999),
        (np.eye(1, 48000, 20000, dtype=np.float32)[0], 16000),
        (np.sin(np.arange(48000) * np.pi / 8).astype(np.float32), 16000),
    ],
    ids=["none", "zeros", "offset", "faint", "short", "rate", "click", "tone"],
)
def test_nothing_to_tell(samples: np.ndarray, rate: int) -> None:
    assert print_of(samples, rate) == ""
    assert (fingerprint.SILENCE, fingerprint.FULL_SCALE) == (waveform.SILENCE, waveform.FULL_SCALE)


@given(
    size=st.integers(0, 20000),
    rate=st.integers(1, 400_000),
    peak=st.sampled_from([1e-30, 1e-5, 1.0, waveform.LOUDEST]),
    sparse=st.booleans(),
)
@settings(deadline=None)
def test_any_sound_passes(size: int, rate: int, peak: float, sparse: bool) -> None:
    random = np.random.default_rng(size)
    samples = random.standard_normal(size) * (random.random(size) < 0.001 if sparse else 1)
    text = print_of((samples * peak / 6).astype(np.float32), rate)
    assert len(text) <= 512
    assert near([text], [text]) == ([(0, 0)] if text else [])


@given(voice=st.integers(0, 9), octave=st.integers(0, 5))
@settings(deadline=None, max_examples=10)
def test_a_power_of_two_changes_nothing(voice: int, octave: int) -> None:
    whole = np.round(speech(voice) * 30000).astype(np.int16)
    text = print_of(whole, 16000)
    assert print_of(whole.astype(np.float32) / np.float32(32768 * 2**octave), 16000) == text
    assert print_of(np.repeat(whole, 2)[::2], 16000) == text  # strided


@given(
    voice=st.integers(0, 30),
    rates=st.tuples(st.sampled_from((16000, 44100, 48000)), st.sampled_from(RATES)),
    ends=st.tuples(st.floats(-1, 0.3), st.floats(-1, 0.3)),
    gain=st.floats(-40, 6),
    snr=st.none() | st.floats(20, 60),
)
@settings(deadline=None, max_examples=60)
def test_copies_are_found(
    voice: int,
    rates: tuple[int, int],
    ends: tuple[float, float],
    gain: float,
    snr: float | None,
) -> None:
    whole = speech(voice, rate=rates[0])
    copy = cut(resample(whole, *rates), rates[1], *ends)
    copy = copy if snr is None else noisy(copy, snr, voice)
    copy = waveform.to_int16(copy * np.float32(10 ** (gain / 20)))
    assert near([print_of(copy, rates[1])], [print_of(whole, rates[0])]) == [(0, 0)]


def test_takes_are_told_apart() -> None:
    takes = [print_of(speech(voice, take), 16000) for voice in range(6) for take in range(6)]
    assert near(takes, takes) == [(i, i) for i in range(36)]


def test_demo_corpus() -> None:
    files = sorted(DEMO.rglob("*.flac"))
    whole = [decode(path, fingerprinted=True) for path in files]
    prints = [d.fingerprint for d in whole]
    assert near(prints, prints) == [(i, i) for i in range(384)]
    some = range(0, 384, 6)
    copies = [noisy(resample(whole[i].samples, 16000, 8000), 25, i) for i in some]
    found = near([print_of(copy, 8000) for copy in copies], prints)
    assert found == list(enumerate(some))


def expected(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Return what `near` promises, pair by pair."""

    def same(one: str, other: str) -> bool:
        a, b = words(one), words(other)
        return one == other or any(matches(a, b, shift) for shift in range(-len(a), len(b)))

    return [(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if same(a, b)]


def matches(a: list[int], b: list[int], shift: int) -> bool:
    """Return whether two words five apart agree in one half each, and enough bits of all do."""
    both = {
        t: a[t] ^ b[t + shift]
        for t in range(max(0, -shift), min(len(a), len(b) - shift))
        if a[t] and b[t + shift]
    }
    keys = [both[t] | both[t + 5] for t in both if t + 5 in both]
    if not any(key & half == 0 for key in keys for half in (0xFFF, 0xFFF000)):
        return False
    n = len(both)
    if n < 12 or n < min(sum(w > 0 for w in a), sum(w > 0 for w in b)) / 2:
        return False
    if sum(min(word.bit_count(), 8) for word in both.values()) > 8 * n * (1.1 - 3 / np.sqrt(n)):
        return False
    return steady(a, b, shift) and steady(b, a, -shift)


def steady(a: list[int], b: list[int], shift: int) -> bool:
    """Return whether each third of what is common is much worse two words away."""

    def unequal(t: int, there: int) -> int:
        inside = 0 <= t + there < len(b) and b[t + there]
        return min((a[t] ^ b[t + there]).bit_count(), 8) if inside else 8

    both = [t for t in range(len(a)) if a[t] and 0 <= t + shift < len(b) and b[t + shift]]
    return all(
        sum(unequal(t, shift + drift) - unequal(t, shift) for t in part) >= 1.2 * len(part)
        for part in ([t for n, t in enumerate(both) if n * 3 // len(both) == k] for k in range(3))
        for drift in (-2, 2)
    )


@given(st.integers(0, 10**6), st.integers(1, 40))
@settings(deadline=None, max_examples=15)
def test_near_is_what_it_promises(seed: int, hits: int) -> None:
    random = Random(seed)

    def turn(word: int, rate: float) -> int:
        return word ^ sum((random.random() < rate) << k for k in range(24))

    def original() -> list[int]:
        """Return words of which some are silent and some are much like those two before."""
        made = [random.getrandbits(24) for _ in range(random.choice([14, 20, 45, 90]))]
        first = random.randint(2, len(made))
        for k in range(first, min(first + 20, len(made))):
            made[k] = turn(made[k - 2], random.choice([0.05, 0.1]))
        return [w * (random.random() < 0.9) for w in made]

    originals = [original() for _ in range(4)]

    def damaged(listed: list[int]) -> str:
        """Return a piece of a fingerprint, some of its bits turned, perhaps halting once."""
        rates = [random.choice([0.0, 0.02, 0.1, 0.3]) for _ in range(4)]
        first = random.randint(0, len(listed) // 2)
        piece = listed[first : random.randint(first + 1, len(listed))]
        turned = [turn(w, rates[4 * k // len(piece)]) for k, w in enumerate(piece)]
        halt = random.randint(0, len(turned))
        turned[halt:halt] = [random.getrandbits(24)] * random.choice([0, 0, 1, 2])
        return written([0] * random.randint(0, 3) + turned)

    left = [damaged(random.choice(originals)) for _ in range(12)]
    right = [damaged(random.choice(originals)) for _ in range(12)] + left[:2]
    with pytest.MonkeyPatch.context() as patch:
        found = near(left, right)
        for name, size in (("_BOOK", 5), ("_ITEMS", 3), ("_HITS", hits)):
            patch.setattr(fingerprint, name, size)
        assert near(left, right) == found
    assert found == expected(left, right)
    assert sorted((j, i) for i, j in near(right, left)) == found


def test_equal_texts_all_meet() -> None:
    one, other = (print_of(speech(k), 16000) for k in (1, 2))
    left, right = [one, "", other, one], ["", one, one, other]
    assert near(left, right) == [(0, 1), (0, 2), (2, 3), (3, 1), (3, 2)]
    assert near([], right) == near(left, []) == near([""], [""]) == []


@given(st.lists(st.text(max_size=48) | st.text(BASE64, max_size=47).map("1".__add__), max_size=6))
@settings(deadline=None)
def test_foreign_text_is_never_near(texts: list[str]) -> None:
    texts += ["1", "2" + "abcd" * 20, "1" + "abcd" * 128, "1" + "äbcd" * 9]
    texts += ["1" + "abcd" * 19 + rest for rest in ("abc", "abc=", " abcd")]
    assert near(texts[-7:], texts[-7:]) == []
    sound = print_of(speech(3), 16000)
    assert near([sound], [*texts, sound]) == [(0, len(texts))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six recordings of the demo corpus, of which two are one."""
    (tmp_path / "corpus").mkdir()
    for path in sorted(DEMO.glob("spk01/*_s1_*.flac"))[:5]:
        shutil.copy(path, tmp_path / "corpus")
    first = min((tmp_path / "corpus").iterdir())
    shutil.copy(first, tmp_path / "corpus" / TWIN)
    return tmp_path / "corpus"


def column(path: Path, name: str = "fingerprint") -> list[str]:
    with Store(path) as store:
        return store.column(name)


def test_decode_where_wanted(folder: Path) -> None:
    path = folder / TWIN
    plain, whole = decode(path), decode(path, fingerprinted=True)
    assert plain.fingerprint == ""
    assert whole.fingerprint == print_of(plain.samples, 16000) != ""
    cropped = decode(path, offset=0.5, duration=0.2, sample_rate=8000, fingerprinted=True)
    assert cropped.fingerprint == whole.fingerprint
    assert decode(path, start=0.05, fingerprinted=True).fingerprint != whole.fingerprint


def test_featurize_fills_the_column(cli, folder: Path, tmp_path: Path) -> None:
    options = ("--kind", "mel", "--duration", "0.3", "--sample-rate", "8000")
    for workers in (1, 2):
        out = tmp_path / f"{workers}.h5"
        assert cli("featurize", *options, folder, out, "--workers", workers).code == 0
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    prints = column(tmp_path / "1.h5")
    paths = [folder / path for path in column(tmp_path / "1.h5", "path")]
    assert prints == [print_of(decode(path).samples, 16000) for path in paths]
    assert len(near(prints, prints)) == 8  # six, and the twins with each other


def test_segments_and_copies_carry_it(cli, folder: Path, tmp_path: Path) -> None:
    wave, noise, mel = (tmp_path / f"{name}.h5" for name in ("wave", "noise", "mel"))
    assert cli("featurize", "--kind", "wave", folder, wave).code == 0
    assert cli("augment", "--awgn", "20:20", "--only-copies", wave, noise).code == 0
    assert cli("featurize", "--kind", "mel", "--segment", "0.4", noise, mel).code == 0
    known = dict(zip(column(wave, "origin"), column(wave), strict=True))
    assert len(column(mel)) > 6
    for store in (noise, mel):
        assert column(store) == [known[origin] for origin in column(store, "origin")]
        assert not any(column(store, "audio_hash"))


def test_predict_does_not_pay_for_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(audio, "fingerprint", refuse)
    heard = Hearing(Pipeline((Stage("mel"),))).hear(Item("", str(folder / TWIN)))
    assert len(heard.clips) == 1


def test_ravdess(corpora: Path) -> None:
    files = [p for actor in (7, 22) for p in sorted(corpora.glob(f"ravdess/Actor_{actor:02d}/*"))]
    whole = [decode(path, fingerprinted=True) for path in files]
    prints = [d.fingerprint for d in whole]
    twins = [(files[i].stem, files[j].stem) for i, j in near(prints, prints) if i < j]
    assert twins == [("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")]
    some = range(0, 120, 8)
    slow = [cut(resample(whole[i].samples, 48000, 8000), 8000, 0.3, 0.11) for i in some]
    copies = [print_of(waveform.to_int16(0.5 * noisy(x, 20, i)), 8000) for i, x in enumerate(slow)]
    assert near(copies, prints) == list(enumerate(some))


def test_emodb_cut_to_two_seconds(corpora: Path) -> None:
    files = sorted(corpora.glob("emodb-339/*"))[::4]
    whole = [decode(path, fingerprinted=True).fingerprint for path in files]
    cuts = [decode(corpora / "emodb-2s" / p.name, fingerprinted=True).fingerprint for p in files]
    found = near(whole, cuts)
    assert all(i == j for i, j in found)
    assert len(found) >= 0.96 * len(files)
