"""Recordings that take too much, hang or crash their decoder: each is lost alone, and named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import sertool
from sertool import audio
from sertool.core import boxes, memory

pytestmark = pytest.mark.skipif(not boxes.FORKS, reason="processes are not forked here")
READ = soundfile.SoundFile.read


@pytest.fixture
def corpus(tmp_path: Path, sounds: Path) -> Path:
    """Six recordings of half a second, and one of two, called bad.wav."""
    root = tmp_path / "corpus"
    for path in sorted(sounds.rglob("*.wav"))[::2]:
        (root / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.parent.name)
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000)
    soundfile.write(root / "sad" / "bad.wav", noise, 16000)
    return root


def hang() -> None:
    time.sleep(600)


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def strike(monkeypatch: pytest.MonkeyPatch, how: Callable[[], None]) -> None:
    """Have the decoder fare so with bad.wav, in every process that is forked from now on."""
    own = os.getpid()

    def read(file: soundfile.SoundFile, *given: Any, **more: Any) -> Any:
        if "bad.wav" in os.readlink(f"/proc/self/fd/{file.name}"):
            assert os.getpid() != own, "decoded in the program itself"
            how()
        return READ(file, *given, **more)

    monkeypatch.setattr(soundfile.SoundFile, "read", read)


def run(cli: Any, stage: str, corpus: Path, *options: object) -> tuple[int, int, str]:
    """Return the exit code, how many recordings were done, and what was said of bad.wav."""
    output = corpus.parent / "o.h5"
    done = 0
    if stage == "featurize":
        result = cli("featurize", "-q", "--kind", "mel", corpus, output, *options)
        with sertool.open_store(output) as store:
            done = len(store)
    else:
        result = cli(*stage.split(" "), "-q", corpus, *options)
        rows = [json.loads(line) for line in result.out.splitlines()]
        done = len({row["path"] for row in rows if "error" not in row})
    said = [line for line in result.err.splitlines() if "bad.wav" in line]
    assert "Traceback" not in result.err
    assert len(said) == 1, result.err
    return result.code, done, said[0]


STAGES = ["featurize", "predict", "predict --window 0.25"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("workers", [1, 2])
def test_longer_than_allowed(cli: Any, corpus: Path, stage: str, workers: int) -> None:
    code, done, said = run(cli, stage, corpus, "--max-duration", 1, "-j", workers)
    assert (code, done) == (1, 6)
    assert "2 s long, and the limit is 1 s; --max-duration allows more" in said


@pytest.mark.parametrize(("stage", "workers"), [("featurize", 2), ("predict", 1)])
def test_a_decoder_that_hangs(
    cli: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch, stage: str, workers: int
) -> None:
    strike(monkeypatch, hang)
    code, done, said = run(cli, stage, corpus, "--file-timeout", 10, "-j", workers)
    assert (code, done) == (1, 6)
    assert "took longer than 10 s; --file-timeout allows more" in said


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_decoder_that_dies(
    cli: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch, stage: str, workers: int
) -> None:
    strike(monkeypatch, die)
    code, done, said = run(cli, stage, corpus, "-j", workers)
    assert (code, done) == (1, 6)
    assert "reading it crashed (SIGSEGV)" in said


def test_a_length_that_is_allowed(cli: Any, corpus: Path) -> None:
    result = cli("featurize", "-q", "--max-duration", 2, corpus, corpus.parent / "o.h5")
    assert result.code == 0, result.err


@pytest.mark.parametrize("workers", [1, 2])
def test_more_memory_than_allowed(
    cli: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv(memory.LIMIT, "0.05")
    monkeypatch.setattr(audio, "HELD", 1 << 40)  # so that it is held whole
    samples = 5 * 3600 * 16000
    with open(corpus / "sad" / "bad.wav", "r+b") as file:  # all silence, which takes no disk
        file.seek(4)
        file.write((36 + 2 * samples).to_bytes(4, "little"))
        file.seek(40)
        file.write((2 * samples).to_bytes(4, "little"))
        file.truncate(44 + 2 * samples)
    code, done, said = run(cli, "featurize", corpus, "-j", workers)
    assert (code, done) == (1, 6)
    assert "takes more than 0.3 GB of memory; SERTOOL_MEMORY=1 in the environment allows" in said


@pytest.mark.parametrize(
    ("how", "seconds", "reason"),
    [(die, 120, "reading it crashed (SIGSEGV)"), (hang, 2, "took longer than 2 s")],
)
@pytest.mark.parametrize("options", [[], ["--window", 0.25]])
def test_one_recording_alone(
    cli: Any,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[], None],
    seconds: int,
    reason: str,
    options: list[object],
) -> None:
    """A decoder that fails so does not take the program with it, where there is but one file."""
    strike(monkeypatch, how)
    bad = corpus / "sad" / "bad.wav"
    result = cli("predict", "-q", bad, "--file-timeout", seconds, *options)
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert f"bad.wav: {reason}" in result.err


def test_lengths_of_python_hold_for_their_call_alone(corpus: Path, tmp_path: Path) -> None:
    made = sertool.featurize(corpus, tmp_path / "o.h5", max_duration=1.0)
    assert [Path(failure.path).name for failure in made.failures] == ["bad.wav"]
    assert memory.longest() == memory.LONGEST
    assert not sertool.featurize(corpus, tmp_path / "p.h5").failures
