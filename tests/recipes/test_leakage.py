"""recipes/leakage.sh on embedded voices: each protocol leaks what it should, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from running import few, run

from sertool.models import speakers


def test_leakage(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("leakage", few(), out, SEEDS="0", PARTS="3")
    assert done.returncode == 0, done.stderr
    paths = sorted((out / "results").iterdir())
    found = {json.loads(path.read_text())["tags"]["protocol"]: path for path in paths}
    reports = {name: json.loads(path.read_text()) for name, path in found.items()}
    facts = {name: report["protocol"] for name, report in reports.items()}
    assert sorted(facts) == ["chosen", "copies", "normalised", "random", "speakers"]
    for name in ("speakers", "normalised", "chosen"):
        assert facts[name]["speaker_disjoint"] is True
        assert bool(facts[name].get(speakers.DECLARED)) is (name == "normalised")
    assert facts["random"]["speaker_disjoint"] is False
    assert facts["random"]["origin_disjoint"] is True
    assert facts["copies"]["origin_disjoint"] is False
    assert facts["copies"]["test_augmented"] is True
    assert facts["random"]["test_augmented"] is False
    assert reports["copies"]["uar"] > reports["random"]["uar"]
    for leak in ("sentences", "speakers,", "recordings,", "COPIES IN THE TEST SET"):
        assert leak in done.stdout

    # of all penalties the one that is best on the test folds, of which the inner folds chose one
    tried = {path: json.loads(path.read_text())["uar"] for path in out.glob("*-chosen-*-C*.json")}
    assert len(tried) == 4
    assert reports["chosen"]["uar"] == max(tried.values())
    assert reports["chosen"]["model"]["settings"]["C"] in (0.001, 0.01, 0.1, 1)
    assert len(reports["speakers"]["model"]["settings"]["C"]) == 4
    assert run("leakage", few(), out, SEEDS="0", LIST="1").stdout == ""
