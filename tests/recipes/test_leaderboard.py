"""recipes/leaderboard.sh on the embedded corpus: speakers apart, on the same folds, none lost."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from running import DEMO, run


def test_leaderboard(tmp_path: Path) -> None:
    if importlib.util.find_spec("opensmile") is not None:
        pytest.skip("openSMILE is installed: no cell is missing")
    out = tmp_path / "out"
    given = {"SYSTEMS": "mel-linear voice-logistic compare-svm", "SPLIT": "speakers:3"}
    done = run("leaderboard", DEMO, out, **given)
    assert done.returncode == 0, done.stderr
    assert "2 cells are missing: corpus-compare-svm-none corpus-compare-svm-speaker" in done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in (out / "results").iterdir()}
    assert len(found) == 4
    for name, report in found.items():
        facts = report["protocol"]
        assert facts["speaker_disjoint"] is True
        assert facts["n_test"] == 384
        assert bool(facts.get("speaker_normalisation")) is name.endswith("-speaker")
        assert report["tags"]["normalisation"] == name.rpartition("-")[2]
    assert "normalised" in done.stdout
    listed = run("leaderboard", DEMO, out, **given, LIST="yes")
    assert listed.stdout.split() == ["corpus-compare-svm-none", "corpus-compare-svm-speaker"]
