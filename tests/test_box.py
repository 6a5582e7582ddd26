"""The model in the box: which argument is a model, and what comes with sertool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_store import items, make

from sertool.formats import box

CORPUS = Path(__file__).resolve().parent.parent / "data" / "demo" / "corpus"
ONE = CORPUS / "spk01" / "spk01_sadness_s1_r2.flac"


def test_without_a_model_the_one_in_the_box_predicts_and_says_so_once(cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copy(ONE, tmp_path / f"{name}.flac")
    result = cli("predict", tmp_path)
    assert result.code == 0, result.err
    assert result.err.count("sertool info box") == 1
    assert len(result.err.splitlines()) == 1
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [Path(row["path"]).stem for row in found] == ["a", "b"]
    assert all(sum(row["posterior"].values()) == pytest.approx(1) for row in found)
    named = cli("predict", box.model(), tmp_path)
    assert named.out == result.out
    assert not named.err


def test_confidences_of_the_box_are_calibrated(cli) -> None:
    result = cli("predict", ONE, "--reject", "0.99")
    assert result.code == 0
    assert "are calibrated" in result.err
    assert "not calibrated" not in result.err


def test_a_named_model_never_becomes_the_one_in_the_box(cli, tmp_path: Path) -> None:
    (tmp_path / "damaged.ckpt").write_bytes(b"x")
    (tmp_path / "damaged").write_bytes((100).to_bytes(8, "little") + b"{")  # a model's head
    for name in ("missing.ckpt", "missing.onnx", "damaged.ckpt", "damaged"):
        result = cli("predict", tmp_path / name, ONE)
        assert result.code == 3, name
        assert not result.out
        later = cli("predict", ONE, tmp_path / name)
        assert later.code == 3
        assert "the model comes first" in later.err


def test_a_model_of_any_name_is_known_by_its_head(cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5", items(copies=0))
    assert cli("train", "--test-fold", "none", store, tmp_path / "m.ckpt").code == 0
    (tmp_path / "m.ckpt").rename(tmp_path / "model")
    assert box.is_model(tmp_path / "model")
    result = cli("predict", tmp_path / "model")
    assert result.code == 2
    assert "no recordings" in result.err
    assert not box.is_model(store)
    assert not box.is_model(ONE)
    os.mkfifo(tmp_path / "pipe")
    assert not box.is_model(tmp_path / "pipe")  # and nobody waits for it


def test_where_no_model_is_installed_there_is_advice(cli, monkeypatch) -> None:
    monkeypatch.setattr(box, "model", lambda: None)
    result = cli("predict", ONE)
    assert result.code == 3
    assert "train one" in result.err
    assert result.err.count("\n") == 1


def test_the_card(cli) -> None:
    result = cli("info", "box")
    assert result.code == 0
    _, head, text = result.out.split("---\n", 2)
    lines = head.splitlines()
    assert {"model-index:", "- name: sertool-box", "  results:"} <= set(lines)
    values = [float(text) for text in re.findall(r"value: ([0-9.]+)\}$", head, re.MULTILINE)]
    assert len(values) == head.count("dataset: ") > 1
    assert all(20 < value < 100 for value in values)
    for words in ("must not be used", "CC BY-NC-SA", "calibration error", "Known failures"):
        assert words in text
    raw = json.loads(cli("info", "--json", "box").out)
    assert (raw["what"], Path(raw["model"])) == ("card", box.model())
    assert raw["card"] == box.card()


def test_the_box_is_small_and_needs_no_torch() -> None:
    model = box.model()
    assert model is not None
    assert model.stat().st_size < 8e6
    code = (
        "import sys; from sertool.cli import main; main(['predict', sys.argv[1]]);"
        "heavy = {'torch', 'librosa', 'sklearn', 'matplotlib', 'numba', 'transformers'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, ONE], capture_output=True, text=True, check=True
    )
    assert found.stderr.splitlines()[-1] == "[]"
