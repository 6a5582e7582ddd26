"""The smallest slice of recipes/ma2018.sh on the embedded corpus, and starting again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running import DEMO, announced, run, summary

SLICE = {"EPOCHS": "1", "SEEDS": "0", "FOLDS": "1", "PRECISION": "bfloat16", "DATA": "demo"}
SLICE |= {"PAIRS": "spk01:spk07 spk02:spk08 spk03:spk09"}


def recipe(out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("ma2018", DEMO, out, **(SLICE | environment))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """OUTDIR with a space in its name, after whole sentences; what it printed."""
    out = tmp_path_factory.mktemp("recipe") / "an out"
    first = recipe(out, SYSTEMS="variable")
    assert first.returncode == 0, first.stderr
    return out, first.stdout


def trained(report: dict) -> dict:
    return next(s["params"] for s in report["lineage"] if s["stage"] == "train")


def test_partners_change_places_and_sessions_do_not(done: tuple[Path, str]) -> None:
    out, printed = done
    first, second, both = (
        summary(out, f"demo-variable-{name}-seed0-fold1{direction}")
        for name, direction in (
            ("partners", "-first"),
            ("partners", "-second"),
            ("sessions", ""),
        )
    )
    speakers = [set(report["by"]["speaker"]) for report in (first, second, both)]
    assert speakers[0] | speakers[1] == speakers[2] == {"demo/spk02", "demo/spk08"}
    assert not speakers[0] & speakers[1]
    for report in (first, second, both):
        assert report["protocol"]["speaker_disjoint"] is True
    assert both["protocol"]["n_train"] == first["protocol"]["n_train"] - 2 * 32
    assert "leak-free" in printed


def test_pieces_ablations_and_starting_again(done: tuple[Path, str]) -> None:
    out, _ = done
    asked = {"SYSTEMS": "variable fixed nomask noclass", "PROTOCOLS": "sessions"}
    result = recipe(out, **asked)
    assert result.returncode == 0, result.stderr
    assert [line[:6] for line in announced("ma2018", result.stderr)] == [
        "2 of 4",
        "3 of 4",
        "4 of 4",
    ]
    assert "without" in result.stdout
    whole, pieces, nomask, noclass = (
        summary(out, f"demo-{name}-sessions-seed0-fold1")
        for name in ("variable", "fixed", "nomask", "noclass")
    )
    assert (whole["model"]["name"], pieces["model"]["name"]) == ("ma2018", "ma2018-fixed")
    assert whole["store"]["kind"] == pieces["store"]["kind"] == "logpower"
    assert sum(map(sum, whole["confusion"])) == sum(map(sum, pieces["confusion"])) == 64
    weights = [trained(report)["hyperparameters"] for report in (whole, pieces, noclass)]
    assert [hp["length_weights"] for hp in weights] == ["inverse", "pieces", "inverse"]
    assert [hp["class_weights"] for hp in weights] == ["balanced", "balanced", "none"]
    assert [hp["batch_by"] for hp in weights] == ["length", "count", "length"]
    assert trained(nomask)["settings"]["mask"] is False


def test_usage() -> None:
    wrong = run("ma2018")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: ")
