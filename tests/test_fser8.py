"""The eight classes of FSER: the paper's counts from its four corpora, by `prepare` alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
import trees
from conftest import Result
from corpus_trees import touch

Cli = Callable[..., Result]

# Dossou & Gbenou 2021, Table 1, and by corpus: RAVDESS speech, Emo-DB, EMOVO, SAVEE
PAPER = {
    "anger": 463,
    "anxiety": 405,
    "calm": 273,
    "disgust": 382,
    "happiness": 407,
    "neutral": 379,
    "sadness": 398,
    "surprise": 336,
}
CORPORA = {
    "ravdess": {name: 96 if name == "neutral" else 192 for name in PAPER},
    "emodb": {
        "anger": 127,
        "anxiety": 69,
        "calm": 81,
        "disgust": 46,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    },
    "emovo": {name: 84 for name in PAPER if name != "calm"},
    "savee": {name: 120 if name == "neutral" else 60 for name in PAPER if name != "calm"},
}
SPEAKERS = {"ravdess": 24, "emodb": 10, "emovo": 6, "savee": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder for each of the four corpora; none is called by its corpus's name."""
    root = tmp_path_factory.mktemp("fser")
    names = {
        "ravdess": trees.ravdess(),
        "emodb": trees.emodb(),
        "emovo": trees.emovo(),
        "savee": trees.savee(),
    }
    return {name: touch(root / f"part{i}", names[name]) for i, name in enumerate(CORPORA)}


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_corpora_add_up_to_the_paper() -> None:
    total = sum((Counter(classes) for classes in CORPORA.values()), Counter[str]())
    assert total == PAPER
    assert sum(PAPER.values()) == 3043


def test_prepare_gives_the_papers_counts(
    cli: Cli, folders: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "manifest.jsonl"
    result = cli("prepare", *folders.values(), out, "--labels", "fser8")
    assert result.code == 0
    found = rows(out)
    assert Counter(row["label"] for row in found) == PAPER
    for corpus, classes in CORPORA.items():
        part = [row for row in found if row["corpus"] == corpus]
        assert Counter(row["label"] for row in part) == classes
        assert len({row["speaker"] for row in part}) == SPEAKERS[corpus]
        assert f"corpus {corpus}" in result.err
    assert {row["raw_label"] for row in found if row["label"] == "calm"} == {"02", "L"}
    assert len({row["id"] for row in found}) == 3043
    assert "dropped" not in result.err
    assert "3043 utterances, 8 classes" in result.err


def test_the_order_of_the_corpora_changes_no_count(
    cli: Cli, folders: dict[str, Path], tmp_path: Path
) -> None:
    orders = list(permutations(folders.values()))
    contents = []
    for i in (0, 23):
        out = tmp_path / f"{i}.jsonl"
        assert cli("prepare", *orders[i], out, "--labels", "fser8", "--quiet").code == 0
        contents.append(sorted(out.read_text().splitlines()))
    assert contents[0] == contents[1]


def test_united_from_manifests(cli: Cli, folders: dict[str, Path], tmp_path: Path) -> None:
    parts = []
    for corpus, folder in folders.items():
        parts.append(tmp_path / f"{corpus}.jsonl")
        assert cli("prepare", folder, parts[-1], "--quiet").code == 0
    out = tmp_path / "all.jsonl"
    assert cli("prepare", *parts, out, "--labels", "fser8").code == 0
    assert Counter(row["label"] for row in rows(out)) == PAPER
