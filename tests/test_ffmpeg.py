"""What libsndfile does not read, by the ffmpeg that is installed: m4a, AAC, WMA, AMR, films."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import children
import numpy as np
import pytest

from sertool.audio.decoding import decode, read_rate
from sertool.core.errors import ItemError

FFMPEG = shutil.which("ffmpeg")
installed = pytest.mark.skipif(FFMPEG is None, reason="needs ffmpeg")
SECONDS, TONE = 3, 440  # of what is encoded, and Hz
FILM = ("-f", "lavfi", "-i", f"testsrc=d={SECONDS}:s=64x48:r=5", "-map", "1", "-map", "0")
KINDS = {  # by the suffix: ffmpeg's options, the rate and the channels
    "m4a": ((), 44100, 2),
    "aac": ((), 44100, 2),
    "wma": (("-ar", "16000"), 16000, 2),
    "webm": (("-c:a", "libopus"), 48000, 2),
    "mka": (("-c:a", "flac"), 44100, 2),
    "3gp": (("-ar", "8000", "-ac", "1", "-c:a", "aac"), 8000, 1),
    "mp4": ((*FILM, "-c:a", "aac", "-c:v", "mpeg4"), 44100, 2),
    "opus": (("-c:a", "libopus", "-ac", "1"), 48000, 1),
}


def encoded(folder: Path, kind: str) -> Path:
    """Write a tone of three seconds."""
    path = folder / f"a.{kind}"
    sound = ("-f", "lavfi", "-i", f"sine={TONE}:d={SECONDS}:r=44100")
    words = [str(FFMPEG), "-nostdin", "-v", "error", *sound]
    stereo = () if "-ac" in KINDS[kind][0] else ("-ac", "2")
    done = subprocess.run([*words, *KINDS[kind][0], *stereo, path], capture_output=True, text=True)
    if "ncoder" in done.stderr:
        pytest.skip(f"this ffmpeg does not write {kind}")
    assert done.returncode == 0, done.stderr
    return path


def amr(path: Path, frames: int) -> Path:
    """Write AMR at 4.75 kbit/s, of noise; a frame is 20 ms."""
    draw = random.Random(1)
    path.write_bytes(b"#!AMR\n" + b"".join(b"\4" + draw.randbytes(12) for _ in range(frames)))
    return path


@installed
@pytest.mark.parametrize("kind", KINDS)
def test_duration_channels_and_sound(tmp_path: Path, kind: str) -> None:
    _, rate, channels = KINDS[kind]
    path = encoded(tmp_path, kind)
    found = decode(path)
    assert (found.source_rate, found.channels) == (rate, channels)
    assert found.duration == pytest.approx(SECONDS, abs=2 * 2048 / rate)  # a codec's frames
    spectrum = np.abs(np.fft.rfft(found.samples[rate : 2 * rate].astype(np.float64)))
    assert spectrum.argmax() == TONE
    assert read_rate(path) == rate
    if kind != "opus":
        cut = decode(path, start=1.0, end=2.0)
        np.testing.assert_array_equal(cut.samples, found.samples[rate : 2 * rate])


@installed
def test_amr(tmp_path: Path) -> None:
    found = decode(amr(tmp_path / "a.amr", 100))
    assert (found.duration, found.source_rate, found.channels) == (2.0, 8000, 1)


@installed
@pytest.mark.parametrize("kind", ["m4a", "aac", "mka", "wma"])
def test_what_is_cut_off_is_said(tmp_path: Path, kind: str) -> None:
    path = encoded(tmp_path, kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ItemError, match=r"(truncated or damaged|cannot be decoded): [a-z]") as told:
        decode(path)
    assert str(tmp_path) not in str(told.value)
    assert "0x" not in str(told.value)


@installed
def test_what_is_damaged_inside_is_said(tmp_path: Path) -> None:
    path = encoded(tmp_path, "m4a")
    content = bytearray(path.read_bytes())
    for i in range(20):
        content[len(content) // 2 + 7 * i] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(ItemError, match="truncated or damaged"):
        decode(path)


@installed
def test_a_list_of_other_files_reads_none(tmp_path: Path) -> None:
    encoded(tmp_path, "aac")
    (tmp_path / "concat.m4a").write_text("ffconcat version 1.0\nfile a.aac\n")
    (tmp_path / "hls.m4a").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\na.aac\n#EXT-X-ENDLIST\n"
    )
    for name in ("concat.m4a", "hls.m4a"):
        with pytest.raises(ItemError, match="cannot be decoded"):
            decode(tmp_path / name)


@installed
def test_a_folder_within_its_limits(cli: Callable[..., Any], tmp_path: Path) -> None:
    """What a day of such a file would take is not asked for before it is read."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for kind in ("m4a", "mp4"):
        shutil.move(encoded(tmp_path, kind), sounds / f"{kind}.{kind}")
    amr(sounds / "c.amr", 50)
    (sounds / "d.m4a").write_bytes(b"nothing")
    found = cli("predict", "-q", sounds)
    assert found.code == 1
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert [("error" in row, round(row.get("duration", 0))) for row in rows] == [
        (False, 1), (True, 0), (False, 3), (False, 3),
    ]  # fmt: skip


def test_one_that_hangs_is_ended(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds, tools, said = tmp_path / "sounds", tmp_path / "bin", tmp_path / "said"
    sounds.mkdir()
    tools.mkdir()
    for name in ("a.m4a", "b.m4a"):
        (sounds / name).write_bytes(b"anything")
    (tools / "ffmpeg").write_text(f'#!/bin/sh\necho $$ >>"{said}"\nexec /bin/sleep 600\n')
    (tools / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    found = cli("predict", "-q", "--file-timeout", "3", sounds)
    assert found.code == 1
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert ["3 s" in row["error"] for row in rows] == [True, True], rows
    assert children.gone(map(int, said.read_text().split()))
