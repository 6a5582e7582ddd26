"""The demo recipe from end to end, one epoch: every step runs and leaves what it promises."""

from __future__ import annotations

import json
from pathlib import Path

from running import DEMO, run


def test_demo(tmp_path: Path) -> None:
    done = run("demo", DEMO, tmp_path / "out", EPOCHS="1", SEED="1")
    assert done.returncode == 0, done.stderr
    steps = [line for line in done.stdout.splitlines() if line.startswith("$ sertool ")]
    stages = [line.split()[2] for line in steps]
    assert stages == ["prepare", "featurize", "augment", "featurize", "train", "eval", "predict"]
    for word in ("sundharam-cnn", "linear", "majority", "confusion", "speakers apart: yes"):
        assert word in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["items"]) == 384
    assert report["protocol"]["speaker_disjoint"] is True
    assert report["protocol"]["origin_disjoint"] is True
    assert report["protocol"]["test_augmented"] is False
    assert report["baselines"]["majority"]["uar"] == 0.25
    assert report["baselines"]["linear"]["uar"] > 0.5
    for figure in ("confusion.png", "classes.png", "speakers.png", "reliability.png"):
        assert (tmp_path / "out" / "figures" / figure).stat().st_size > 10_000
    lines = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == 32
    fields = {"path", "label", "confidence", "posterior", "duration"}
    assert set(json.loads(lines[0])) == fields | {"heard", "speech", "windows", "vad", "model"}
    assert "cropped" not in done.stderr
