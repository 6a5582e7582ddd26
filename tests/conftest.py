"""Fixtures that every test shares: the command line in process, real corpora, small sounds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `train` sets it, before torch is loaded


@dataclass
class Result:
    """What one command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line in this process: `cli("info", path)`."""
    from sertool.cli import main

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora, from SERTOOL_CORPORA; the test is skipped without it."""
    folder = os.environ.get("SERTOOL_CORPORA")
    if not folder:
        pytest.skip("SERTOOL_CORPORA is not set: no real corpora")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class-named folders with twelve half-second WAV files at 16 kHz."""
    import soundfile

    root = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(0)
    time = np.arange(8000) / 16000
    for i in range(12):
        label = ("angry", "happy", "sad")[i % 3]
        folder = root / label
        folder.mkdir(exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * (120 + 60 * (i % 3)) * time)
        wave = tone + 0.02 * random.standard_normal(len(time))
        soundfile.write(folder / f"s{i:02d}.wav", wave.astype(np.float32), 16000, "PCM_16")
    return root
