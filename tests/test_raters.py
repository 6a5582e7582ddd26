"""Several annotators in tables: votes, their majority, what is numbers, and how far they agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Result
from corpus_trees import touch
from iemocap_tree import SMALL, T, release

from sertool import votes
from sertool.corpora import agreement
from sertool.items import Item

Cli = Callable[..., Result]

WIDE = """file,speaker,r1,r2,r3
a.wav,1,angry,anger,neutral
b.wav,1,sad,,neutral
c.wav,2,happy,Happy,happiness
d.wav,2,,nan,
e.wav,2,sad;angry,sad,
"""
LONG = """FileName,Worker,Emotion,EmoAct,duration,note
a.wav,w1,angry,3,1.5,x
a.wav,w2,anger,5,1.5,y
b.wav,w3,sad,2,2,x
a.wav,w3,neutral,,1.5,x
b.wav,w1,neutral,2.5,2,x
"""


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def made(cli: Cli, folder: Path, text: str, *options: str) -> tuple[list[dict[str, Any]], str]:
    touch(folder, [f"{name}.wav" for name in "abcde"])
    (folder / "t.csv").write_text(text, encoding="utf-8")
    result = cli("prepare", str(folder / "t.csv"), str(folder / "m.jsonl"), "--force", *options)
    assert result.code == 0, result.err
    return rows(folder / "m.jsonl"), " ".join(result.err.split())


# --- tables ---


@pytest.mark.parametrize("raters", ["r1,r2,r3", "label=r1,r2,r3", "r*", "R1,r?"])
def test_columns_of_raters(cli: Cli, tmp_path: Path, raters: str) -> None:
    found, said = made(cli, tmp_path, WIDE, "--raters", raters)
    assert [row["votes"] for row in found] == [
        {"anger": 2, "neutral": 1},
        {"neutral": 1, "sadness": 1},
        {"happiness": 3},
        None,
        {"anger": 1, "sadness": 2},
    ]
    assert [row["label"] for row in found] == ["anger", None, "happiness", None, "sadness"]
    assert {row["raw_label"] for row in found} == {None}
    assert found[4]["choices"] == {"r1": ["sadness", "anger"], "r2": ["sadness"]}
    assert not {"r1", "r2", "r3"} & set(found[0])
    assert "votes: 4 utterances, 2 to 3 votes each; 1 without a majority (a tie)" in said
    assert "agreement (Krippendorff's alpha): classes 0." in said


def test_lines_of_raters(cli: Cli, tmp_path: Path) -> None:
    found, said = made(cli, tmp_path, LONG, "--rater", "Worker")
    assert [(row["path"][-5:], row["label"]) for row in found] == [
        ("a.wav", "anger"),
        ("b.wav", None),
    ]
    assert [row["votes"] for row in found] == [
        {"anger": 2, "neutral": 1},
        {"neutral": 1, "sadness": 1},
    ]
    # what raters differ in is theirs, what they share is the recording's
    assert [(row["EmoAct"], row["duration"]) for row in found] == [(4.0, 1.5), (2.25, 2.0)]
    assert found[0]["ratings"] == {"w1": {"EmoAct": 3.0}, "w2": {"EmoAct": 5.0}}
    assert "note" not in found[0]
    assert "raters differ in note" in said
    assert "EmoAct" in said.partition("alpha")[2]


def test_numbers_by_column(cli: Cli, tmp_path: Path) -> None:
    text = 'file,emotion,v1,v2\na.wav,sad,1,2\nb.wav,angry,,\nc.wav,sad,4,\nd.wav,sad,"1,5",3\n'
    found, _ = made(cli, tmp_path, text, "--raters", "valence=v1,v2")
    assert [row["valence"] for row in found] == [1.5, None, 4.0, 2.25]
    assert found[0]["ratings"] == {"v1": {"valence": 1.0}, "v2": {"valence": 2.0}}
    assert [row["label"] for row in found] == ["sadness", "anger", "sadness", "sadness"]
    assert "votes" not in found[0]


def test_a_table_with_a_label_of_its_own_keeps_it(cli: Cli, tmp_path: Path) -> None:
    text = "file,emotion,r1,r2\na.wav,sad,happy,happy\nb.wav,sad,sad,angry\n"
    found, _ = made(cli, tmp_path, text, "--raters", "r1,r2")
    assert [(row["label"], row["raw_label"]) for row in found] == [("sadness", "sad")] * 2
    assert found[0]["votes"] == {"happiness": 2}


@pytest.mark.parametrize(
    ("text", "options", "code", "told"),
    [
        (WIDE, ["--raters", "r1,r9"], 3, "no column 'r9'"),
        (WIDE, ["--rater", "who"], 3, "no column 'who'"),
        (WIDE, ["--raters", ","], 2, "--raters"),
        (WIDE, ["--raters", "r1", "--raters", "label=r2"], 2, "twice"),
        (WIDE, ["--raters", "r1", "--rater", "r2"], 2, "--rater"),
        (WIDE, ["--raters", "r1", "--corpus", "iemocap"], 2, "--raters"),
        ("file,r1,r2\na.wav,1,2\n", ["--raters", "r1,r2"], 3, "--raters arousal=r1,r2"),
        ("file,r1\na.wav,high\n", ["--raters", "arousal=r1"], 3, "'high', not a number"),
    ],
)
def test_what_makes_no_sense(
    cli: Cli, tmp_path: Path, text: str, options: list[str], code: int, told: str
) -> None:
    touch(tmp_path, ["a.wav"])
    (tmp_path / "t.csv").write_text(text)
    result = cli("prepare", str(tmp_path / "t.csv"), str(tmp_path / "m.jsonl"), *options)
    assert (result.code, "Traceback" in result.err) == (code, False)
    assert told in " ".join(result.err.split())


def test_lines_that_contradict_each_other_are_named(cli: Cli, tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav"])
    text = (
        "file,who,speaker,emotion\na.wav,w1,1,sad\na.wav,w2,2,sad\na.wav,w1,1,sad\na.wav,,1,sad\n"
    )
    (tmp_path / "t.csv").write_text(text)
    out = tmp_path / "m.jsonl"
    result = cli("prepare", str(tmp_path / "t.csv"), str(out), "--rater", "who")
    said = " ".join(result.err.split())
    assert result.code == 1
    assert "its speaker is '2', and '1' in a line before" in said
    assert "a second line of rater 'w1'" in said
    assert "names no rater" in said
    assert rows(out)[0]["votes"] == {"sadness": 1}


# --- maps of classes ---


def test_a_map_is_of_votes_too(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        'drop = ["neutral"]\n[classes]\nlow = ["sadness"]\nhigh = ["anger", "happiness"]\n'
    )
    found, _ = made(cli, tmp_path, WIDE, "--raters", "r*", "--labels", str(tmp_path / "map.toml"))
    assert [(row["label"], row["votes"]) for row in found] == [
        ("high", {"high": 2}),
        ("low", {"low": 1}),  # the tie was with a class that is dropped
        ("high", {"high": 3}),
        (None, None),
        ("low", {"high": 1, "low": 2}),
    ]
    assert found[1]["choices"] == {"r1": ["sadness"], "r3": ["neutral"]}
    (tmp_path / "map.toml").write_text(
        '[classes]\nlow = ["sadness"]\nhigh = ["anger", "happiness"]\n'
    )
    args = ("--raters", "r*", "--labels", str(tmp_path / "map.toml"))
    result = cli("prepare", str(tmp_path / "t.csv"), "-", *args)
    assert result.code == 3
    assert "label 'neutral' is unknown" in " ".join(result.err.split())


def test_a_template_has_the_classes_of_votes(cli: Cli, tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"])
    (tmp_path / "t.csv").write_text(WIDE)
    template = tmp_path / "map.toml"
    args = ("prepare", str(tmp_path / "t.csv"), str(tmp_path / "m.jsonl"), "--raters", "r*")
    assert cli(*args, "--labels", str(template)).code == 3
    assert '"neutral"' in template.read_text()  # which is no majority anywhere
    assert cli(*args, "--labels", str(template)).code == 0


def test_iemocap_keeps_its_label_and_maps_its_votes(cli: Cli, tmp_path: Path) -> None:
    tree = release(tmp_path / "corpus", SMALL | {"Ses02F_impro02": [T("F000", "exc")]})
    out = tmp_path / "m.jsonl"
    result = cli("prepare", str(tree), str(out), "--labels", "iemocap4")
    assert result.code == 0, result.err
    found = {row["turn"]: row for row in rows(out)}
    assert found["Ses02F_impro02_F000"]["label"] == "happiness"
    assert all(row["votes"] == {"neutral": 1} for row in found.values())  # as the tree has them
    assert "votes: " in result.err


# --- agreement ---


def test_alpha_of_krippendorff_by_hand() -> None:
    """Krippendorff (2011), Computing Krippendorff's alpha-reliability, example C: 0.743, 0.849."""
    pytest.importorskip("krippendorff")
    table = [
        "123321412...",
        "1233224125.3",
        ".333234225 1.".replace(" ", ""),
        "1233244125 1.".replace(" ", ""),
    ]
    items = []
    for unit in range(12):
        given = {f"r{k}": row[unit] for k, row in enumerate(table) if row[unit] != "."}
        counted = votes.count({rater: [value] for rater, value in given.items()})
        ratings = {rater: {"level": int(value)} for rater, value in given.items()}
        items.append(Item(f"u{unit}", extra={"votes": counted, "ratings": ratings}))
    said = " ".join(agreement.lines(items))
    assert "classes 0.743 (nominal)" in said
    assert "level 0.849 (interval)" in said


def test_without_its_package_agreement_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement.importlib.util, "find_spec", lambda name: None)
    said = agreement.lines([Item("a", extra={"votes": {"anger": 2, "sadness": 1}})])
    assert said[-1] == "agreement: not computed, needs pip install 'sertool[agreement]'"


@pytest.mark.parametrize(
    ("units", "told"),
    [([{"anger": 1}], "nobody"), ([{"anger": 2}, {"anger": 3}], "all said the same")],
)
def test_agreement_that_is_unknown(units: list[dict[str, float]], told: str) -> None:
    pytest.importorskip("krippendorff")
    assert told in agreement.alpha(units, "nominal")


@pytest.mark.parametrize(
    "value",
    [None, "", "3", 3, "{", "[1]", {"E2": ["neutral"]}, {"anger": -1}, {"anger": True}, {"a": 0}],
)
def test_what_is_no_count_of_votes_is_none(value: Any) -> None:
    assert votes.votes_of(Item("a", extra={"votes": value})) is None
