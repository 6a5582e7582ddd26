"""Decoding against soundfile and librosa, and one clear reason for every bad file."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sertool.audio import decoding as audio
from sertool.audio import opening, waveform
from sertool.audio.streams import a_law, mu_law, wav_stream
from sertool.core.errors import InputError, ItemError

RATE = 16000


def tone(seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A decaying tone in noise (n, channels), float32, peak below 0.7."""
    random = np.random.default_rng(channels)
    time = np.arange(round(seconds * rate)) / rate
    columns = [0.4 * np.sin(2 * np.pi * 220 * (c + 1) * time) for c in range(channels)]
    wave = np.stack(columns, axis=1) + 0.05 * random.standard_normal((len(time), channels))
    return wave.astype(np.float32)


def save(path: Path, data: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, data, rate, subtype)
    return path


def reason(path: Path, **options: object) -> str:
    with pytest.raises(ItemError) as caught:
        audio.decode(path, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert text
    return text


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.flac", "PCM_16"), ("a.aiff", "PCM_16"), ("a.wav", "PCM_U8")],
)
def test_sixteen_bits_stay_raw(tmp_path: Path, name: str, subtype: str) -> None:
    path = save(tmp_path / name, tone(), subtype=subtype)
    decoded = audio.decode(path)
    assert decoded.samples.dtype == np.int16
    expected = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_array_equal(waveform.to_float(decoded.samples), expected)
    assert (decoded.sample_rate, decoded.source_rate, decoded.channels) == (RATE, RATE, 1)
    assert decoded.duration == pytest.approx(0.5)
    assert decoded.notes == []
    assert audio.read_rate(path) == RATE


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_24"),
        ("a.wav", "FLOAT"),
        ("a.wav", "DOUBLE"),
        ("a.ogg", None),
        ("a.mp3", None),
    ],
)
def test_other_formats_are_float(tmp_path: Path, name: str, subtype: str | None) -> None:
    path = save(tmp_path / name, tone(), subtype=subtype)
    decoded = audio.decode(path)
    assert decoded.samples.dtype == np.float32
    with soundfile.SoundFile(path) as file:
        np.testing.assert_array_equal(decoded.samples, file.read(dtype="float32"))
    cut = audio.decode(path, start=0.25)
    np.testing.assert_allclose(cut.samples, decoded.samples[4000:], atol=1e-6)


@pytest.mark.parametrize("channels", [2, 3, 8])
def test_channels_as_librosa(tmp_path: Path, channels: int) -> None:
    import librosa

    path = save(tmp_path / "a.wav", tone(channels=channels), subtype="PCM_16")
    mixed = audio.decode(path)
    np.testing.assert_array_equal(mixed.samples, librosa.load(path, sr=None)[0])
    assert mixed.notes == ["mixed"]
    assert mixed.channels == channels
    raw = soundfile.read(path, dtype="int16")[0]
    for i, channel in enumerate(("left", "right")):
        decoded = audio.decode(path, channel=channel)
        np.testing.assert_array_equal(decoded.samples, raw[:, i])
        assert decoded.notes == []


def test_many_blocks_of_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.wav", tone(channels=2), subtype="FLOAT")
    whole = audio.decode(path)
    monkeypatch.setattr(audio, "_BLOCK", 999)
    blocks = audio.decode(path)
    np.testing.assert_array_equal(whole.samples, blocks.samples)
    assert whole.audio_hash == blocks.audio_hash


def test_right_of_mono_is_mono(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", tone(), subtype="PCM_16")
    right = audio.decode(path, channel="right")
    np.testing.assert_array_equal(right.samples, audio.decode(path).samples)


@pytest.mark.parametrize(("rate", "wanted"), [(48000, 16000), (22050, 16000), (8000, 192000)])
def test_resampling_as_librosa(tmp_path: Path, rate: int, wanted: int) -> None:
    import librosa

    path = save(tmp_path / "a.wav", tone(0.123, rate), rate, "PCM_16")
    decoded = audio.decode(path, sample_rate=wanted)
    expected = librosa.load(path, sr=wanted)[0]
    assert decoded.samples.dtype == np.float32
    assert decoded.samples.shape == expected.shape
    np.testing.assert_allclose(decoded.samples, expected, atol=1e-6)
    assert decoded.notes == ["upsampled" if rate < wanted else "resampled"]
    assert (decoded.sample_rate, decoded.source_rate) == (wanted, rate)


def test_crop_is_of_the_cut_and_the_hash_is_not(tmp_path: Path) -> None:
    import librosa

    path = save(tmp_path / "a.wav", tone(2.0), subtype="PCM_16")
    raw = soundfile.read(path, dtype="int16")[0]
    cropped = audio.decode(path, offset=0.25, duration=0.5)
    expected = librosa.load(path, sr=None, offset=0.25, duration=0.5)[0]
    np.testing.assert_array_equal(waveform.to_float(cropped.samples), expected)
    assert cropped.audio_hash == audio.decode(path).audio_hash
    assert cropped.duration == 2.0
    cut = audio.decode(path, start=0.5, end=1.5, offset=0.25, duration=0.5)
    np.testing.assert_array_equal(cut.samples, raw[12000:20000])
    assert cut.audio_hash == hashlib.sha256(raw[8000:24000].tobytes()).hexdigest()[:32]
    assert cut.duration == 1.0
    slow = audio.decode(path, offset=0.25, duration=0.5, sample_rate=8000)
    np.testing.assert_array_equal(slow.samples, waveform.resample(cropped.samples, RATE, 8000))


def test_one_recording_has_one_hash(tmp_path: Path) -> None:
    raw = waveform.to_int16(tone()[:, 0])
    copies = [
        save(tmp_path / "a.wav", raw, subtype="PCM_16"),
        save(tmp_path / "a.flac", raw, subtype="PCM_16"),
        save(tmp_path / "b.wav", raw, subtype="PCM_24"),
        save(tmp_path / "c.wav", waveform.to_float(raw), subtype="FLOAT"),
    ]
    hashes = {audio.decode(path).audio_hash for path in copies}
    assert hashes == {hashlib.sha256(raw.tobytes()).hexdigest()[:32]}
    finer = waveform.to_float(raw)
    finer[100] += 1e-6
    other = audio.decode(save(tmp_path / "d.wav", finer, subtype="FLOAT"))
    assert other.audio_hash == hashlib.sha256(finer.tobytes()).hexdigest()[:32]


def test_plus_one_is_no_int16() -> None:
    wave = np.array([0.5, 1.0], np.float32)
    assert waveform.audio_hash(wave) == hashlib.sha256(wave.tobytes()).hexdigest()[:32]
    wave = np.array([0.5, -1.0], np.float32)
    raw = np.array([16384, -32768], "<i2")
    assert waveform.audio_hash(wave) == hashlib.sha256(raw.tobytes()).hexdigest()[:32]


@given(hnp.arrays(np.int16, st.integers(1, 50)))
def test_int16_survives_float(raw: np.ndarray) -> None:
    wave = waveform.to_float(raw)
    np.testing.assert_array_equal(waveform.to_int16(wave), raw)
    assert waveform.audio_hash(wave) == waveform.audio_hash(raw)
    assert waveform.faults(wave) == waveform.faults(raw)


def test_to_int16_clips_and_rounds() -> None:
    wave = np.array([2.0, -2.0, 1.0, 0.6 / 32768, -0.6 / 32768], np.float32)
    assert waveform.to_int16(wave).tolist() == [32767, -32768, 32767, 1, -1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0, 0], ["silent"]),
        ([3, -3, 0], ["silent"]),
        ([4, -3, 0], []),
        ([32767, 32767, 0, 32767], []),
        ([5, 32767, 32767, 32767], ["clipped"]),
        ([-32768, -32767, -32768, 7], ["clipped"]),
        ([32767], []),
    ],
)
def test_faults(values: list[int], expected: list[str]) -> None:
    assert waveform.faults(np.array(values, np.int16)) == expected


def test_bad_files_have_reasons(tmp_path: Path) -> None:
    (tmp_path / "zero.wav").touch()
    (tmp_path / "text.wav").write_text("this is text\n" * 100)
    (tmp_path / "text.mp3").write_text("this is text\n" * 100)
    assert reason(tmp_path / "zero.wav") == "an empty file (0 bytes)"
    assert "format not recognised" in reason(tmp_path / "text.wav")
    assert "format not recognised" in reason(tmp_path / "text.mp3")
    assert reason(tmp_path / "missing.wav") == "no such file"
    assert reason(tmp_path) == "a folder, not a file"
    assert reason(save(tmp_path / "none.wav", np.zeros(0, np.float32))) == "no samples"
    with pytest.raises(ItemError, match="no such file"):
        audio.read_rate(tmp_path / "missing.wav")


@pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.aiff", "a.mp3"])
def test_truncated(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, tone(2.0))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert reason(path).startswith("truncated")


def test_a_stream_of_unknown_length_is_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", tone(), subtype="PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(audio.decode(path).samples) == 8000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number(tmp_path: Path, value: float) -> None:
    wave = tone()[:, 0]
    wave[77] = value
    path = save(tmp_path / "a.wav", wave, subtype="FLOAT")
    assert reason(path) == "NaN or infinity in 1 of 8000 samples"


def test_far_too_loud(tmp_path: Path) -> None:
    loud = save(tmp_path / "a.wav", tone()[:, 0] * 1e30, subtype="FLOAT")
    assert "times full scale" in reason(loud)
    as_integers = save(tmp_path / "b.wav", tone()[:, 0] * 32768, subtype="FLOAT")
    assert audio.decode(as_integers).notes == ["clipped"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", tone())
    path.chmod(0)
    assert reason(path) == "no permission to read it"


def test_cuts_outside_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", tone(1.0), subtype="PCM_16")
    assert "starts at 2 s" in reason(path, start=2.0)
    assert "ends at 1.5 s" in reason(path, end=1.5)
    assert "holds nothing" in reason(path, start=0.5, end=0.5)
    assert "1.000 s" in reason(path, offset=1.0)
    assert len(audio.decode(path, end=1.05).samples) == RATE  # as rounded times may say


@pytest.mark.parametrize("rate", [8000, 192000])
def test_odd_but_good(tmp_path: Path, rate: int) -> None:
    one = save(tmp_path / "one.wav", np.array([0.5], np.float32), rate, "PCM_16")
    assert audio.decode(one).samples.tolist() == [16384]
    silence = save(tmp_path / "silence.wav", np.zeros(100, np.float32), rate, "PCM_16")
    assert audio.decode(silence).notes == ["silent"]
    full = save(tmp_path / "full.wav", np.full(9, 1.0, np.float32), rate, "FLOAT")
    how = "upsampled" if rate < RATE else "resampled"
    assert audio.decode(full, sample_rate=RATE).notes == [how, "clipped"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe4r\n1.wav"))
    soundfile.write(os.fsencode(path), tone(), RATE, "PCM_16", format="WAV")
    assert len(audio.decode(path).samples) == 8000


def test_mp3_chatter_is_silenced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.mp3", tone(2.0))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = b"\x55" * 200
    path.write_bytes(data)
    soundfile.read(path)
    assert capfd.readouterr().err  # libmpg123 does complain of this file
    audio.decode(path)
    assert capfd.readouterr().err == ""
    other = path.rename(tmp_path / "a.wav")  # as a request to `serve`, which says no name
    audio.decode(other)
    assert capfd.readouterr().err == ""
    other.rename(path)
    with opening.quiet(path):
        os.write(2, b"from elsewhere\n")
    assert capfd.readouterr().err == "from elsewhere\n"


def test_ffmpeg_is_asked_for_what_soundfile_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.m4a"
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert reason(path) == "no such file"
    path.write_bytes(b"anything")
    assert reason(path) == ".m4a needs ffmpeg, which is not installed"
    (tmp_path / "bin").mkdir()
    wave = tone(channels=2)
    header = struct.pack(">4s5I", b".snd", 28, 0xFFFFFFFF, 6, RATE, 2) + b"note"
    (tmp_path / "sound.au").write_bytes(header + wave.astype(">f4").tobytes())
    fake = tmp_path / "bin" / "ffmpeg"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >"{tmp_path}/args"\nexec /bin/cat "{tmp_path}/sound.au"\n'
    )
    fake.chmod(0o755)
    decoded = audio.decode(path, start=0.1, channel="left")
    np.testing.assert_array_equal(decoded.samples, wave[1600:, 0])
    assert (decoded.sample_rate, decoded.channels) == (RATE, 2)
    assert "-i file:/dev/fd/" in (tmp_path / "args").read_text()
    assert audio.read_rate(path) == RATE
    fake.write_text("#!/bin/sh\necho 'Invalid data found' >&2\nexit 1\n")
    assert reason(path) == "cannot be decoded: invalid data found"


@pytest.mark.parametrize("kind", ["PCM_16", "FLOAT", "ULAW", "ALAW"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_wav_from_a_pipe(tmp_path: Path, kind: str, form: str) -> None:
    raw = waveform.to_int16(tone(channels=2))
    path = tmp_path / "a.wav"
    soundfile.write(path, raw, RATE, kind, format=form)
    expected = waveform.to_int16(soundfile.read(path, dtype="float32", always_2d=True)[0])
    for head in (b"", path.read_bytes()[:4]):
        stream = wav_stream(BytesIO(path.read_bytes()[len(head) :]), head)
        assert (stream.rate, stream.channels) == (RATE, 2)
        found = np.concatenate([stream.read(7), stream.read(10**6)])
        np.testing.assert_allclose(
            found[: len(expected)], expected, atol=1 if kind == "FLOAT" else 0
        )
    for bad in (b"", b"RIFF", b"text" * 20, path.read_bytes()[:20]):
        with pytest.raises(ItemError):
            wav_stream(BytesIO(bad))


def test_a_wav_stream_that_is_refused_says_how_to_convert_it(tmp_path: Path) -> None:
    wide = save(tmp_path / "b.wav", waveform.to_int16(tone()), subtype="PCM_24")
    with pytest.raises(ItemError, match="24 bits, code 1: convert it by ffmpeg -i -"):
        wav_stream(BytesIO(wide.read_bytes()))
    broken = save(tmp_path / "c.wav", np.full(9, np.nan, np.float32), subtype="FLOAT")
    with pytest.raises(InputError, match="NaN"):
        wav_stream(BytesIO(broken.read_bytes())).read(9)


def test_every_byte_of_g711(tmp_path: Path) -> None:
    for kind, table in (("ULAW", mu_law()), ("ALAW", a_law())):
        path = tmp_path / f"{kind}.raw"
        path.write_bytes(bytes(range(256)))
        given = {"samplerate": 8000, "channels": 1, "subtype": kind, "format": "RAW"}
        np.testing.assert_array_equal(soundfile.read(path, dtype="int16", **given)[0], table)


def test_a_damaged_length_is_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "a.flac", tone())
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # the 36 bits of total samples in STREAMINFO
    data[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert reason(path)


def test_light_imports() -> None:
    """Featurizing must import neither torch nor librosa nor scipy.signal: each costs seconds."""
    code = (
        "import sys, sertool.audio.decoding, sertool.features.pipeline, numpy as np;"
        "import sertool.features.mel as mel;"
        "mel.compute(np.zeros(5000, np.int16), 16000, mel.Settings());"
        "heavy = {'torch', 'librosa', 'scipy.signal', 'sklearn', 'matplotlib', 'h5py', 'numba'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("suffix", [".wav", ".mp4", ".mp3", ".raw"])
def test_a_name_with_a_nul_is_no_file_and_never_the_file_before_it(
    tmp_path: Path, suffix: str
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    path = tmp_path / f"a.wav\0{suffix}"
    assert reason(path) == "no such file"
    with pytest.raises(ItemError, match="no such file"):
        audio.read_rate(path)


def test_samples_without_a_header_are_told(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "bare.RAW"
    assert reason(path) == "no such file"
    path.write_bytes(bytes(4000))
    assert reason(path) == "cannot be decoded: samples without a header"
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    names = (str(path), r"a\x00.wav", "a.wav")  # a manifest escapes what is no text
    rows = [{"id": f"c/{i}", "path": name} for i, name in enumerate(names)]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli("featurize", manifest, tmp_path / "s.h5", "--set", "n_mels=8")
    assert result.code == 1, result.err
    assert "samples without a header" in result.err
    assert "path holds a NUL" in result.err
    assert "Traceback" not in result.err
