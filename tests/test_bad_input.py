"""What a stranger gets wrong: each one clear line and the right exit code, in every command."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import h5py
import numpy as np
import pytest
import soundfile

from sertool.formats.store import Store

RATE = 16000
TONE = (0.3 * np.sin(np.arange(4000) * 0.1)).astype(np.float32)


def one_line(result, code: int, *words: str) -> None:
    assert (result.code, result.out) == (code, ""), result.err
    assert result.err.count("\n") == 1, result.err
    for word in words:
        assert word in result.err


def line(name: str, path: Path, **fields: object) -> str:
    return json.dumps({"id": name, "path": str(path), **fields}) + "\n"


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_every_bad_file_is_named_once_with_its_reason(cli, tmp_path: Path) -> None:
    folder = tmp_path / "c" / "sad"
    folder.mkdir(parents=True)
    soundfile.write(folder / "good.wav", TONE, RATE)
    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound")
    noise = 0.1 * np.random.default_rng(0).standard_normal(9000)
    soundfile.write(folder / "cut.flac", noise, RATE)
    whole = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    soundfile.write(folder / "nan.wav", np.append(TONE, np.nan), RATE, "FLOAT")
    soundfile.write(folder / "none.wav", TONE[:0], RATE)
    (folder / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    result = cli("featurize", "-q", tmp_path / "c", tmp_path / "o.h5")
    reasons = {
        "zero.wav": "empty file",
        "text.wav": "cannot be decoded",
        "cut.flac": "truncated",
        "nan.wav": "NaN",
        "none.wav": "no samples",
        "gone.wav": "no such file",
    }
    assert result.code == 1
    said = result.err.splitlines()
    assert len(said) == len(reasons)
    for name, reason in reasons.items():
        assert sum(name in text and reason in text for text in said) == 1, name
    assert [row.id for row in Store(tmp_path / "o.h5").items()] == ["c/sad/good"]


def test_a_pipe_in_a_manifest_is_no_file_and_no_wait(cli, tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    for name in ("a.wav", "b.m4a"):
        os.mkfifo(tmp_path / name)
        manifest.write_text(line("a", tmp_path / name))
        for command in (["--sample-rate", "16000"], []):
            result = cli("featurize", "-q", *command, manifest, tmp_path / "o.h5")
            assert result.code == 3
            assert f"{name}: not a regular file" in result.err


@pytest.mark.parametrize("rate", [1, 8, 999, 2_000_000_000])
def test_a_rate_that_no_recording_has(cli, tmp_path: Path, rate: int) -> None:
    """Two seconds of a file of 9 kB would be 16 GB, or the file more than an hour."""
    soundfile.write(tmp_path / "odd.wav", TONE, rate)
    result = cli("featurize", "-q", "--duration", 2, tmp_path / "odd.wav", tmp_path / "o.h5")
    assert result.code == 3
    assert f"odd.wav: a sample rate of {rate} Hz" in result.err


def test_a_long_word_is_cut(cli) -> None:
    one_line(cli("info", "x" * 100_000), 3, "xxx … xxx", "too long")
    assert len(cli("report", "--format", "\x1b" + "x" * 9000, "r.json").err) < 3000


def test_an_output_that_is_an_input(cli, sounds: Path, tmp_path: Path) -> None:
    wave = tmp_path / "a.wav"
    soundfile.write(wave, TONE, RATE)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(line("a", wave))
    before = wave.read_bytes(), manifest.read_text()
    os.mkfifo(tmp_path / "pipe")
    one_line(cli("featurize", "--force", manifest, manifest), 2, "same file")
    one_line(cli("featurize", "--force", wave, wave), 2, "same file")
    one_line(cli("featurize", "--force", manifest, wave), 2, "name of a recording")
    assert cli("prepare", "--corpus", "folder", "--force", wave, wave).code != 0
    assert (wave.read_bytes(), manifest.read_text()) == before
    for command in (["featurize"], ["augment", "--awgn", "9"]):
        one_line(cli(*command, sounds, "-"), 2, "standard output")
        one_line(cli(*command, "--force", sounds, tmp_path / "pipe"), 3, "not a regular file")


def test_what_is_no_manifest_is_one_line(cli, tmp_path: Path) -> None:
    for name in ("notes.md", "m.jsonl"):
        (tmp_path / name).write_text("# Notes\nof several\nlines\n")
        one_line(cli("featurize", tmp_path / name, tmp_path / "o.h5"), 3, name, "line 1")
        one_line(cli("prepare", tmp_path / name, tmp_path / "o.jsonl"), 3, name, "manifest")
        one_line(cli("info", tmp_path / name), 3, name)


def test_a_field_that_can_be_no_column(cli, sounds: Path, tmp_path: Path) -> None:
    wave = next(sounds.rglob("*.wav"))
    for name in ("", ".", "arousal/valence"):
        (tmp_path / "m.jsonl").write_text(line("a", wave, **{name: 1}))
        one_line(cli("featurize", tmp_path / "m.jsonl", tmp_path / "o.h5"), 3, repr(name))


def test_stores_of_another_kind_or_version(cli, sounds: Path, tmp_path: Path) -> None:
    assert cli("featurize", "-q", "--kind", "mel", sounds, tmp_path / "mel.h5").code == 0
    assert cli("featurize", "-q", "--kind", "wave", sounds, tmp_path / "new.h5").code == 0
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        file.attrs["version"] = 99
    for command in (["featurize"], ["augment", "--awgn", "9"]):
        out = tmp_path / "o.h5"
        wrong = (3, "kind mel") if command == ["featurize"] else (2, "not for features over time")
        one_line(cli(*command, tmp_path / "mel.h5", out), *wrong)
        one_line(cli(*command, tmp_path / "new.h5", out), 3, "newer")
    one_line(cli("info", tmp_path / "new.h5"), 3, "newer")


def test_resume_knows_its_input(cli, sounds: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "o.h5", tmp_path / "c" / "sad"
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", TONE, RATE)
    (folder / "b.wav").write_text("no sound")
    assert cli("featurize", "-q", tmp_path / "c", out).code == 1
    again = cli("featurize", "--resume", tmp_path / "c", out)
    assert again.code == 0
    assert "already complete; 1 of 2 utterances are not in it" in again.err
    other = cli("featurize", "-q", "--resume", sounds, out)
    one_line(other, 3, "another input", "--force")
    options = ["-q", "--resume", "--force", "--set", "n_mels=9"]
    assert cli("featurize", *options, sounds, out).code == 0
    assert Store(out).shape == (9,)
    for name in "ab":
        seed = ["--set", "precision=float64"] if name == "b" else []
        assert cli("featurize", "-q", "--kind", "wave", sounds, tmp_path / f"{name}.h5").code == 0
        assert cli("featurize", "-q", *seed, sounds, tmp_path / f"{name}m.h5").code == 0
    (tmp_path / "two").mkdir()
    (tmp_path / "c" / "sad" / "b.wav").unlink()
    assert cli("featurize", "-q", "--kind", "wave", tmp_path / "c", tmp_path / "two/a.h5").code == 0
    assert cli("augment", "-q", "--awgn", 9, tmp_path / "a.h5", tmp_path / "n.h5").code == 0
    resumed = cli(
        "augment", "-q", "--resume", "--awgn", 9, tmp_path / "two/a.h5", tmp_path / "n.h5"
    )
    one_line(resumed, 3, "another input")


def test_paths_of_a_list_may_go_up(cli, sounds: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(sounds)
    stdin(monkeypatch, "angry/s00.wav\nsad/../happy/s01.wav\n")
    assert cli("featurize", "-", tmp_path / "o.h5").code == 0
    rows = Store(tmp_path / "o.h5").items()
    assert [(row.path, row.label) for row in rows] == [
        ("angry/s00.wav", "anger"),
        ("happy/s01.wav", "happiness"),
    ]


def test_linked_folders_are_not_lost_in_silence(cli, sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "c" / "sad").mkdir(parents=True)
    soundfile.write(tmp_path / "c" / "sad" / "a.wav", TONE, RATE)
    (tmp_path / "c" / "happy").symlink_to(sounds / "happy")
    result = cli("featurize", tmp_path / "c", tmp_path / "o.h5")
    assert result.code == 0
    assert "1 audio file, and 1 other file" in result.err


def test_unknown_corpus_is_one_line(cli, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", TONE, RATE)
    result = cli("featurize", tmp_path / "a.wav", tmp_path / "o.h5")
    assert result.code == 0
    assert len([text for text in result.err.splitlines() if "label" in text]) == 1
    assert result.err.count("\n") == 2


def test_noise_that_would_not_fit(cli, sounds: Path, tmp_path: Path) -> None:
    assert cli("featurize", "-q", "--kind", "wave", sounds, tmp_path / "w.h5").code == 0
    for text in ("-1000", "9:1e30"):
        result = cli("augment", f"--awgn={text}", tmp_path / "w.h5", tmp_path / "o.h5")
        one_line(result, 2, "--awgn")


def test_more_than_memory_holds(cli, sounds: Path, tmp_path: Path) -> None:
    result = cli("featurize", "-q", "-j1", "--duration", "1e12", sounds, tmp_path / "o.h5")
    assert result.code == 3
    said, *_, last = result.err.splitlines()
    assert "takes 1.28e+08 GB of memory, and the limit is 1 GB; SERTOOL_MEMORY=" in said
    assert "o.h5: not written, as nothing could be read" in last
    assert not (tmp_path / "o.h5").exists()


def test_the_system_says_what_cannot_be_read(
    cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permission is exit 3, not a wrong command line."""
    assert cli("featurize", "-q", "--kind", "wave", sounds, tmp_path / "w.h5").code == 0
    (tmp_path / "m.jsonl").write_text(line("a", sounds / "sad" / "s02.wav"))
    readable = os.access
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.R_OK and readable(path, mode))
    for command in (
        ["info", tmp_path / "w.h5"],
        ["augment", "--awgn", "9", tmp_path / "w.h5", tmp_path / "a.h5"],
        ["prepare", tmp_path / "m.jsonl", tmp_path / "n.jsonl"],
        ["featurize", "--force", "--log", tmp_path / "l", tmp_path / "m.jsonl", tmp_path / "w.h5"],
    ):
        assert cli(*command).code == 0, command


def test_log(cli, sounds: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    cli("featurize", "-q", "--log", log, sounds, tmp_path / "o.h5")
    events = [json.loads(text) for text in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "note", "note", "end"]
    assert {"host", "version", "command", "time"} <= events[0].keys()
    assert events[-1]["seconds"] > 0
    assert "12 items" in events[2]["text"]
    cli("featurize", "-q", "--log", log, sounds, tmp_path / "o.h5")
    assert "exists" in json.loads(log.read_text().splitlines()[-1])["error"]


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-"])
def test_closed_streams(sounds: Path, tmp_path: Path, closed: str) -> None:
    out = tmp_path / "o.h5"
    program = f"{sys.executable} -m sertool"
    for command in (f"featurize {sounds} {out}", f"prepare {sounds} -", f"info {out}"):
        line = f"{program} {command} {closed}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert Store(out).verify()


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_stops_the_workers_at_once(tmp_path: Path, times: int) -> None:
    folder = tmp_path / "c" / "sad"
    folder.mkdir(parents=True)
    for i in range(40):
        soundfile.write(folder / f"{i}.wav", np.tile(TONE, 40), RATE)
    slow = ["--set", "hop_length=2", "--set", "precision=float64", "--workers", "2"]
    command = [sys.executable, "-m", "sertool", "featurize", "-q", *slow]
    command += [str(tmp_path / "c"), str(tmp_path / "o.h5")]
    parts = tmp_path / ".o.h5.parts"
    with children.interruptible(command, start_new_session=True) as process:
        while process.poll() is None and not list(parts.glob(".0*.tmp")):
            time.sleep(0.05)
        started = children.below(process.pid)
        assert len(started) >= 2
        for _ in range(times):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "sertool featurize: interrupted\n")
    assert not (tmp_path / "o.h5").exists()
    assert children.gone(started)
