"""IEMOCAP whole: 10039 generated turns with the published counts, and the usual selections."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result
from corpus_trees import Listening
from iemocap_tree import IMPROVISED, SESSIONS, every_dialogue, full_release, release

from sertool.commands.prepare import prepare
from sertool.core import boxes
from sertool.corpora import iemocap, labels

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(tmp_path_factory.mktemp("whole") / "IEMOCAP_full_release", full_release())


def test_the_release_has_151_dialogues() -> None:
    assert [len(names) for names in every_dialogue().values()] == [28, 30, 32, 30, 31]
    assert sum(iemocap.PUBLISHED.classes.values()) == 10039
    assert sum(total for _, total in SESSIONS.values()) == 10039


@pytest.fixture(scope="module")
def manifest(whole: Path) -> tuple[Path, str]:
    """The manifest of the whole release, and what prepare said while writing it."""
    console, out = Listening(), whole.parent / "all.jsonl"
    with boxes.restored():
        prepare([whole], out, console=console)
    assert console.exit_code == 0
    return out, console.text


def test_published_counts_of_the_whole_release(manifest: tuple[Path, str]) -> None:
    path, said = manifest
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 10039
    found = Counter(row["label"] or "(no label)" for row in rows)
    assert found == iemocap.PUBLISHED.classes
    assert Counter(row["session"] for row in rows) == {s: n for s, (_, n) in SESSIONS.items()}
    assert {(row["speaker"], row["gender"]) for row in rows} == {
        (f"Ses0{s}{letter}", gender)
        for s in "12345"
        for letter, gender in (("F", "female"), ("M", "male"))
    }
    assert "10039 utterances, 10 speakers (5 female, 5 male)" in said
    table = [line.split() for line in said.splitlines() if line.startswith("  ")]
    assert ["neutral", "1708", "1708"] in table
    assert ["all", "10039", "10039"] in table
    assert "more than published" not in said
    assert "left out" not in said


def command(text: str) -> list[str]:
    """Return the words of the docstring's `sertool prepare …` that contains `text`."""
    doc = (iemocap.__doc__ or "").replace("\\\n", " ")
    (line,) = [line for line in doc.splitlines() if "sertool prepare" in line and text in line]
    return shlex.split(line)[1:]


def test_the_improvised_four_classes_of_ma_2018(cli: Cli, whole: Path) -> None:
    words = command("ma2018")
    words[1:3] = [str(whole), "-"]
    result = cli(*words)
    assert result.code == 0
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert Counter(row["label"] for row in rows) == {
        labels.noun(code): n for code, n in IMPROVISED.items()
    }
    assert len(rows) == 2280
    assert {row["scenario"] for row in rows} == {"improvised"}
    folds = {(row["fold"], row["session"]) for row in rows}
    assert len(folds) == len({fold for fold, _ in folds}) == 5


def test_the_usual_four_classes(cli: Cli, manifest: tuple[Path, str]) -> None:
    words = command("iemocap4")
    words[1:3] = [str(manifest[0]), "-"]
    result = cli(*words)
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert Counter(row["label"] for row in rows) == {
        "anger": 1103,
        "happiness": 1636,
        "neutral": 1708,
        "sadness": 1084,
    }
    assert Counter(row["session"] for row in rows) == {
        s: n for s, n in zip("12345", (1085, 1023, 1151, 1031, 1241), strict=True)
    }
    assert "1849 frustration" in result.err
