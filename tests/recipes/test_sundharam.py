"""The smallest slice of recipes/sundharam.sh on a part of the embedded corpus, and once more."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from running import announced, few, run, summary

SLICE = {"EPOCHS": "1", "SEEDS": "0", "FOLDS": "2", "GENDERS": "male", "INTENSITY": "false"}
SLICE |= {"VOICES": "0", "PROTOCOLS": "random speakers"}


def recipe(out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("sundharam", few(), out, **(SLICE | environment))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """OUTDIR with a space in its name, after the CNN on MFCC; what it printed."""
    out = tmp_path_factory.mktemp("recipe") / "an out"
    first = recipe(out, SYSTEMS="cnn-mfcc")
    assert first.returncode == 0, first.stderr
    return out, first.stdout


def test_runs_both_protocols(done: tuple[Path, str]) -> None:
    out, printed = done
    random = summary(out, "cnn-mfcc-male-random-seed0-epochs1")
    apart = summary(out, "cnn-mfcc-male-speakers-seed0-fold2-epochs1")
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
    gone = out / "results" / "cnn-mfcc-male-speakers-seed0-fold2-epochs1.json"
    kept = out / "results" / "cnn-mfcc-male-random-seed0-epochs1.json"
    text, time = gone.read_text(), kept.stat().st_mtime_ns
    gone.unlink()
    again = recipe(out, SYSTEMS="cnn-mfcc")
    assert again.returncode == 0, again.stderr
    (said,) = announced("sundharam", again.stderr)
    assert said.startswith("2 of 2")
    assert gone.read_text() == text
    assert kept.stat().st_mtime_ns == time
    whole = recipe(out, SYSTEMS="cnn-mfcc")
    assert "run " not in whole.stderr
    elsewhere = recipe(out, SYSTEMS="cnn-mfcc", RESULTS=str(out / "elsewhere"))
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert "already complete" in elsewhere.stderr
    names = {path.name for path in (out / "elsewhere").iterdir()}
    assert names == {path.name for path in (out / "results").iterdir()}


def test_summaries_alone_are_enough(done: tuple[Path, str], tmp_path: Path) -> None:
    out, printed = done
    elsewhere = recipe(tmp_path / "other", SYSTEMS="cnn-mfcc", RESULTS=str(out / "results"))
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert elsewhere.stdout == printed
    assert list((tmp_path / "other").iterdir()) == []


def test_notebook_and_mel_as_it_is(tmp_path: Path) -> None:
    done = recipe(tmp_path / "out", SYSTEMS="cnn-mel-raw cnn-notebook", FOLDS="")
    assert done.returncode == 0, done.stderr
    mel = summary(tmp_path / "out", "cnn-mel-raw-male-random-seed0-epochs1")
    trained = next(step for step in mel["lineage"] if step["stage"] == "train")
    assert trained["params"]["hyperparameters"]["normalisation"] == "none"
    assert mel["tags"]["normalisation"] == "none"
    notebook = summary(tmp_path / "out", "cnn-notebook-male-random-seed0-epochs1")
    assert mel["store"]["kind"] == "mel"
    assert notebook["store"]["kind"] == "mfcc"
    assert notebook["tags"]["variant"] == "notebook"
    assert "normalisation" not in notebook["tags"]
    assert notebook["model"]["settings"]["input"] == "curve"
    assert notebook["protocol"]["train_augmented"] is False


def test_last_epoch_and_the_other_gender(done: tuple[Path, str]) -> None:
    out, printed = done
    best, last, other = (
        summary(out, f"cnn-mfcc-male-speakers{middle}-seed0-fold2-epochs1{end}")
        for middle, end in (("", ""), ("", "-last"), ("", "-of-female"))
    )
    assert best["folds"][0]["training"]["best_epoch"] == 1
    assert last["confusion"] == best["confusion"]  # of a single epoch
    assert last["tags"] == best["tags"] | {"kept": "last"}
    assert other["tags"] == best["tags"] | {"gender": "female", "trained": "male"}
    assert set(other["by"]["gender"]) == {"female"}
    assert other["protocol"]["speaker_disjoint"] is True
    assert "trained" in printed


def test_both_genders_copies_and_voices_parted(tmp_path: Path) -> None:
    """The encoder on coarse frames; copies drawn like recordings; voices mixed and parted."""
    out = tmp_path / "out"
    asked = {"SYSTEMS": "transformer-mfcc", "GENDERS": "both", "PROTOCOLS": "speakers copies"}
    done = recipe(out, **asked, VOICES="1", HOP="1024")
    assert done.returncode == 0, done.stderr
    apart = summary(out, "transformer-mfcc-both-speakers-seed0-fold2-hop1024-epochs1-of-female")
    assert apart["tags"]["hop"] == "1024"
    assert apart["tags"]["trained"] == "both"
    assert set(apart["by"]["gender"]) == {"female"}
    copies = summary(out, "transformer-mfcc-both-copies-seed0-hop1024-epochs1-of-male")
    assert copies["protocol"]["origin_disjoint"] is False
    assert copies["protocol"]["test_augmented"] is True
    heard = [json.loads(line) for line in (out / "voices.jsonl").read_text().splitlines()]
    assert len(heard) == 2 + 6
    assert [Path(row["path"]).name for row in heard[2:]] == [
        f"{kind}-{i}.wav" for kind in ("microphone", "separated", "source") for i in (1, 2)
    ]
    assert all(row["label"] for row in heard)


def test_names_tell_frames_and_epochs_other_than_the_papers(tmp_path: Path) -> None:
    asked = {"LIST": "1", "SYSTEMS": "cnn-mfcc cnn-notebook", "PROTOCOLS": "random"}
    for epochs, mfcc, notebook in (("300", "-epochs300", ""), ("500", "", "-epochs500")):
        listed = recipe(tmp_path, **asked, EPOCHS=epochs, HOP="1024", WINDOW="512").stdout.split()
        assert listed == [
            f"cnn-mfcc-male-random-seed0-hop1024-window512{mfcc}",
            f"cnn-notebook-male-random-seed0{notebook}",
        ]


def test_usage() -> None:
    wrong = run("sundharam")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: ")
