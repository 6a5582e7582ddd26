"""The smallest slice of recipes/sundharam.sh on the embedded corpus: it runs, and starts again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running import DEMO, announced, run, summary

SLICE = {"EPOCHS": "1", "SEEDS": "0", "FOLDS": "2", "GENDERS": "male", "INTENSITY": "false"}


def recipe(out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("sundharam", DEMO, out, **(SLICE | environment))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """OUTDIR with a space in its name, after the CNN on MFCC; what it printed."""
    out = tmp_path_factory.mktemp("recipe") / "an out"
    first = recipe(out, SYSTEMS="mfcc")
    assert first.returncode == 0, first.stderr
    return out, first.stdout


def test_runs_both_protocols(done: tuple[Path, str]) -> None:
    out, printed = done
    random = summary(out, "cnn-mfcc-male-random-seed0")
    apart = summary(out, "cnn-mfcc-male-speakers-seed0-fold2")
    tags = {"network": "cnn", "feature": "mfcc", "variant": "paper", "gender": "male", "seed": "0"}
    assert random["tags"] == tags | {"protocol": "random"}
    assert apart["tags"] == tags | {"protocol": "speakers", "fold": "2"}
    assert random["protocol"]["speaker_disjoint"] is False
    assert random["protocol"]["resplit"] == "random:8:1:1"
    assert apart["protocol"]["speaker_disjoint"] is True
    for report in (random, apart):
        assert set(report["by"]["gender"]) == {"male"}
        assert report["protocol"]["origin_disjoint"] is True
        assert report["protocol"]["train_augmented"] is True
        assert report["protocol"]["test_augmented"] is False
        assert report["protocol"]["n_train"] == 3 * report["protocol"]["n_train_origins"]
        assert "items" not in report
    assert f"{100 * random['accuracy']:.1f}" in printed
    assert "leak-free" in printed


def test_starts_again_with_what_is_missing(done: tuple[Path, str]) -> None:
    out, _ = done
    gone = out / "results" / "cnn-mfcc-male-speakers-seed0-fold2.json"
    kept = out / "results" / "cnn-mfcc-male-random-seed0.json"
    text, time = gone.read_text(), kept.stat().st_mtime_ns
    gone.unlink()
    again = recipe(out, SYSTEMS="mfcc")
    assert again.returncode == 0, again.stderr
    (said,) = announced("sundharam", again.stderr)
    assert said.startswith("2 of 2")
    assert gone.read_text() == text
    assert kept.stat().st_mtime_ns == time
    whole = recipe(out, SYSTEMS="mfcc")
    assert "run " not in whole.stderr


def test_summaries_alone_are_enough(done: tuple[Path, str], tmp_path: Path) -> None:
    out, printed = done
    elsewhere = recipe(tmp_path / "other", SYSTEMS="mfcc", RESULTS=str(out / "results"))
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert elsewhere.stdout == printed
    assert list((tmp_path / "other").iterdir()) == []


def test_notebook_and_mel(tmp_path: Path) -> None:
    done = recipe(tmp_path / "out", SYSTEMS="mel notebook", FOLDS="")
    assert done.returncode == 0, done.stderr
    mel = summary(tmp_path / "out", "cnn-mel-male-random-seed0")
    notebook = summary(tmp_path / "out", "cnn-notebook-male-random-seed0")
    assert mel["store"]["kind"] == "mel"
    assert notebook["store"]["kind"] == "mfcc"
    assert notebook["tags"]["variant"] == "notebook"
    assert notebook["model"]["settings"]["input"] == "curve"
    assert notebook["protocol"]["train_augmented"] is False


def test_usage() -> None:
    wrong = run("sundharam")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: ")
