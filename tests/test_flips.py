"""Bits of small files flipped: what `info` and the stages make of them; see `flips.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert done.stdout.count(", 0 silent, 0 crash") == len(names)
