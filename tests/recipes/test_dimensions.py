"""recipes/dimensions.sh on a generated IEMOCAP release: numbers from prepare to the report."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from running import run, summary

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from iemocap_tree import T, release

TURNS = [f"{sex}{i:03d}" for sex in "FM" for i in range(4)]
TARGETS = ["valence", "activation", "dominance"]


def spoken(root: Path) -> Path:
    """Write five sessions whose turns are louder the more active, higher the more valent."""
    random = np.random.default_rng(3)
    names = [f"Ses0{session}F_impro01" for session in range(1, 6)]
    release(root, {name: [T(turn, ("neu", "xxx")[i % 2]) for i, turn in enumerate(TURNS)]
                   for name in names})  # fmt: skip
    for name in names:
        session = root / f"Session{name[4]}"
        path = session / "dialog" / "EmoEvaluation" / f"{name}.txt"
        text = path.read_text()
        for turn in TURNS:
            values = random.uniform(1, 5, 3).round(4)
            time = np.arange(8000) / 16000
            tone = np.sin(2 * np.pi * 300 * values[0] * time)
            wave = 0.02 * values[1] * (tone + 0.1 * random.standard_normal(8000))
            wav = session / "sentences" / "wav" / name / f"{name}_{turn}.wav"
            soundfile.write(wav, wave, 16000, "PCM_16")
            line = next(row for row in text.splitlines() if f"\t{name}_{turn}\t" in row)
            rated = ", ".join(f"{value:.4f}" for value in values)
            text = text.replace(line, line.partition("[2.5")[0] + f"[{rated}]")
        path.write_text(text)
    return root


@pytest.mark.slow
def test_dimensions(tmp_path: Path) -> None:
    corpus, out = spoken(tmp_path / "IEMOCAP"), tmp_path / "out"
    done = run("dimensions", corpus, out, SEEDS="0", EPOCHS="1", DEVICE="cpu")
    assert done.returncode == 0, done.stderr
    network, ridge = summary(out, "ma2018-seed0"), summary(out, "ridge-seed0")
    for report in (network, ridge):
        assert (report["kind"], list(report["targets"])) == ("numbers", TARGETS)
        assert {own["n"] for own in report["targets"].values()} == {
            40
        }  # those without a class, too
        assert report["protocol"]["speaker_disjoint"] is True
        assert len(report["folds"]) == 5
    assert set(network["baselines"]) == {"mean", "ridge"}
    assert ridge["targets"]["activation"]["ccc"] > 0.5
    assert ridge["targets"]["activation"]["ci"]["ccc"][0] is not None
    assert "CCC" in done.stdout
    assert "activation" in done.stdout
