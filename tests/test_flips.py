"""Bits of small files flipped: what `info` and the stages make of them; see `flips.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_store

SCRIPT = Path(__file__).parent / "flips.py"


@pytest.mark.parametrize("names", [("mel.h5", "m.jsonl"), ("linear.ckpt", "r.json")])
def test_no_flip_is_believed(names: tuple[str, ...]) -> None:
    words = [word for name in names for word in ("--only", name)]
    done = subprocess.run(
        [sys.executable, SCRIPT, "--flips", "6", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("6 bits flipped") >= 1
    assert done.stdout.count(", 0 silent, 0 crash, 0 hang") == len(names)


@pytest.mark.parametrize("name", [b"gender", b"kind", b"sha256"])
def test_a_name_that_is_no_text(cli: Callable[..., Any], tmp_path: Path, name: bytes) -> None:
    path = small_store.make(tmp_path / "s.h5")
    content = path.read_bytes()
    path.write_bytes(content.replace(name + b"\0", bytes([name[0] | 128]) + name[1:] + b"\0"))
    assert path.read_bytes() != content
    for words in (("info", path), ("train", "--test-fold", "0", path, tmp_path / "m.ckpt")):
        done = cli(*words)
        assert done.code == 3
        assert len(done.err.splitlines()) == 1
