"""Versions of all formats: the page names them, kept files of each are read, newer ones refused."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent / "data" / "v2"  # as sertool 0.2.0 writes them
FORMATS = {  # the module of each format, by its name
    "sertool-store": "sertool.formats.store",
    "sertool-checkpoint": "sertool.formats.checkpoint",
    "sertool-onnx": "sertool.formats.onnx",
    "sertool-report": "sertool.evaluation.report",
    "sertool-made": "sertool.formats.made",
    "sertool-model": "sertool.formats.repository",
    "sertool-speakers": "sertool.formats.speaker_statistics",
    "sertool-items": "sertool.formats.doors",
}
READ = {  # a kept file of each version that is written, and a command that reads it
    "mel.h5": ("sertool-store", 2, "info {}"),
    "shards": ("sertool-store", 2, "info {}"),
    "linear.ckpt": ("sertool-checkpoint", 2, "info {}"),
    "numbers.ckpt": ("sertool-checkpoint", 3, "info {}"),
    "linear.onnx": ("sertool-onnx", 1, "info {}"),
    "report.json": ("sertool-report", 2, "report {}"),
    "numbers.json": ("sertool-report", 3, "report {}"),
    "model": ("sertool-model", 1, "pull {} out.ckpt"),
    "items.npz": ("sertool-items", 1, "convert {} out.h5"),
    "manifest.jsonl": ("sertool-made", 2, "info --no-audio {}"),
}
Cli = Callable[..., Any]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(HERE, tmp_path / "v2")
    monkeypatch.chdir(tmp_path / "v2")
    return tmp_path / "v2"


def test_the_page_names_every_version() -> None:
    page = (ROOT / "docs" / "formats.md").read_text("utf-8")
    rows = re.findall(r"^\| `(sertool-[a-z]+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", page, re.M)
    assert [name for name, _, _ in rows] == list(FORMATS)
    for name, written, read in rows:
        module = importlib.import_module(FORMATS[name])
        assert name == module.FORMAT
        known = {module.VERSION, getattr(module, "CLASSES_VERSION", module.VERSION)}
        assert set(map(int, re.findall(r"\b\d\b", written))) == known
        assert int(re.findall(r"\b\d\b", read)[-1]) == module.VERSION


@pytest.mark.parametrize("name", READ)
def test_a_kept_file_is_read(cli: Cli, desk: Path, name: str) -> None:
    if name == "linear.onnx":
        pytest.importorskip("onnxruntime")
    done = cli(*READ[name][2].format(name).split())
    assert done.code == 0, done.err
    assert "unknown" not in done.err


def test_numbers_come_out_of_kept_models(cli: Cli, desk: Path) -> None:
    for model, store, kept in (("linear", "mel", "report"), ("numbers", "n", "numbers")):
        done = cli("eval", "-q", "--json", "-", f"{model}.ckpt", f"{store}.h5")
        assert done.code == 0, done.err
        found, known = json.loads(done.out), json.loads((desk / f"{kept}.json").read_text())
        for now, then in zip(found["items"], known["items"], strict=True):
            assert now["id"] == then["id"]
            key = "posterior" if "posterior" in then else "prediction"
            assert now[key] == pytest.approx(then[key], abs=1e-6)


def test_kept_statistics_of_speakers_are_read(desk: Path) -> None:
    from sertool.formats import speaker_statistics

    head, lines = speaker_statistics.read(desk / "speakers.jsonl")
    assert head.version == speaker_statistics.VERSION
    assert len(lines) == 6


@pytest.mark.parametrize("name", READ)
def test_a_newer_file_is_refused_with_its_version(
    cli: Cli, desk: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A kept file read by the program of a version before: for that it is a newer one."""
    of, version, line = READ[name]
    monkeypatch.setattr(importlib.import_module(FORMATS[of]), "VERSION", version - 1)
    done = cli(*line.format(name).split())
    if of != "sertool-made":  # beside a manifest, which is read without it
        assert done.code == 3
        assert done.out == ""
    (said,) = done.err.splitlines()
    assert re.search(rf"\b{version}\b.*\b{version - 1}\b", said), said


def test_newer_statistics_are_refused(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sertool.core.errors import InputError
    from sertool.formats import speaker_statistics

    monkeypatch.setattr(speaker_statistics, "VERSION", 0)
    with pytest.raises(InputError, match=r"version 1 .*\(0\)"):
        speaker_statistics.read(desk / "speakers.jsonl")
