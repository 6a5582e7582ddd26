"""The smallest slice of recipes/ma2018.sh on a part of the embedded corpus, and starting again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import soundfile
from iemocap_tree import T, release
from running import DEMO, ROOT, announced, few, run, summary

SLICE = {"EPOCHS": "1", "SEEDS": "0", "FOLDS": "1", "PRECISION": "bfloat16", "DATA": "demo"}
SLICE |= {"PAIRS": "spk01:spk07 spk02:spk08 spk03:spk09"}


def recipe(out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("ma2018", few(), out, **(SLICE | environment))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """OUTDIR with a space in its name, after whole sentences; what it printed."""
    out = tmp_path_factory.mktemp("recipe") / "an out"
    first = recipe(out, SYSTEMS="sentences")
    assert first.returncode == 0, first.stderr
    return out, first.stdout


def trained(report: dict) -> dict:
    return next(s["params"] for s in report["lineage"] if s["stage"] == "train")


def test_partners_change_places_and_sessions_do_not(done: tuple[Path, str]) -> None:
    out, printed = done
    first, second, both = (
        summary(out, f"demo-sentences-{name}-seed0-fold1{direction}")
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
    assert both["protocol"]["n_train"] == first["protocol"]["n_train"] - 2 * 8
    assert "leak-free" in printed


def test_pieces_ablations_and_starting_again(done: tuple[Path, str]) -> None:
    out, _ = done
    asked = {"SYSTEMS": "sentences pieces no-mask shuffled-sum_w", "PROTOCOLS": "sessions"}
    result = recipe(out, **asked)
    assert result.returncode == 0, result.stderr
    assert [line[:6] for line in announced("ma2018", result.stderr)] == [
        "2 of 4",
        "3 of 4",
        "4 of 4",
    ]
    assert "without" in result.stdout
    whole, pieces, unmasked, shuffled = (
        summary(out, f"demo-{name}-sessions-seed0-fold1")
        for name in ("sentences", "pieces", "no-mask", "shuffled-sum_w")
    )
    assert (whole["model"]["name"], pieces["model"]["name"]) == ("ma2018", "ma2018-fixed")
    assert whole["store"]["kind"] == pieces["store"]["kind"] == "logpower"
    assert sum(map(sum, whole["confusion"])) == sum(map(sum, pieces["confusion"])) == 16
    weights = [trained(report)["hyperparameters"] for report in (whole, pieces, shuffled)]
    assert [hp["length_weights"] for hp in weights] == ["inverse", "pieces", "inverse"]
    assert [hp["class_weights"] for hp in weights] == ["balanced"] * 3
    assert [hp["batch_by"] for hp in weights] == ["length", "length", "count"]
    assert [hp["loss_norm"] for hp in weights] == ["epoch", "epoch", "sum_w"]
    assert shuffled["tags"].items() >= {"order": "shuffled", "norm": "sum_w"}.items()
    assert trained(unmasked)["settings"]["mask"] is False


def iemocap(root: Path) -> Path:
    """A release as IEMOCAP's archive unpacks: its names and lines, the embedded corpus's voices.

    Each speaker improvises three sentences of each of four classes, and reads one.
    """
    codes = {"anger": "ang", "happiness": "hap", "neutral": "neu", "sadness": "sad"}
    dialogues: dict[str, list[T]] = {}
    sounds: dict[str, Path] = {}
    for session in range(1, 6):
        for voice, gender in ((2 * session - 1, "F"), (2 * session, "M")):
            folder = ROOT / DEMO / f"spk{voice:02d}"
            turns = []
            for number, (label, k) in enumerate((name, k) for name in codes for k in range(3)):
                turns.append(T(f"{gender}{number:03d}", codes[label]))
                sounds[f"Ses0{session}F_impro01_{turns[-1].name}"] = sorted(
                    folder.glob(f"*_{label}_*.flac")
                )[k]
            dialogues.setdefault(f"Ses0{session}F_impro01", []).extend(turns)
            read = dialogues.setdefault(f"Ses0{session}F_script01_1", [])
            read.append(T(f"{gender}000", "ang"))
            sounds[f"Ses0{session}F_script01_1_{gender}000"] = next(folder.glob("*_anger_*.flac"))
    release(root, dialogues)
    for name, source in sounds.items():
        samples, rate = soundfile.read(source)
        dialogue = name.rpartition("_")[0]
        place = root / f"Session{name[4]}" / "sentences" / "wav" / dialogue / f"{name}.wav"
        soundfile.write(place, samples, rate)
    return root


def test_sessions_of_iemocap(tmp_path: Path) -> None:
    """The paper's own design: improvised sentences alone, its five sessions."""
    corpus = iemocap(tmp_path / "IEMOCAP_full_release")
    asked = {"DATA": "iemocap", "SYSTEMS": "sentences", "PROTOCOLS": "partners", "FOLDS": "2"}
    environment = {k: v for k, v in SLICE.items() if k != "PAIRS"} | asked
    result = run("ma2018", corpus, tmp_path / "out", **environment)
    assert result.returncode == 0, result.stderr
    for direction, speaker in (("first", "Ses03F"), ("second", "Ses03M")):
        report = summary(tmp_path / "out", f"iemocap-sentences-partners-seed0-fold2-{direction}")
        assert set(report["by"]["speaker"]) == {f"iemocap/{speaker}"}
        assert report["classes"] == ["anger", "happiness", "neutral", "sadness"]
        protocol = report["protocol"]
        assert (protocol["n_train"], protocol["n_test"]) == (8 * 12, 12)
        assert protocol["speaker_disjoint"] is True


def test_usage() -> None:
    wrong = run("ma2018")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: ")
