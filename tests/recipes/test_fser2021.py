"""The smallest slice of recipes/fser2021.sh on two parts of the embedded corpus."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from running import DEMO, ROOT, announced, few, run, summary

SLICE = {"EPOCHS": "1", "SEEDS": "0", "FOLDS": "0", "COPIES": "1", "PRECISION": "bfloat16"}


def recipe(out: Path, *corpora: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("fser2021", *corpora, out, **(SLICE | environment))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second corpus: six speakers of the embedded one under other names, in a table."""
    folder = tmp_path_factory.mktemp("more") / "a second"
    folder.mkdir()
    lines = ["file,emotion,speaker,corpus"]
    for path in sorted((ROOT / DEMO).rglob("*.flac")):
        speaker, label = path.stem.split("_")[:2]
        if speaker <= "spk06" and path.stem.endswith("s3_r1"):
            name = f"{len(lines)}.flac"
            shutil.copy(path, folder / name)
            lines.append(f"{name},{label},{speaker},second")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, other: Path) -> tuple[Path, str]:
    """OUTDIR after every protocol and a probe, the second corpus as outside as well."""
    out = tmp_path_factory.mktemp("recipe") / "an out"
    first = recipe(out, few(), other, OUTSIDE=str(other), SYSTEMS="augmented probe")
    assert first.returncode == 0, first.stderr
    return out, first.stdout


def test_every_protocol_states_itself(done: tuple[Path, str]) -> None:
    out, printed = done
    both = "corpus+a second-48000-augmented"
    found = {
        name: summary(out, f"{both}-{name}-epochs1")["protocol"]
        for name in (
            "random-sgd-seed0",
            "leaky-sgd-seed0",
            "speakers-sgd-seed0-fold0",
            "corpora-sgd-seed0-fold0",
        )
    }
    random, leaky, speakers, corpora = found.values()
    assert [p["origin_disjoint"] for p in found.values()] == [True, False, True, True]
    assert [p["speaker_disjoint"] for p in found.values()] == [False, False, True, True]
    assert [p["test_augmented"] for p in found.values()] == [False, True, False, False]
    assert [p["train_augmented"] for p in found.values()] == [True] * 4
    assert random["n_train"] == 2 * random["n_train_origins"]
    assert leaky["n_test"] > 1.8 * random["n_test"]
    assert corpora["n_test"] > speakers["n_test"]
    assert "leak-free" in printed


def test_further_systems(done: tuple[Path, str]) -> None:
    out, _ = done
    both = "corpus+a second-48000"
    probe = summary(out, f"{both}-probe-speakers-sgd-seed0-fold0-epochs1")
    assert probe["target"] == "corpus"
    assert sorted(probe["classes"]) == sorted(probe["by"]["corpus"])
    outside = summary(out, f"outside-{both}-augmented-random-sgd-seed0-epochs1")
    rows = (out / "outside-predicted.jsonl").read_text().splitlines()
    assert sum(map(sum, outside["confusion"])) == len(rows) == 24
    assert {"path", "label", "posterior"} <= set(json.loads(rows[0]))


def test_each_corpus_alone_and_starting_again(other: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = {"SYSTEMS": "alone", "PROTOCOLS": "random"}
    first = recipe(out, few(), other, **asked)
    assert first.returncode == 0, first.stderr
    name = "a second-48000-augmented-random-sgd-seed0-epochs1"
    alone = summary(out, name)
    assert list(alone["by"]["corpus"]) == ["second"]
    gone = out / "results" / f"{name}.json"
    text = gone.read_text()
    gone.unlink()
    again = recipe(out, few(), other, **asked)
    assert again.returncode == 0, again.stderr
    assert announced("fser2021", again.stderr) == [f"2 of 2: {name}"]
    assert gone.read_text() == text
    assert again.stdout == first.stdout
    new = tmp_path / "new"
    elsewhere = recipe(new, few(), other, **asked, RESULTS=str(out / "results"))
    assert (elsewhere.returncode, elsewhere.stdout) == (0, first.stdout)
    assert list(new.iterdir()) == []


def test_names_tell_other_epochs_than_the_papers(tmp_path: Path) -> None:
    asked = {"LIST": "1", "SYSTEMS": "augmented", "PROTOCOLS": "random"}
    listed = [recipe(tmp_path, few(), **asked, EPOCHS=n).stdout.split() for n in ("100", "400")]
    name = "corpus-48000-augmented-random-sgd-seed0"
    assert listed == [[f"{name}-epochs100"], [name]]


def test_usage() -> None:
    wrong = run("fser2021")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: ")
