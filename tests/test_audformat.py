"""Databases in audformat, as audformat 1.4 writes them, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_trees import look, touch
from made_formats import HEADER, database, write

from sertool.core.errors import InputError


def emodb(root: Path) -> Path:
    """The tables of audb's emodb 1.4.1, with two files."""
    touch(root, ["wav/x.wav", "wav/y.wav"])
    return database(
        root,
        emotion="file,emotion,emotion.confidence\nwav/x.wav,anger,0.9\nwav/y.wav,neutral,1.0\n",
        emotion_categories_train_gold="file,emotion,emotion.confidence\nwav/x.wav,anger,0.9\n",
        emotion_categories_test_gold="file,emotion,emotion.confidence\nwav/y.wav,neutral,1.0\n",
        files="file,duration,speaker,transcription\n"
        "wav/x.wav,0 days 00:00:01.9,3,a01\nwav/y.wav,0 days 00:00:02,8,b02\n",
        speaker="speaker,age,gender,language\n3,31,male,deu\n8,34,female,deu\n",
    )


def test_audformat_filewise_tables_and_speakers(tmp_path: Path) -> None:
    root = emodb(tmp_path / "d3b62a9b")  # audb calls the folder by a version's hash
    found, console = look(root, strict=True)
    assert [u.id for u in found] == ["emodb/wav/x", "emodb/wav/y"]
    assert [(u.speaker, u.gender, u.language) for u in found] == [
        ("3", "male", "de"),
        ("8", "female", "de"),
    ]
    assert [(u.label, u.text, u.part) for u in found] == [
        ("anger", "a01", "train"),
        ("neutral", "b02", "test"),
    ]
    assert [(u.extra["emotion.confidence"], u.extra["age"]) for u in found] == [
        (0.9, 31),
        (1.0, 34),
    ]
    assert console.exit_code == 0
    (one,) = look(root / "db.emotion.categories.test.gold.csv", strict=True)[0]
    assert one == found[1]


def test_audformat_segments_inherit_from_their_file(tmp_path: Path) -> None:
    root = touch(tmp_path / "db", ["a.wav", "b.wav"])
    database(
        root,
        files="file,speaker,gender\na.wav,s1,female\nb.wav,s2,\n",
        segments="file,start,end,emotion\n"
        "a.wav,0 days 00:00:00.000000,0 days 00:00:01.250000,angry\n"
        "a.wav,0 days 00:00:01.250000,,neutral\n"
        "b.wav,0 days 00:00:00.000000,,anger\n",
        times="file,start,end,arousal\na.wav,0 days,0 days 00:00:01.25,0.5\n",
    )
    found, _ = look(root, strict=True)
    assert [(u.id, u.label, u.speaker, u.gender) for u in found] == [
        ("emodb/a@0-1250", "anger", "s1", "female"),
        ("emodb/a@1250-", "neutral", "s1", "female"),
        ("emodb/b", "anger", "s2", None),
    ]
    assert [u.extra["arousal"] for u in found] == [0.5, None, None]
    assert {u.language for u in found} == {"de"}


def test_audformat_without_emotions_and_by_one_table(tmp_path: Path) -> None:
    root = touch(tmp_path / "db", ["a.wav", "b.wav"])
    database(root, files="file,speaker\na.wav,1\nb.wav,2\n", words="file,start,end\na.wav,0,1\n")
    assert [(u.id, u.label) for u in look(root)[0]] == [("emodb/a", None), ("emodb/b", None)]
    found, console = look(root / "db.words.csv")
    assert [(u.id, u.speaker) for u in found] == [("emodb/a@0-1000", "1")]
    assert "read as audformat; --corpus csv can read it, too" in console.text
    assert look(root / "db.words.csv", corpus="csv")[0][0].speaker is None
    write(root / "db.people.csv", "person,gender\n1,male\n")
    with pytest.raises(InputError, match="its index is not files"):
        look(root / "db.people.csv")


def test_audformat_what_is_not_joined(tmp_path: Path) -> None:
    """No label of a table that does not count, and no misc table of several levels."""
    root = touch(tmp_path / "db", ["a.wav"])
    database(root, one="file,speaker,emotion\na.wav,s1,\n", two="file,emotion\na.wav,angry\n")
    write(root / "db.speaker.csv", "speaker,year,gender\ns1,1,male\ns1,2,female\n")
    (found,) = look(root / "db.one.csv")[0]
    assert (found.label, found.speaker, found.gender) == (None, "s1", None)
    assert look(root)[0][0].label == "anger"


def test_audformat_header_that_knows_more_than_the_tables(tmp_path: Path) -> None:
    root = touch(tmp_path / "db", ["a.wav", "stray.wav"])
    database(root, emotion="file,speaker,emotion\na.wav,s1,sad\n")
    labels = "    labels:\n      s1: {gender: female, age: 31}\n"
    write(root / "db.yaml", HEADER.replace("languages: [deu]", "languages: [deu, eng]") + labels)
    found, console = look(root)
    assert (found[0].gender, found[0].language) == (None, None)
    assert "1 file left out: genders that only the header states (db.yaml)" in console.text
    assert "1 file left out: in no table of emotions" in console.text


def test_audformat_tables_that_disagree(tmp_path: Path) -> None:
    root = touch(tmp_path / "db", ["a.wav"])
    database(root, one="file,emotion\na.wav,sad\n", two="file,emotion\na.wav,angry\n")
    with pytest.raises(InputError, match=r"emotion sad in db\.one\.csv and angry in db\.two\.csv"):
        look(root)
    assert look(root / "db.two.csv")[0][0].label == "anger"
    database(root, two="file,start,end,emotion\na.wav,0,1,sad\n")
    with pytest.raises(InputError, match=r"whole in db\.one\.csv and cut in db\.two\.csv"):
        look(root)
    (root / "db.one.csv").rename(root / "db.emotion.train.csv")
    write(root / "db.two.csv", "")
    write(root / "db.emotion.dev.csv", "file,emotion\na.wav,sad\n")
    with pytest.raises(InputError, match=r"part val in .*dev\.csv and train in .*train\.csv"):
        look(root)


def test_audformat_bad_lines(tmp_path: Path) -> None:
    root = touch(tmp_path / "db", ["a.wav"])
    database(
        root,
        emotion="file,start,end,emotion\na.wav,0,1,sad\nnone.wav,0,1,sad\na.wav,soon,1,sad\n"
        "a.wav,2,1,sad\na.wav,sad\n,0,1,sad\na.wav,0,1,sad\n",
    )
    found, console = look(root)
    assert [u.id for u in found] == ["emodb/a@0-1000"]
    reasons = ["no such file", "'soon' is not a time", "not after", "has not 4", "no file", "again"]
    for number, reason in enumerate(reasons, 3):
        assert any(f"csv line {number}: " in line and reason in line for line in console.lines)
    assert console.failures == len(reasons)


def test_audformat_that_cannot_serve(tmp_path: Path) -> None:
    root = touch(tmp_path / "db", ["db.emotion.parquet"])
    write(root / "db.yaml", HEADER)
    with pytest.raises(InputError, match=r"db\.emotion\.parquet: only CSV tables are read; in Py"):
        look(root)
    (root / "db.emotion.parquet").unlink()
    with pytest.raises(InputError, match="holds no audformat table"):
        look(root, corpus="audformat")
    write(root / "db.speaker.csv", "speaker,gender\n1,male\n")
    with pytest.raises(InputError, match="none of its tables lists files"):
        look(root)
    write(root / "db.emotion.csv", "file,emotion\nnone.wav,sad\n")
    with pytest.raises(InputError, match="none of its files exists"):
        look(root)
    (root / "db.yaml").unlink()
    with pytest.raises(InputError, match="not an audformat database"):
        look(root, corpus="audformat")
    with pytest.raises(InputError, match="is not audformat; use --corpus csv or auto"):
        look(root / "db.emotion.csv", corpus="audformat")


def test_audformat_never_beats_a_named_corpus(tmp_path: Path) -> None:
    root = touch(tmp_path / "db", ["wav/03a01Wa.wav", "wav/08a01Na.wav"])
    database(root, emotion="file,emotion\nwav/03a01Wa.wav,anger\nwav/08a01Na.wav,neutral\n")
    found, console = look(root, strict=True)
    assert [u.id for u in found] == ["emodb/wav/03a01Wa", "emodb/wav/08a01Na"]
    assert [u.text for u in found] == ["Der Lappen liegt auf dem Eisschrank."] * 2
    assert "read as emodb; --corpus audformat or csv can read it, too" in console.text
    assert [u.text for u in look(root, corpus="audformat")[0]] == [None, None]
