"""A featurize stage as functions: crops, pads, segments, rounding, and the replay of a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from made import replay

from sertool.audio import decoding as audio
from sertool.core.errors import ItemError, UsageError
from sertool.features.pipeline import Pipeline
from sertool.features.spec import FITS, TAILS
from sertool.features.stage import Segment, Stage

RATE = 16000
SMALL = {"n_fft": 512, "hop_length": 160, "n_mels": 20}


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9999, 9999, samples).astype(np.int16)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mono file of 1.2345 s at 44.1 kHz."""
    path = tmp_path_factory.mktemp("sound") / "a.wav"
    soundfile.write(path, noise(round(1.2345 * 44100)), 44100, "PCM_16")
    return path


def spec(kind: str = "wave", **options: Any) -> Stage:
    return Stage(kind=kind, **options)


@pytest.mark.parametrize("rate", [None, 16000, 22050])
@pytest.mark.parametrize("seconds", [0.12345, 0.5, 1.0003, 2.0])
@pytest.mark.parametrize("fit", FITS)
def test_duration_is_exact(sound: Path, rate: int | None, seconds: float, fit: str) -> None:
    given = spec(sample_rate=rate, duration=seconds, fit=fit)
    decoded = given.load(sound)
    natural = audio.decode(sound, sample_rate=rate)
    wanted = round(seconds * (rate or 44100))
    shorter = len(natural.samples) < wanted
    if fit == "both" or (fit == "pad" and shorter) or (fit == "crop" and not shorter):
        assert len(decoded.samples) == wanted
    else:
        assert len(decoded.samples) == len(natural.samples)
    padded = shorter and fit != "crop"
    assert ("padded" in decoded.notes) == padded
    if padded:
        assert not decoded.samples[len(natural.samples) :].any()
    assert decoded.audio_hash == natural.audio_hash


def test_a_file_and_its_samples_are_heard_alike(sound: Path) -> None:
    raw = soundfile.read(sound, dtype="int16")[0]
    for options in (
        {},
        {"sample_rate": RATE},
        {"offset": 0.2, "duration": 0.7, "sample_rate": RATE},
    ):
        given = spec("mel", settings=SMALL, **options)
        from_file, from_samples = given.load(sound), given.load_samples(raw, 44100)
        np.testing.assert_array_equal(from_file.samples, from_samples.samples)
        assert from_file.notes == from_samples.notes
        assert from_file.audio_hash == from_samples.audio_hash
        stages = [given.to_dict()]
        for ours, theirs in zip(
            replay(stages, sound), Pipeline.from_records(stages).arrays(raw, 44100), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def starts(parts: list[Segment], samples: np.ndarray) -> list[int]:
    """Where each part begins in `samples`, whose values are all different."""
    return [int(np.flatnonzero(samples == part.array[0])[0]) for part in parts]


@pytest.mark.parametrize(
    ("tail", "expected"), [("align", [0, 300, 600, 900]), ("pad", [0, 300, 600, 900])]
)
def test_windows_that_fit(tail: str, expected: list[int]) -> None:
    samples = np.arange(1300, dtype=np.int16)
    given = spec(segment=0.4, segment_hop=0.3, segment_tail=tail, dtype="int16")
    parts = given.extract(samples, 1000)
    assert starts(parts, samples) == expected
    assert [part.suffix for part in parts] == ["#000", "#001", "#002", "#003"]


def test_tails() -> None:
    samples = np.arange(1, 1151, dtype=np.int16)
    options = {"segment": 0.4, "segment_hop": 0.3, "dtype": "int16"}
    align = spec(segment_tail="align", **options).extract(samples, 1000)
    pad = spec(segment_tail="pad", **options).extract(samples, 1000)
    drop = spec(segment_tail="drop", **options).extract(samples, 1000)
    assert starts(align, samples) == [0, 300, 600, 750]
    assert starts(pad, samples) == [0, 300, 600, 900]
    assert starts(drop, samples) == [0, 300, 600]
    np.testing.assert_array_equal(align[-1].array, samples[750:])
    np.testing.assert_array_equal(pad[-1].array, np.pad(samples[900:], (0, 150)))


@given(
    total=st.integers(1, 200),
    length=st.integers(1, 80),
    hop=st.integers(1, 80),
    tail=st.sampled_from(TAILS),
)
def test_windows_lose_nothing(total: int, length: int, hop: int, tail: str) -> None:
    samples = np.arange(1, total + 1, dtype=np.int16)
    given = spec(segment=length / 100, segment_hop=hop / 100, segment_tail=tail, dtype="int16")
    if tail == "drop" and total < length:
        with pytest.raises(ItemError, match="shorter than a segment"):
            given.extract(samples, 100)
        return
    parts = [segment.array for segment in given.extract(samples, 100)]
    assert all(len(part) == length for part in parts)
    heard = set(np.concatenate(parts).tolist()) - {0}
    if tail != "drop" and hop <= length:
        assert heard == set(samples.tolist())
    for i, part in enumerate(parts[:-1]):
        np.testing.assert_array_equal(part, samples[i * hop : i * hop + length])


@given(total=st.integers(1, 300), longest=st.integers(1, 90))
def test_equal_parts(total: int, longest: int) -> None:
    samples = np.arange(total, dtype=np.int16)
    parts = spec(segment_max=longest / 100, dtype="int16").extract(samples, 100)
    lengths = [len(part.array) for part in parts]
    assert len(parts) == -(-total // longest)
    assert max(lengths) <= longest
    assert max(lengths) - min(lengths) <= 1
    np.testing.assert_array_equal(np.concatenate([segment.array for segment in parts]), samples)


def test_wave_types() -> None:
    raw = np.array([-32768, -1, 0, 1, 32767], np.int16)
    kept = spec(dtype="int16").extract(raw, RATE)[0].array
    np.testing.assert_array_equal(kept, raw)
    assert kept.dtype == np.int16
    floats = spec().extract(raw, RATE)[0].array
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats * 32768, raw)
    wave = np.array([1.5, -1.5, 0.25, 0.4 / 32768], np.float32)
    rounded = spec(dtype="int16").extract(wave, RATE)[0].array
    assert rounded.tolist() == [32767, -32768, 8192, 0]


def test_float16_features() -> None:
    options = {**SMALL, "scale": "power"}
    wide = spec("mel", settings=options).extract(noise(8000) * 3, RATE)[0].array
    narrow = spec("mel", settings=options, dtype="float16")
    half = narrow.extract(noise(8000) * 3, RATE)[0].array
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, wide, rtol=1e-3)
    loud = np.full(8000, 1e5, np.float32)
    finite = narrow.extract(loud, RATE)[0].array
    assert np.isfinite(finite).all()
    assert len(narrow.remarks(RATE)) == 1


CHAINS: list[list[dict[str, Any]]] = [
    [{"kind": "mel", "settings": SMALL}],
    [{"kind": "mfcc", "settings": SMALL, "dtype": "float16", "segment": 0.5}],
    [{"kind": "wave", "dtype": "int16"}, {"kind": "mel", "settings": SMALL}],
    [
        {"kind": "wave", "dtype": "int16", "sample_rate": RATE, "offset": 0.1, "duration": 1.0},
        {
            "kind": "mel",
            "settings": SMALL,
            "dtype": "float16",
            "segment": 0.3,
            "segment_tail": "pad",
        },
    ],
    [
        {"kind": "wave", "sample_rate": 22050, "segment": 0.5, "segment_hop": 0.25},
        {"kind": "wave", "dtype": "int16", "sample_rate": RATE, "duration": 0.4},
        {"kind": "mfcc", "settings": SMALL},
    ],
]


@pytest.mark.parametrize("chain", CHAINS)
def test_replay_is_what_the_stores_hold(sound: Path, chain: list[dict[str, Any]]) -> None:
    """Each stage by hand, its arrays through their store's type, against one replay."""
    specs = [Stage(**stage) for stage in chain]
    decoded = specs[0].load(sound, 0.05, 1.2)
    rate = decoded.sample_rate
    arrays = [segment.array for segment in specs[0].extract(decoded.samples, rate)]
    stages = [specs[0].to_dict()]
    for following in specs[1:]:
        stored = [np.frombuffer(array.tobytes(), array.dtype) for array in arrays]
        heard = [following.load_samples(wave, rate) for wave in stored]
        arrays = [one.array for h in heard for one in following.extract(h.samples, h.sample_rate)]
        rate = heard[0].sample_rate
        stages += [{"stage": "augment", "awgn": [15, 30]}, following.to_dict()]
    replayed = replay(stages, sound, 0.05, 1.2)
    assert len(replayed) == len(arrays)
    for ours, theirs in zip(replayed, arrays, strict=True):
        assert ours.dtype == theirs.dtype == specs[-1].store_dtype
        np.testing.assert_array_equal(ours, theirs)


def test_replay_leaves_out_what_a_stage_refused() -> None:
    wave = spec(segment_max=0.5, dtype="int16")
    mel = spec("mel", settings={**SMALL, "center": False, "n_fft": 4000})
    stages = [wave.to_dict(), mel.to_dict()]
    assert len(Pipeline.from_records(stages).arrays(noise(7999), RATE)) == 1
    with pytest.raises(ItemError, match="shorter than one frame"):
        Pipeline.from_records(stages).arrays(noise(3000), RATE)
    with pytest.raises(ItemError, match="no samples"):
        Pipeline.from_records(stages).arrays(noise(0), RATE)
    for wrong in ([], [mel.to_dict(), mel.to_dict()], [{"stage": "augment"}]):
        with pytest.raises(UsageError):
            Pipeline.from_records(wrong).arrays(noise(9000), RATE)


def test_a_spec_survives_its_dict() -> None:
    given = spec("mel", settings={"n_fft": 1024, "top_db": None}, sample_rate=RATE, duration=2.0)
    stage = given.to_dict()
    assert stage["stage"] == "featurize"
    assert stage["settings"]["hop_length"] == 512  # every setting, not only those given
    assert stage["settings"]["top_db"] is None
    again = Stage.from_dict({**stage, "added_later": 1})
    assert again.to_dict() == stage
    assert again.frame_rate(RATE) == RATE / 512
    assert spec().frame_rate(RATE) == RATE


def test_remarks() -> None:
    (line,) = spec("mel", settings={"n_fft": 256}).remarks(48000)
    assert "mel bands" in line
    assert spec("mel").remarks(16000) == []
    with pytest.raises(UsageError, match="not below"):
        spec("mel", settings={"fmin": 9000.0}).remarks(16000)


@pytest.mark.parametrize(
    "options",
    [
        {"fit": "stretch"},
        {"segment_tail": "wag"},
        {"channel": "middle"},
        {"dtype": "float64"},
        {"dtype": "float16"},
        {"kind": "mel", "dtype": "int16"},
        {"duration": 0.0},
        {"duration": float("nan")},
        {"offset": -1.0},
        {"segment": 1.0, "segment_max": 1.0},
        {"segment_hop": 1.0},
        {"sample_rate": 0},
    ],
)
def test_contradictions(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Stage(**{"kind": "wave", **options})


@pytest.mark.parametrize(
    ("kind", "settings"), [("song", {}), ("mel", {"n_mel": 1}), ("mel", {"n_fft": "many"})]
)
def test_wrong_settings(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        spec(kind, settings=settings).to_dict()
