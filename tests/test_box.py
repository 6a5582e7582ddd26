"""The model in the box: which argument is a model, and what comes with sertool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import made_checkpoints
import pytest
from small_store import items, make

from sertool.core.errors import InputError
from sertool.evaluation import fused
from sertool.formats import box
from sertool.formats import checkpoint as checkpoints

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
    monkeypatch.setattr(box, "quickest", lambda: None)
    result = cli("predict", ONE)
    assert result.code == 3
    assert "train one" in result.err
    assert result.err.count("\n") == 1


def test_of_both_formats_the_quicker_one_predicts(monkeypatch, tmp_path: Path) -> None:
    for name in ("linear", "sertool"):
        checkpoints.save(made_checkpoints.checkpoint(name, (64,)), tmp_path / f"{name}.ckpt")
    monkeypatch.setattr(box, "find_spec", lambda name: object())
    for name, wanted in (("linear", "box.ckpt"), ("sertool", "box.onnx")):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setattr(box, "data_path", lambda _, file, folder=folder: there(folder / file))
        assert box.quickest() is None
        shutil.copy(tmp_path / f"{name}.ckpt", folder / "box.ckpt")
        assert box.quickest() == box.model() == folder / "box.ckpt"
        (folder / "box.onnx").touch()
        assert box.quickest() == folder / wanted
        with monkeypatch.context() as without:
            without.setattr(box, "find_spec", lambda name: None)
            assert box.quickest() == folder / "box.ckpt"
    parts = [checkpoints.load(tmp_path / f"{name}.ckpt") for name in ("linear", "sertool")]
    checkpoints.save(fused.fuse(parts, ["a", "b"]), tmp_path / "fused.ckpt")
    assert checkpoints.has_network(tmp_path / "fused.ckpt")
    assert not checkpoints.has_network(ONE)


def there(path: Path) -> Path:
    if not path.exists():
        raise InputError("missing")
    return path


def test_both_formats_of_the_box_say_the_same(cli) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX models need sertool[onnx]")
    found = []
    for suffix in box.SUFFIXES:
        model = box.data_path("models", f"box{suffix}")
        assert model.stat().st_size < 8e6
        result = cli("predict", model, ONE)
        assert result.code == 0, result.err
        found.append(json.loads(result.out)["posterior"])
    assert found[1] == pytest.approx(found[0], abs=1e-5)


def test_the_card_is_of_the_model(cli) -> None:
    path = box.model()
    assert path is not None
    model = checkpoints.load(path)
    text = box.card()
    (row,) = (json.loads(line) for line in cli("predict", ONE).out.splitlines())
    assert f"name it `{row['model']}`" in text
    assert list(row["posterior"]) == list(model.header.classes)
    assert f"tells {len(row['posterior'])} classes\napart, {', '.join(row['posterior'])}," in text
    assert f"{model.header.model.parameters:,} numbers" in text
    counts = Counter(str(item.corpus) for item in model.items if not item.augmentation)
    rows = re.findall(r"^\| (\w+) \| ([0-9]+) \| [0-9]+ \| .*\|$", text, re.MULTILINE)
    assert {name: int(count) for name, count in rows} == counts
    assert model.header.calibration is not None
    assert f"temperature ({model.header.calibration.temperature:.2f})" in text
    assert "across_corpora" in json.dumps(model.meta["lineage"])


def test_the_card(cli) -> None:
    result = cli("info", "box")
    assert result.code == 0
    assert result.out.startswith("# The model in the box\n")
    _, head, text = box.card().split("---\n", 2)
    assert result.out.strip() == text.strip()
    lines = head.splitlines()
    assert {"model-index:", "- name: sertool-box", "  results:"} <= set(lines)
    values = [float(text) for text in re.findall(r"value: ([0-9.]+)$", head, re.MULTILINE)]
    assert len(values) == 2 * head.count("dataset:") > 2
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
