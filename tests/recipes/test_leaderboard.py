"""recipes/leaderboard.sh on embedded voices: speakers apart, on the same folds, none lost."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from running import ROOT, few, run


def test_leaderboard(tmp_path: Path) -> None:
    if importlib.util.find_spec("opensmile") is not None:
        pytest.skip("openSMILE is installed: no cell is missing")
    out = tmp_path / "out"
    given = {"SYSTEMS": "mel-linear voice-logistic compare-svm", "SPLIT": "speakers:3"}
    done = run("leaderboard", few(), out, **given)
    assert done.returncode == 0, done.stderr
    assert "2 cells are missing: corpus-compare-svm-none corpus-compare-svm-speaker" in done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in (out / "results").iterdir()}
    assert len(found) == 4
    for name, report in found.items():
        facts = report["protocol"]
        assert facts["speaker_disjoint"] is True
        assert facts["n_test"] == 96
        assert bool(facts.get("speaker_normalisation")) is name.endswith("-speaker")
        assert report["tags"]["normalisation"] == name.rpartition("-")[2]
        assert set(report["cost"]["stages"]) == {"featurize", "train"}
        assert report["cost"]["sound"] > 0
    assert "normalised" in done.stdout
    left = ["corpus-compare-svm-none", "corpus-compare-svm-speaker"]
    assert run("leaderboard", few(), out, **given, LIST="yes").stdout.split() == left
    alone = run("leaderboard", few(), out, **given, ONLY=left[0])
    assert (alone.returncode, "1 cells are missing" in alone.stderr) == (3, True)


def test_every_cell_that_is_counted_is_one_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "recipes")
    import boards

    listed = run("leaderboard", *boards.CORPORA, tmp_path / "out", LIST="1", SEEDS="0")
    names = {
        f"{corpus}-{features}-{model}-{how}" + ("-seed0" if model == "sertool" else "")
        for corpus in boards.CORPORA
        for features, model in boards.SYSTEMS
        for how in boards.NORMALISATIONS
    }
    assert set(listed.stdout.split()) == names
    leaks = run("leakage", *boards.CORPORA, tmp_path / "out", LIST="1", SEEDS="0").stdout.split()
    assert leaks == [f"{c}-{p}-seed0" for c in boards.CORPORA for p in boards.PROTOCOLS]
