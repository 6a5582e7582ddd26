"""recipes/leakage.sh on the embedded corpus: each protocol leaks what it should, and more each."""

from __future__ import annotations

import json
from pathlib import Path

from running import DEMO, run


def test_leakage(tmp_path: Path) -> None:
    done = run("leakage", DEMO, tmp_path / "out", SEEDS="0")
    assert done.returncode == 0, done.stderr
    found = {}
    for path_ in (tmp_path / "out" / "results").iterdir():
        report = json.loads(path_.read_text())
        found[report["tags"]["protocol"]] = report
    facts = {name: report["protocol"] for name, report in found.items()}
    assert facts["speakers"]["speaker_disjoint"] is True
    assert facts["random"]["speaker_disjoint"] is False
    assert facts["random"]["origin_disjoint"] is True
    assert facts["copies"]["origin_disjoint"] is False
    assert facts["copies"]["test_augmented"] is True
    assert facts["random"]["test_augmented"] is False
    assert found["copies"]["uar"] > found["random"]["uar"] > found["speakers"]["uar"]
    for leak in ("sentences", "speakers,", "recordings,", "COPIES IN THE TEST SET"):
        assert leak in done.stdout
