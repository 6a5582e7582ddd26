"""`kill -9` at any moment leaves no broken output, and --resume ends with the unbroken bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_stores import write_store

from sertool.formats.store import Store

KILLS = 3


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 160 one-second files: enough to be killed in."""
    root = tmp_path_factory.mktemp("many") / "corpus"
    draw = np.random.default_rng(0)
    for i in range(160):
        folder = root / ("happy", "sad")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{i:03d}.wav", 0.1 * draw.standard_normal(48000), 48000)
    return root


@pytest.fixture(scope="module")
def waves(many: Path) -> Path:
    output = many.parent / "waves.h5"
    run("featurize", "--kind", "wave", many, output)
    return output


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store of two classes and four speakers, learnable."""
    path = tmp_path_factory.mktemp("features") / "f.h5"
    draw = np.random.default_rng(0)
    arrays, rows = [], []
    for i in range(48):
        label = ("anger", "sadness")[i % 2]
        arrays.append(draw.normal(i % 2, 2, (64, 4)).astype(np.float32))
        rows.append(
            {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": label}
            | {"speaker": f"s{i // 12}", "fold": i // 24}
        )
    write_store(path, arrays, rows)
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "sertool", *(str(a) for a in arguments)]


def run(*arguments: object) -> None:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def killed_at_random(arguments: list[object], output: Path, whole: Path, longest: float) -> None:
    """Kill the command again and again, resuming it; then let it end and compare the bytes."""
    draw = random.Random(os.environ.get("SERTOOL_KILL_SEED", "0"))
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(*arguments, "--resume", output), stderr=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(0.1, 1.0) * longest)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if output.exists():
            assert output.read_bytes() == whole.read_bytes()
    run(*arguments, "--resume", output)
    assert output.read_bytes() == whole.read_bytes()
    left = [name for name in os.listdir(output.parent) if name != output.name]
    assert left == [], "the finished run left its parts"


def timed(*arguments: object) -> float:
    start = time.monotonic()
    run(*arguments)
    return time.monotonic() - start


@pytest.mark.parametrize("workers", [1, 2])
def test_featurize(many: Path, tmp_path: Path, workers: int) -> None:
    (tmp_path / "o").mkdir()
    whole = tmp_path / "whole.h5"
    arguments = ["featurize", "--kind", "mel", "--workers", workers, many]
    longest = timed(*arguments, whole)
    killed_at_random(arguments, tmp_path / "o" / "o.h5", whole, longest)
    assert Store(whole).verify()


def test_augment(waves: Path, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    whole = tmp_path / "whole.h5"
    arguments = ["augment", "--awgn", "15:30", "--copies", 3, waves]
    longest = timed(*arguments, whole)
    killed_at_random(arguments, tmp_path / "o" / "o.h5", whole, longest)


def test_train(features: Path, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    whole = tmp_path / "whole.ckpt"
    arguments = ["train", "--model", "sundharam-cnn", "--epochs", 6, "--test-fold", 0]
    arguments += ["--batch-size", 8, "--val", 0.2, features]
    longest = timed(*arguments, whole)
    killed_at_random(arguments, tmp_path / "o" / "o.ckpt", whole, longest)
