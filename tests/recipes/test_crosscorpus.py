"""recipes/crosscorpus.sh on embedded voices, named as three corpora: who was trained on whom."""

from __future__ import annotations

import json
from pathlib import Path

from running import run
from test_box_recipe import corpora


def test_crosscorpus(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folders = corpora(tmp_path)
    (folders[2] / "f1" / "dis-f1-b1.flac").write_bytes(
        (folders[2] / "f1" / "gio-f1-b1.flac").read_bytes()
    )  # a class that the others lack
    given = {"SYSTEMS": "voice-logistic", "VARIANTS": "none", "PARTS": "2"}
    listed = run("crosscorpus", *folders, out, LIST="1", **given).stdout.split()
    assert len(listed) == 3 * 4
    done = run("crosscorpus", *folders, out, **given)
    assert done.returncode == 0, done.stderr
    for cell in listed:
        report = json.loads((out / "results" / f"{cell}.json").read_text())
        facts, tags = report["protocol"], report["tags"]
        assert report["classes"] == ["anger", "happiness", "neutral", "sadness"]
        assert list(report["by"]["corpus"]) == [tags["tested"]]
        assert facts["speaker_disjoint"] is True
        assert facts["n_test"] == 32
        whole = {"others": 64, tags["tested"]: None}.get(tags["trained"], 32)
        assert whole is None or facts["n_train"] == whole
        assert (facts["n_checkpoints"] > 1) is (tags["trained"] == tags["tested"])
    assert run("crosscorpus", *folders, out, LIST="1", **given).stdout == ""
    other = run("crosscorpus", *folders, tmp_path / "new", ONLY=listed[0], **given)
    assert other.returncode == 0, other.stderr
    assert [path.stem for path in (tmp_path / "new" / "results").iterdir()] == [listed[0]]
