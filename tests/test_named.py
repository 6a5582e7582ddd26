"""Corpora that are one TOML file each: the true names of their archives, and files of one's own."""

from __future__ import annotations

import csv
import os
import tomllib
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from corpus_trees import counts, look, touch

from sertool import corpora
from sertool.core.data import data_path
from sertool.core.errors import InputError
from sertool.items import Item

NOWHERE = Path("/nowhere/at/all")
NAMED = [name for name in corpora.CORPORA if not corpora.load(name).generic]
SIX = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
FRENCH = {"c": "anger", "d": "disgust", "j": "happiness", "n": "neutral", "p": "fear"}
FRENCH |= {"s": "surprise", "t": "sadness"}
# by corpus: what its list's words stand for; the number of speakers; genders
LISTS: dict[str, tuple[dict[str, str], int, dict[str | None, int]]] = {
    "aesdd": (
        {word[0]: word for word in SIX[:5]},
        6,
        {None: 604},
    ),
    "cafe": (FRENCH, 12, {"female": 468, "male": 468}),
    "casia": ({}, 4, {"female": 600, "male": 600}),
    "emovdb": (
        {"amused": "amusement", "sleepy": "sleepiness"},
        4,
        {"female": 3574, "male": 3313},
    ),
    "enterface": (
        {word[:2]: word for word in SIX},
        43,
        {None: 1263},
    ),
    "jlcorpus": (
        {"anxious": "anxiety", "apologetic": "apology", "assertive": "assertiveness"}
        | {"concerned": "concern", "encouraging": "encouragement", "excited": "excitement"},
        4,
        {"female": 1200, "male": 1200},
    ),
    "mesd": ({}, 0, {"female": 288, "male": 288, None: 286}),
    "oreau": (FRENCH, 32, {"female": 115, "male": 319}),
    "polish": ({"a": "anger", "n": "neutral", "s": "fear"}, 5, {"male": 450}),
    "resd": ({}, 0, {None: 1396}),
    "shemo": ({"fearful": "fear"}, 87, {"female": 1192, "male": 1646}),
    "subesco": ({}, 20, {"female": 3500, "male": 3500}),
}
USUAL = {"angry": "anger", "happy": "happiness", "sad": "sadness", "surprised": "surprise"}


def listed(root: Path, name: str) -> list[dict[str, str]]:
    """The lines of a list of true names: path, emo and others."""
    with open(root / "names" / f"{name}.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def made(name: str, *files: str) -> list[Item]:
    found = list(corpora.load(name).utterances(NOWHERE, files))
    return [item for item in found if isinstance(item, Item)]


# the true names


@pytest.mark.parametrize("name", LISTS)
def test_true_names(corpora: Path, name: str) -> None:
    words, speakers, genders = LISTS[name]
    lines = listed(corpora, name)
    found = made(name, *(line["path"] for line in lines))
    assert len(found) == len(lines)
    for item, line in zip(found, lines, strict=True):
        word = line["emo"].lower()
        assert item.label == words.get(word, USUAL.get(word, word)), line["path"]
    assert len(set(counts(found, "speaker")) - {None}) == speakers
    assert counts(found, "gender") == genders
    assert None not in counts(found, "language")


@pytest.mark.parametrize("name", [*LISTS, "esd-part", "emns"])
def test_true_names_are_of_one_corpus(corpora: Path, name: str) -> None:
    from sertool.corpora import load

    files = [line["path"] for line in listed(corpora, name)]
    claiming = [other for other in NAMED if load(other).claim(NOWHERE, files)]
    assert claiming == [] if name == "emns" else [name.removesuffix("-part")]


@pytest.mark.parametrize("name", LISTS)
def test_any_case_suffix_and_folder_above(corpora: Path, name: str) -> None:
    def told(*files: str) -> list[tuple[str | None, ...]]:
        found = made(name, *files)
        return [(u.speaker, u.gender, u.label, u.text, u.session, u.part) for u in found]

    plain = [line["path"] for line in listed(corpora, name)][::50]
    for case in (str.upper, str.lower, str.swapcase):
        varied = [f"Ünder/1/{case(os.path.splitext(path)[0])}.FLAC" for path in plain]
        assert told(*varied) == told(*plain)


@pytest.mark.parametrize("name", ["cafe", "oreau", "resd", "aesdd"])
def test_true_names_as_files(corpora: Path, tmp_path: Path, name: str) -> None:
    lines = listed(corpora, name)
    found, console = look(
        touch(tmp_path / "unpacked", (line["path"] for line in lines)), strict=True
    )
    assert (len(found), console.failures) == (len(lines), 0)
    assert f"corpus {name}," in console.text
    assert "published" not in console.text


def test_emns_by_its_table(corpora: Path, tmp_path: Path) -> None:
    lines = listed(corpora, "emns")
    root = touch(tmp_path / "emns", (line["path"] for line in lines))
    table = [
        "id|utterance|description|emotion|date_created|status|gender|age|level|audio_recording|user_id"
    ]
    for i, line in enumerate(lines):
        name = Path(line["path"]).name
        text = '"He said: ""no"", and left."' if i == 0 else f"Line, {i}"
        emotion = "Surprised" if line["emo"] == "Surprise" else line["emo"]
        table.append(f"{i}|{text}|how|{emotion}|2022|3|Female|20s|{i % 10}|wavs/{name}|3")
    table.append("9999|gone|how|Sad|2022|3|Female|20s|1|wavs/recorded_audio_missing.webm|3")
    (root / "metadata.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    found, console = look(root, strict=True)
    assert console.failures == 0
    assert counts(found, "corpus") == {"emns": 1181}
    given = Counter(line["emo"] for line in lines)
    assert Counter(item.raw_label.removesuffix("d") for item in found if item.raw_label) == Counter(
        {word.removesuffix("d"): n for word, n in given.items()}
    )
    assert counts(found, "label")["sarcasm"] == given["Sarcastic"]
    assert counts(found, "gender") == {"female": 1181}
    first = next(item for item in found if item.path.endswith("recorded_audio.webm"))
    assert (first.text, first.extra["level"]) == ('he said: "no", and left.', 0)
    assert first.extra["transcription"] == 'He said: "no", and left.'


def test_real_nemo(corpora: Path) -> None:
    found, console = look(corpora / "nemo-1057", strict=True)
    assert (len(found), console.failures) == (1057, 0)
    assert counts(found, "corpus") == {"nemo": 1057}
    assert counts(found, "label") == {
        **dict.fromkeys(("anger", "happiness", "neutral", "sadness"), 180),
        "fear": 177,
        "surprise": 160,
    }
    assert len(counts(found, "speaker")) == 9
    assert all(item.speaker == item.speaker.strip() for item in found if item.speaker)
    assert counts(found, "gender") == {"female": 460, "male": 597}
    assert {type(item.extra["age"]) for item in found} == {int}


# single names


def fields(name: str, relative: str) -> tuple[Any, ...]:
    (item,) = made(name, relative)
    return item.speaker, item.gender, item.label, item.raw_label, item.text, item.extra


def test_fields() -> None:
    take = {"sentence": "06", "take": "b"}
    assert fields("aesdd", "anger/a06 (5)b.wav") == ("5", None, "anger", "a", None, take)
    assert fields("aesdd", "f10 (01).WAV")[:3] == ("1", None, "fear")
    assert fields("cafe", "CaFE_48k/D‚go–t/Fort/02-D-2-3.wav") == (
        "02",
        "female",
        "disgust",
        "D",
        "Trois cygnes aveugles au bord du lac",
        {"intensity": "strong", "age": 64, "sentence": "3"},
    )
    assert fields("casia", "ZhaoZuoxiang/angry/201.wav")[:5] == (
        "zhaozuoxiang",
        "male",
        "anger",
        "angry",
        "201",
    )
    assert fields("casia", "liuchanhg_sad_250.wav")[:3] == ("liuchanhg", "female", "sadness")
    assert fields("emovdb", "sam_Disgusted/Disgust_169_196_0169.wav")[:5] == (
        "sam",
        "male",
        "disgust",
        "Disgust",
        "0169",
    )
    assert fields("emovdb", "anger_1-28_0011.wav")[:3] == (None, None, "anger")
    assert fields("enterface", "subject 3/fear/sentence 5/s_3_fe_5.avi")[:5] == (
        "3",
        None,
        "fear",
        "fe",
        "fe_5",
    )
    assert fields("enterface", "s16_su_3avi.avi")[4] == "su_3"
    assert fields("enterface", "subject 6/anger/s6_an.avi")[4] is None
    assert fields("enterface", "subject 11/anger/sentence 1/s12_an_1.avi")[0] == "11"
    assert fields("jlcorpus", "male2_excited_13a_2.wav")[:4] == (
        "male2",
        "male",
        "excitement",
        "excited",
    )
    assert fields("mesd", "Fear_C_B_de_nada.wav") == (
        None,
        None,
        "fear",
        "Fear",
        "de_nada",
        {"voice": "C", "list": "B"},
    )
    assert fields("oreau", "m/sesss/07z03Sa.wav")[:3] == ("07", "male", "surprise")
    assert fields("polish", "m5.s_oddaj_5.wav")[:5] == ("m5", "male", "fear", "s", "oddaj")
    assert fields("shemo", "female/F01W02.wav")[:3] == ("F01", "female", "surprise")
    assert fields("subesco", "F_02_MONIKA_S_2_SURPRISE_3].wav")[:5] == (
        "F_02",
        "female",
        "surprise",
        "SURPRISE",
        "2",
    )
    (turn,) = made("resd", "test/01_happiness_anger/01_happiness_anger a_010.wav")
    assert (turn.session, turn.part, turn.label, turn.speaker) == ("01", "test", "anger", None)


def test_folders_above_the_one_given_count(tmp_path: Path) -> None:
    root = touch(tmp_path / "bea_Amused", ["amused_1-15_0001.wav"])
    (item,) = look(root, strict=True)[0]
    assert (item.corpus, item.speaker) == ("emovdb", "bea")
    root = touch(tmp_path / "m" / "sessc", ["25a01Ca.wav", "26a01Ca.wav"])
    for corpus in ("auto", "oreau"):
        assert counts(look(root, corpus=corpus)[0], "gender") == {"male": 2}


def test_emodb_is_not_oreau() -> None:
    names = ["09a02Na.wav", "10a01Nb.wav", "16a02Tb.wav"]
    assert [name for name in NAMED if corpora.load(name).claim(NOWHERE, names)] == ["emodb"]


def test_a_table_that_is_missing_or_strange(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "samples", ["EB0_anger_10.flac", "EB0_anger_11.flac", "EB0_fear_1.flac"]
    )
    with pytest.raises(InputError, match="the table of nEMO is not in it or above"):
        look(root, corpus="nemo")
    header = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
    lines = "EB0_anger_10.flac\tanger\tA.\ta\t  EB0\t\t27\n"
    lines += "EB0_anger_11.flac\trage\tA.\ta\tEB0\tfemale\t27\n"
    (tmp_path / "data.tsv").write_text(header + lines, encoding="utf-8")
    found, console = look(root)
    assert [(item.speaker, item.gender, item.label) for item in found] == [("EB0", None, "anger")]
    assert "emotion 'rage' in its line is unknown" in console.text
    assert "1 file left out: not in nEMO's table" in console.text


# one's own


MINE = r"""
title = "our calls"
name = '(?P<speaker>[a-z]+)_(?P<word>[a-z]+)_\d+'
words = ["word"]
fields = { speaker = "speaker", label = "word", raw_label = "~word" }
"""


def test_a_corpus_of_ones_own_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "calls.toml"
    path.write_text(MINE, encoding="utf-8")
    root = touch(tmp_path / "data", ["Ann_Angry_1.wav", "bob_bored_2.wav", "notes.wav"])
    found, console = look(root, corpus=str(path))
    assert [(item.id, item.speaker, item.label) for item in found] == [
        ("calls/Ann_Angry_1", "ann", "anger"),
        ("calls/bob_bored_2", "bob", "boredom"),
    ]
    assert "notes.wav: not named like our calls's files" in console.text
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        corpora.load(str(tmp_path / "none.toml"))
    path.write_text(MINE.replace('"~word"', '"~mood"'), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"calls\.toml: not a corpus description: name has no group mood"
    ):
        corpora.load(str(path))


def test_patterns_that_python_warns_of_or_refuses(tmp_path: Path) -> None:
    path = tmp_path / "calls.toml"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path.write_text(MINE.replace("<speaker>[a-z]", "<speaker>[[a-z]"), encoding="utf-8")
        found, _ = look(touch(tmp_path / "data", ["ann_angry_1.wav"]), corpus=str(path))
    assert [item.speaker for item in found] == ["ann"]
    for name in ("(", "a{9999999999}", "(" * 5000):
        table = f"table = {{ name = '{name}', file = 'a', columns = ['word'] }}\n"
        path.write_text(MINE + table, encoding="utf-8")
        with pytest.raises(InputError, match=r"calls\.toml: not a corpus description: "):
            corpora.load(str(path))


def test_every_description_is_whole() -> None:
    """Each has its counts, and its classes are those that its codes give."""
    for path in data_path("corpora").glob("*.toml"):
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
        codes = declared["codes"][declared["fields"]["label"].lstrip("=")]
        classes = set(codes.values() if isinstance(codes, dict) else codes)
        for part in declared.get("published", []):
            assert set(part["classes"]) <= classes, path.name
            if part.get("speakers"):
                assert sum(part["speakers"].values()) == sum(part["classes"].values()), path.name
        assert declared.get("published") or path.stem == "mes"
