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


@pytest.mark.parametrize("name", [b"kind\0\0\0\0", b"sha256\0\0"])
def test_a_text_in_no_known_encoding(cli: Callable[..., Any], tmp_path: Path, name: bytes) -> None:
    path = small_store.make(tmp_path / "s.h5")
    content, utf8 = path.read_bytes(), name + b"\x19\x01\x01\0"  # a text's type in HDF5
    for part in range(content.count(utf8)):
        at = [i for i in range(len(content)) if content.startswith(utf8, i)][part]
        path.write_bytes(content[: at + len(utf8) - 2] + b"\3" + content[at + len(utf8) - 1 :])
        for words in (("info", path), ("train", "--test-fold", "0", path, tmp_path / "m.ckpt")):
            done = cli(*words)
            assert done.code == 3, done.err
            assert len(done.err.splitlines()) == 1
    assert utf8 in content
