"""Recordings that are not held whole: featurize makes of them what it makes of all at once."""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile
from peaks import peak

from sertool import audio
from sertool.audio import decoding, fingerprint, listening, waveform
from sertool.core import boxes
from sertool.core.settings import make
from sertool.features import frames, kind

SECONDS = 20


def sound(rate: int, seconds: float = SECONDS) -> np.ndarray:
    """Return something that swings as speech does, with silence and one loud place."""
    random = np.random.default_rng(rate)
    t = np.arange(int(seconds * rate)) / rate
    made = sum(np.sin(2 * np.pi * f * t * (1 + 0.01 * np.sin(t))) for f in (180, 410, 1250))
    made *= 0.05 * np.abs(np.sin(1.7 * t)) * (np.sin(0.31 * t) > -0.4)
    made += 1e-3 * random.standard_normal(len(t))
    made[int(0.8 * len(t)) : int(0.8 * len(t)) + rate] *= 6
    return np.asarray(made, np.float64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of several kinds, most of a minute each."""
    root = tmp_path_factory.mktemp("long")
    left = sound(16000)
    soundfile.write(root / "mono.wav", left, 16000, "PCM_16")
    soundfile.write(root / "two.flac", np.stack([left, 0.3 * left], 1), 16000, "PCM_16")
    soundfile.write(root / "float.wav", left.astype(np.float32), 16000, "FLOAT")
    soundfile.write(root / "fine.flac", left, 16000, "PCM_24")
    soundfile.write(root / "low.ogg", sound(11025), 11025, "VORBIS")
    soundfile.write(root / "high.wav", np.clip(40 * sound(22050), -1, 1), 22050, "PCM_16")
    soundfile.write(root / "silent.wav", np.zeros(SECONDS * 16000), 16000, "PCM_16")
    return root


OPTIONS = [
    ["--kind", "mel"],
    ["--kind", "mel", "--segment", "3"],
    ["--kind", "mel", "--segment", "7", "--segment-hop", "2.5", "--segment-tail", "pad"],
    ["--kind", "mel", "--segment-max", "8", "--sample-rate", "8000"],
    ["--kind", "mel", "--set", "n_fft=400", "--set", "hop_length=160", "--dtype", "float16"],
    ["--kind", "mfcc", "--set", "n_fft=1000", "--sample-rate", "22050"],
    ["--kind", "mfcc", "--offset", "4.1", "--duration", "9", "--channel", "left"],
    ["--kind", "spectrogram", "--set", "ref=max", "--set", "n_fft=256"],
    ["--kind", "logpower", "--duration", "24", "--fit", "pad"],
    ["--kind", "teo", "--offset", "5"],
    ["--kind", "wave", "--segment", "6", "--dtype", "int16"],
    ["--kind", "image", "--segment", "3"],
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_blocks_give_the_same_store(
    cli: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    whole = cli("featurize", folder, tmp_path / "whole.h5", *options)
    monkeypatch.setattr(audio, "HELD", 30_000)
    monkeypatch.setattr(listening, "BLOCK", 3)
    monkeypatch.setattr(frames, "RUN", 2)
    monkeypatch.setattr(fingerprint, "_BLOCK", 1 << 15)
    # read whole it must not be any more
    monkeypatch.setattr(decoding, "from_samples", None)
    parts = cli("featurize", folder, tmp_path / "parts.h5", *options)
    assert (whole.code, parts.code) == (0, 0), parts.err
    assert parts.err.replace("parts.h5", "whole.h5") == whole.err
    assert (tmp_path / "parts.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize("name", ["mel", "mfcc", "spectrogram", "logpower", "teo"])
def test_runs_of_frames_are_those_of_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a run ends changes no bit, whether the samples are integers or not."""
    raw = waveform.to_int16(sound(16000, 20).astype(np.float32))
    found = kind(name)
    assert found.blocks is not None
    settings = make(found.Settings, {})
    whole = found.compute(raw, 16000, settings)
    for many in (1, 3):
        monkeypatch.setattr(frames, "RUN", many)
        runs = list(found.blocks(waveform.to_float(raw), 16000, settings))
        assert len(runs) > 1
        np.testing.assert_array_equal(np.concatenate(runs), whole)


def test_what_is_missing_loses_the_recording_alone(
    cli: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that were written before the damage was met are not in the store."""
    with wave.open(str(folder / "mono.wav")) as file:
        good = file.readframes(file.getnframes())
    for name, rate in (("a.wav", 16000), ("b.flac", 16000), ("c.wav", 16000)):
        samples = np.frombuffer(good, np.int16)
        soundfile.write(tmp_path / name, samples, rate, "PCM_16")
    damaged = bytearray((tmp_path / "b.flac").read_bytes())
    damaged[-len(damaged) // 3 :] = bytes(len(damaged) // 3 + 1)
    (tmp_path / "b.flac").write_bytes(damaged)
    monkeypatch.setattr(audio, "HELD", 30_000)
    output = tmp_path / "o.h5"
    result = cli("featurize", tmp_path, output, "--segment", "3")
    assert result.code == 1
    assert "b.flac" in result.err
    with h5py.File(output) as store:
        ids = store["items/id"].asstr()[()]
        assert {one.split("#")[0].rsplit("/")[-1] for one in ids} == {"a", "c"}
        assert int(store["offsets"][-1]) == len(store["features"])
    assert cli("info", output).code == 0


def test_one_item_of_all_is_refused_beforehand(
    cli: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "HELD", 30_000)
    monkeypatch.setenv("SERTOOL_MEMORY", "0.002")
    result = cli("featurize", folder / "mono.wav", tmp_path / "o.h5", "--kind", "wave")
    assert result.code == 3
    said = "kind wave of 20 s, in one piece, takes 0.00256 GB of memory, and the limit is 0.002 GB"
    assert said in result.err
    assert "--segment 3" in result.err


def test_faults_are_found_where_blocks_meet() -> None:
    examiner = waveform.Examiner()
    for part in ([0.1, 1.0], [1.0], [1.0, 0.2]):
        examiner.look(np.array(part, np.float32))
    assert examiner.faults == ["clipped"]
    examiner = waveform.Examiner()
    for part in ([0.1, 1.0, 1.0], [0.5, 1.0]):
        examiner.look(np.array(part, np.float32))
    assert examiner.faults == []


@pytest.mark.skipif(not boxes.FORKS, reason="processes are not forked here")
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    found = []
    for minutes in (36, 80):
        path = tmp_path / f"{minutes}.flac"
        some = waveform.to_int16(sound(8000, 60).astype(np.float32))
        with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(some)
        code, err, most = peak(
            sys.executable, "-m", "sertool", "featurize", path, tmp_path / f"{minutes}.h5",
            "--kind", "mel", "-j", "1",
        )  # fmt: skip
        assert code == 0, err
        found.append(most)
    # 2 bytes a millisecond of energies for the fingerprint: 7 MB an hour; an item takes some 10 kB
    assert found[1] - found[0] < 30, found
    assert found[1] < 400, found
